// Scores by region as a table and a chart, and every score of one region with its definition.

import { el, replace } from "../dom.js";
import { digitsOf, number, regionName } from "../wording.js";
import { pairedBars } from "./chart.js";
import { DENSITY, LAA, MASS, PERC15, VOLUME, finder, regionsOf } from "./scores.js";

/** @import { Context } from "./job_view.js" */
/** @import { StudyResult } from "../types.js" */

/** @type {[code: string, image: "raw" | "harmonised", title: string, unit: string][]} */
const COLUMNS = [
  [LAA, "raw", "raw", "%"],
  [LAA, "harmonised", "harm.", "%"],
  [PERC15, "raw", "raw", "HU"],
  [PERC15, "harmonised", "harm.", "HU"],
  [DENSITY, "raw", "mean", "HU"],
  [VOLUME, "raw", "volume", "mL"],
  [MASS, "raw", "tissue", "g"],
];
const CHARTED = 9; // whole, sides and their thirds, or what the result has instead

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export function fill(body, { result }) {
  const find = finder(result);
  const regions = regionsOf(result);
  const rows = regions.slice(0, CHARTED).map((region) => ({
    name: regionName(region),
    raw: find(LAA, region)?.value ?? null,
    harmonised: find(LAA, region, "harmonised")?.value ?? null,
  }));
  replace(
    body,
    el("div", { class: "two" }, table(regions, find), pairedBars(rows, { title: "LAA\u2011950 by region", unit: "%" })),
    allMeasures(result, regions),
  );
}

/**
 * @param {string[]} regions
 * @param {ReturnType<typeof finder>} find
 */
function table(regions, find) {
  const head = el(
    "thead",
    {},
    el(
      "tr",
      {},
      el("th", { scope: "col", rowspan: 2 }, "Region"),
      el("th", { scope: "colgroup", colspan: 2 }, "LAA\u2011950, %"),
      el("th", { scope: "colgroup", colspan: 2 }, "Perc15, HU"),
      el("th", { scope: "col", rowspan: 2 }, "Mean, HU"),
      el("th", { scope: "col", rowspan: 2 }, "Volume, mL"),
      el("th", { scope: "col", rowspan: 2 }, "Tissue, g"),
    ),
    el("tr", {}, ...["raw", "harmon.", "raw", "harmon."].map((image) => el("th", { scope: "col" }, image))),
  );
  const rows = regions.map((region) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, regionName(region)),
      ...COLUMNS.map(([code, image, , unit]) => {
        const score = find(code, region, image);
        return el("td", { title: score?.reason ?? undefined }, number(score?.value, digitsOf(unit)));
      }),
    ),
  );
  const whole = el("table", { class: "measures" }, el("caption", { class: "unseen" }, "Scores by region"), head, el("tbody", {}, ...rows));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Scores by region" }, whole);
}

/**
 * @param {StudyResult} result
 * @param {string[]} regions
 */
function allMeasures(result, regions) {
  const place = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "All measures" });
  const select = el("select", { id: "measures-of" }, ...regions.map((region) => el("option", { value: region }, regionName(region))));
  const draw = () => replace(place, measuresOf(result, select.value));
  select.addEventListener("change", draw);
  draw();
  return el("details", {}, el("summary", {}, "All measures, with definitions"), el("p", {}, el("label", { for: "measures-of" }, "Region "), select), place);
}

/**
 * @param {StudyResult} result
 * @param {string} region
 */
function measuresOf(result, region) {
  const own = result.scores.filter((score) => score.region === region);
  const codes = [...new Set(own.map(({ code }) => code))];
  const rows = codes.map((code) => {
    const raw = own.find((score) => score.code === code && score.image === "raw");
    const harmonised = own.find((score) => score.code === code && score.image === "harmonised");
    const some = raw ?? harmonised;
    const digits = digitsOf(some?.unit ?? "");
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, code),
      el("td", {}, number(raw?.value, digits)),
      el("td", {}, number(harmonised?.value, digits)),
      el("td", { class: "text" }, some?.unit === "1" ? "" : some?.unit),
      el("td", { class: "text" }, some?.definition, some?.reason && el("em", {}, ` Not given: ${some.reason}.`)),
    );
  });
  const titles = ["Measure", "Raw", "Harmonised", "Unit", "Definition"];
  const head = el("thead", {}, el("tr", {}, ...titles.map((title, n) => el("th", { scope: "col", class: n > 2 ? "text" : undefined }, title))));
  return el("table", { class: "measures" }, el("caption", { class: "hint" }, result.regions[region] ?? ""), head, el("tbody", {}, ...rows));
}
