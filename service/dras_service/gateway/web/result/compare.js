// Two studies side by side: their numbers with the differences, and what differs in how they were made. What of a
// difference may be believed is said by `dras compare`; here nothing is judged.

import { el, replace } from "../dom.js";
import { guarded } from "../panel.js";
import { day, difference, digitsOf, hasResult, number, regionName, shortId } from "../wording.js";
import { DENSITY, LAA, PERC15, VOLUME, finder, regionsOf } from "./scores.js";

/** @import { Api } from "../api.js" */
/** @import { Study } from "../viewer/side_by_side.js" */
/** @import { Context } from "./job_view.js" */
/** @import { JobView, StudyResult } from "../types.js" */

/** @type {[code: string, image: "raw" | "harmonised", title: string, unit: string][]} */
const MEASURES = [
  [LAA, "raw", "LAA\u2011950, raw, %", "%"],
  [LAA, "harmonised", "LAA\u2011950, harmonised, %", "%"],
  [PERC15, "raw", "Perc15, raw, HU", "HU"],
  [PERC15, "harmonised", "Perc15, harmonised, HU", "HU"],
  [DENSITY, "raw", "Mean density, HU", "HU"],
  [VOLUME, "raw", "Volume, mL", "mL"],
];
/** @type {[name: string, title: string][]} */
const MAKING = [
  ["manufacturer", "Manufacturer"],
  ["model", "Scanner"],
  ["kernel", "Kernel"],
  ["slice_thickness_mm", "Slice thickness, mm"],
  ["kvp", "Tube voltage, kV"],
  ["contrast_agent", "Contrast agent"],
  ["iterative", "Iterative reconstruction"],
  ["phase_stated", "Breath"],
];

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export function fill(body, context) {
  const { api, jobs, job, result, against, signal } = context;
  const select = el("select", { id: "against" });
  const place = el("div");
  let shown = new AbortController(); // of the images of one pair
  const offer = () => {
    const others = jobs.all.filter((other) => other.id !== job.id && hasResult(other.state));
    const chosen = select.value || against || "";
    replace(select, el("option", { value: "" }, others.length > 0 ? "Choose a study" : "There is no other study"), ...others.map((other) => named(other, chosen)));
  };
  const show = () => guarded(place, async () => {
    const chosen = select.value;
    history.replaceState(null, "", `#job=${encodeURIComponent(job.id)}${chosen ? `&against=${encodeURIComponent(chosen)}` : ""}`);
    if (chosen === "") return replace(place);
    shown.abort();
    shown = new AbortController();
    const otherJob = jobs.known.get(chosen) ?? (await api.job(chosen));
    const other = await api.result(otherJob);
    signal.throwIfAborted();
    /** @type {[Study, Study]} */
    const studies = [{ job: otherJob, result: other, title: `Baseline ${shortId(chosen)}` }, { job, result, title: `This ${shortId(job.id)}` }];
    replace(place, ...comparison([job.id, result], [chosen, other]), images(studies, api, AbortSignal.any([signal, shown.signal])));
  });
  jobs.addEventListener("change", offer, { signal });
  select.addEventListener("change", show);
  offer();
  replace(body, el("p", {}, el("label", { for: "against" }, "Baseline "), select), place);
  if (select.value !== "") return show();
}

/**
 * The images of both, which are asked for: they are as much again as those of the result.
 * @param {[Study, Study]} studies
 * @param {Api} api
 * @param {AbortSignal} signal
 */
function images(studies, api, signal) {
  const place = el("div");
  const look = el("button", { type: "button" }, "Look at both scans");
  look.addEventListener("click", () => {
    void guarded(place, async () => (await import("../viewer/side_by_side.js")).fill(place, studies, { api, signal }));
  });
  replace(place, look);
  return place;
}

/**
 * @param {JobView} job
 * @param {string} chosen
 */
function named(job, chosen) {
  return el("option", { value: job.id, selected: job.id === chosen }, `${shortId(job.id)}, ${day(job.created_at)}`);
}

/**
 * @param {[string, StudyResult]} here
 * @param {[string, StudyResult]} baseline
 */
function comparison([id, result], [otherId, other]) {
  const [find, findOther] = [finder(result), finder(other)];
  const select = el("select", { id: "compared-in" }, ...regionsOf(result).map((region) => el("option", { value: region }, regionName(region))));
  const rows = el("tbody");
  const titles = ["", `Baseline ${shortId(otherId)}`, `This ${shortId(id)}`, "Difference"];
  const draw = () => replace(rows, ...MEASURES.map(([code, image, title, unit]) => {
    const [a, b] = [findOther(code, select.value, image)?.value ?? null, find(code, select.value, image)?.value ?? null];
    const digits = digitsOf(unit);
    const change = a === null || b === null ? null : b - a;
    return el("tr", {}, el("th", { scope: "row" }, title), el("td", {}, number(a, digits)), el("td", {}, number(b, digits)), el("td", {}, difference(change, digits)));
  }));
  select.addEventListener("change", draw);
  draw();
  return [
    makingNote(result, other),
    el("p", {}, el("label", { for: "compared-in" }, "Region "), select),
    table("Scores of both studies", titles, rows),
    el("details", {}, el("summary", {}, "How the two scans were made"), table("How the two scans were made", ["", titles[1], titles[2]], making(result, other))),
  ];
}

/**
 * @param {StudyResult} result
 * @param {StudyResult} other
 */
function makingNote(result, other) {
  const differing = MAKING.filter(([name]) => result.acquisition[name] !== other.acquisition[name]).map(([, title]) => title.split(",")[0].toLowerCase());
  if (differing.length === 0) return el("p", { class: "hint" }, "The headers tell no difference in how the two scans were made.");
  return el("p", { class: "band" }, `The scans differ in ${differing.join(", ")}: such differences move these numbers without any change of the lungs.`);
}

/**
 * @param {StudyResult} result
 * @param {StudyResult} other
 */
function making(result, other) {
  return el("tbody", {}, ...MAKING.map(([name, title]) => {
    const [a, b] = [other.acquisition[name], result.acquisition[name]];
    return el("tr", { class: a === b ? undefined : "differs" }, el("th", { scope: "row" }, title), el("td", {}, told(a)), el("td", {}, told(b)));
  }));
}

/** @param {unknown} value */
function told(value) {
  return value === null || value === undefined ? "not told" : value === true ? "yes" : value === false ? "no" : String(value);
}

/**
 * @param {string} title
 * @param {string[]} titles
 * @param {HTMLElement} rows
 */
function table(title, titles, rows) {
  const head = el("thead", {}, el("tr", {}, ...titles.map((name) => (name === "" ? el("td") : el("th", { scope: "col" }, name)))));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, el("table", { class: "measures" }, el("caption", { class: "unseen" }, title), head, rows));
}
