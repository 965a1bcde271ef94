// Finding scores in a result, by code, region and image.

/** @import { Score, StudyResult } from "../types.js" */

export const LAA = "LAA-950insp";
export const PERC15 = "Perc15";
export const DENSITY = "MLD";
export const VOLUME = "volume";
export const MASS = "mass";

/** Regions in the order in which they are read. */
const ORDER = [
  "whole", "right", "left",
  "right_apical", "right_middle", "right_basal", "left_apical", "left_middle", "left_basal",
  "right_upper_lobe", "right_middle_lobe", "right_lower_lobe", "left_upper_lobe", "left_lower_lobe",
  "apical", "middle", "basal", "core", "peel", "ventral", "dorsal",
];

/**
 * @param {StudyResult} result
 * @returns {(code: string, region: string, image?: "raw" | "harmonised") => Score | undefined}
 */
export function finder(result) {
  const found = new Map(result.scores.map((score) => [`${score.code} ${score.region} ${score.image}`, score]));
  return (code, region, image = "raw") => found.get(`${code} ${region} ${image}`);
}

/** @param {StudyResult} result */
export function regionsOf(result) {
  const there = new Set(result.scores.map(({ region }) => region));
  return [...ORDER.filter((region) => there.has(region)), ...[...there].filter((region) => !ORDER.includes(region))];
}
