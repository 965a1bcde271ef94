// Which place of one scan is which of another: by the atlas, to which both were aligned, or by millimetres.

import { middleOf } from "./nifti.js";

/** @import { Image } from "./nifti.js" */
/** @import { StudyResult } from "../types.js" */

const DOUBTFUL = "REGISTRATION_SUSPECT";

/** @typedef {(mm: number[]) => number[]} Mapping RAS to RAS, millimetres */
/**
 * Places of both scans, and how they are matched.
 * @typedef {{ byAtlas: boolean, told: string, toOther: Mapping, toHere: Mapping }} Matching
 */

/**
 * @param {[result: StudyResult, lungs: Image]} here
 * @param {[result: StudyResult, lungs: Image]} other
 * @returns {Matching}
 */
export function matching([result, lungs], [otherResult, otherLungs]) {
  const without = whyNotByAtlas(result, otherResult);
  if (without === null) {
    const [a, b] = [result, otherResult].map(({ qc }) => qc.registration.matrix);
    const [inverseA, inverseB] = [inverse(a), inverse(b)];
    return {
      byAtlas: true,
      told: "One cursor in both: a place is matched by the atlas that both scans were aligned to, by an affine transform of each; what bends within the lungs it does not follow.",
      toOther: throughLps((mm) => apply(b, apply(inverseA, mm))),
      toHere: throughLps((mm) => apply(a, apply(inverseB, mm))),
    };
  }
  const [middle, otherMiddle] = [middleOf(lungs), middleOf(otherLungs)];
  return {
    byAtlas: false,
    told: `One cursor in both: ${without}, so a place is matched by its millimetres from the middle of the right lung.`,
    toOther: (mm) => mm.map((at, axis) => at - middle[axis] + otherMiddle[axis]),
    toHere: (mm) => mm.map((at, axis) => at - otherMiddle[axis] + middle[axis]),
  };
}

/**
 * @param {StudyResult} result
 * @param {StudyResult} other
 */
function whyNotByAtlas(result, other) {
  const [atlas, otherAtlas] = [result, other].map(({ provenance }) => provenance.weights.atlas_sha256);
  if (atlas !== otherAtlas) return "the two were aligned to different atlases";
  const doubtful = [result, other].some(({ warnings }) => warnings.some(({ code }) => code === DOUBTFUL));
  return doubtful ? "the alignment of one to the atlas is doubtful" : null;
}

/** The transforms of a result are of LPS; the viewer's places are RAS.
 * @param {Mapping} mapping
 * @returns {Mapping} */
function throughLps(mapping) {
  return (mm) => flipped(mapping(flipped(mm)));
}

/** @param {number[]} mm */
function flipped([x, y, z]) {
  return [-x, -y, z];
}

/**
 * @param {number[][]} matrix
 * @param {number[]} mm
 */
function apply(matrix, mm) {
  return matrix.slice(0, 3).map((row) => row[3] + mm.reduce((sum, at, axis) => sum + row[axis] * at, 0));
}

/** Of an affine transform, by the cofactors of its linear part.
 * @param {number[][]} matrix */
function inverse(matrix) {
  const [[a, b, c], [d, e, f], [g, h, i]] = matrix;
  const determinant = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const linear = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / determinant));
  const back = apply(linear.map((row) => [...row, 0]), matrix.slice(0, 3).map((row) => -row[3]));
  return linear.map((row, axis) => [...row, back[axis]]);
}
