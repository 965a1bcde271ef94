// Names and numbers as a reader of the field expects them. Sentences come from the service, and so do the titles of
// warnings and the names of regions, which are those of the report.

import { REGIONS, TITLES } from "./words.js";

const STATES = new Map([
  ["queued", "Waiting"],
  ["succeeded", "Done"],
  ["succeeded_with_warnings", "Done, with warnings"],
  ["partial", "Partial result"],
  ["rejected", "Refused"],
  ["quarantined", "Set aside"],
]);
const STAGES = new Map([
  ["read", "reading the images"],
  ["lungs", "finding the lungs"],
  ["registration", "aligning to the atlas"],
  ["patches", "cutting patches"],
  ["scores", "measuring"],
  ["encode", "encoding"],
  ["outputs", "writing results"],
]);
const WITH_RESULT = new Set(["succeeded", "succeeded_with_warnings", "partial"]);
const ENDED = new Set([...WITH_RESULT, "rejected", "failed", "quarantined", "cancelled", "expired"]);
const MINUS = "\u2212";
export const NONE = "\u2013";

/** @param {string} region */
export const regionName = (region) => REGIONS[region] ?? capital(region.replaceAll("_", " "));

/** @param {string} state */
export const stateName = (state) => STATES.get(state) ?? capital(state);

/** @param {string | null} stage */
export const stageName = (stage) => (stage === null ? "" : (STAGES.get(stage) ?? stage));

/** @param {string} state */
export const hasResult = (state) => WITH_RESULT.has(state);

/** @param {string} state */
export const hasEnded = (state) => ENDED.has(state);

/** A code as words: that of a warning has a title, any other is read as it is.
 * @param {string} code */
export const codeName = (code) => TITLES[code] ?? capital(code.replaceAll("_", " ").toLowerCase());

/** @param {string} text */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Write a number with a true minus; a dash for none.
 * @param {number | null | undefined} value
 * @param {number} digits behind the point
 */
export function number(value, digits = 1) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  return (value < 0 && Number(text) !== 0 ? MINUS : "") + text;
}

/** A difference: its sign is always said.
 * @param {number | null} value
 * @param {number} digits */
export function difference(value, digits) {
  const text = number(value, digits);
  return text === NONE || text.startsWith(MINUS) || Number(text) === 0 ? text : `+${text}`;
}

/** How many digits say something: shares and exponents vary in tenths, Hounsfield units and volumes do not.
 * @param {string} unit */
export const digitsOf = (unit) => ({ "%": 1, HU: 0, mL: 0, g: 0, "g/L": 0 })[unit] ?? 2;

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e3) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** @param {string} moment RFC 3339 */
export function day(moment) {
  const at = new Date(moment);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return at.toDateString() === new Date().toDateString() ? `today, ${time}` : `${at.toLocaleDateString()}, ${time}`;
}

/** The first block of an id: enough to tell the jobs of a list apart.
 * @param {string} id */
export const shortId = (id) => id.slice(0, 8);
