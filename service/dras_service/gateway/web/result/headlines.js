// The few numbers that are looked for first, raw beside harmonised, with what bears on them.

import { el, replace } from "../dom.js";
import { digitsOf, number } from "../wording.js";
import { ranges, ranked } from "./ranking.js";
import { DENSITY, LAA, PERC15, VOLUME, finder } from "./scores.js";

/** @import { Context } from "./job_view.js" */
/** @import { Score } from "../types.js" */

/** @type {[string, string, string][]} */
const SHOWN = [
  [LAA, "LAA\u2011950", "lung at or below \u2212950 HU"],
  [PERC15, "Perc15", "15 % of the lung lies below"],
  [DENSITY, "Mean density", "mean of both lungs"],
  [VOLUME, "Volume", "of both lungs in this scan"],
];

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export function fill(body, { result }) {
  const find = finder(result);
  const codes = ranked(result).map(({ code }) => code);
  replace(body, el("dl", { class: "numbers" }, ...SHOWN.map(([code, name, meaning]) =>
    figure(name, meaning, find(code, "whole"), find(code, "whole", "harmonised"), codes))));
}

/**
 * @param {string} name
 * @param {string} meaning
 * @param {Score | undefined} raw
 * @param {Score | undefined} harmonised
 * @param {string[]} codes of all warnings, in the order of their numbers
 */
function figure(name, meaning, raw, harmonised, codes) {
  const unit = raw?.unit ?? "";
  const digits = digitsOf(unit);
  const bearing = new Set([...(raw?.warnings ?? []), ...(harmonised?.warnings ?? [])]);
  const doubts = codes.flatMap((code, n) => (bearing.has(code) ? [n + 1] : []));
  return el(
    "div",
    { class: "number" },
    el("dt", {}, name, el("span", { class: "hint" }, meaning)),
    el("dd", {}, el("span", { class: "value" }, number(raw?.value, digits)), " ", raw?.value == null ? null : el("span", { class: "unit" }, unit)),
    harmonised && el("dd", { class: "beside" }, "harmonised ", el("b", {}, number(harmonised.value, digits)), harmonised.value === null ? null : ` ${unit}`),
    raw?.reason && el("dd", { class: "hint" }, raw.reason),
    doubts.length > 0 && el("dd", { class: "doubts" }, `see warning${doubts.length === 1 ? "" : "s"} ${ranges(doubts)}`),
  );
}
