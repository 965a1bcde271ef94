// Warnings in the order in which they are read, each with its number on the page.

/** @import { StudyResult, StudyWarning } from "../types.js" */

/**
 * The severe ones come first; the first has number 1.
 * @param {StudyResult} result
 * @returns {StudyWarning[]}
 */
export function ranked(result) {
  return [...result.warnings].sort((a, b) => Number(b.severity === "severe") - Number(a.severity === "severe"));
}

/**
 * Write numbers as ranges: 1\u20134, 7.
 * @param {number[]} numbers ascending
 */
export function ranges(numbers) {
  /** @type {[number, number][]} */
  const runs = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === n - 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([a, b]) => (a === b ? `${a}` : `${a}\u2013${b}`)).join(", ");
}
