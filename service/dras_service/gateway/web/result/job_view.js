// One job: where it is, how it ended, and its result. Every part is loaded and drawn by itself, so that a fault in
// one leaves the others standing.

import { el, replace } from "../dom.js";
import { guarded, panel } from "../panel.js";
import { codeName, day, hasEnded, hasResult, shortId, stageName, stateName } from "../wording.js";
import { actions } from "./actions.js";

/** @import { Api } from "../api.js" */
/** @import { Jobs } from "../studies/jobs.js" */
/** @import { JobView, StudyResult } from "../types.js" */

/**
 * What every part of a result is given.
 * @typedef {{ api: Api, jobs: Jobs, job: JobView, result: StudyResult, against: string | null, signal: AbortSignal }} Context
 */

/** @type {[name: string, title: string, load: () => Promise<{ fill: (body: HTMLElement, context: Context) => void | Promise<void> }>][]} */
const PARTS = [
  ["warnings", "Read first", () => import("./warnings.js")],
  ["headlines", "Both lungs", () => import("./headlines.js")],
  ["viewer", "Images", () => import("../viewer/viewer.js")],
  ["regions", "Regions", () => import("./regions.js")],
  ["compare", "Compare with another study", () => import("./compare.js")],
  ["run", "Scan and run", () => import("./run.js")],
  ["downloads", "Files", () => import("./downloads.js")],
];

/**
 * Show a job in `place` and follow it until it has ended.
 * @param {HTMLElement} place
 * @param {{ api: Api, jobs: Jobs, id: string | null, against: string | null, signal: AbortSignal }} options
 */
export async function showJob(place, { api, jobs, id, against, signal }) {
  if (id === null) {
    return replace(place, el("p", { class: "empty" }, "Choose a study, or send one."));
  }
  // The largest code of a result, on its way while the service is asked; a fault of it is told in its panel.
  void Promise.allSettled([import("../viewer/viewer.js"), import("../viewer/scan.js")]);
  let job = jobs.known.get(id) ?? (await api.job(id));
  signal.throwIfAborted();
  const head = el("header", { class: "job-head" });
  const body = el("div", { class: "parts" });
  replace(place, head, body);
  let drawn = "";
  const draw = async () => {
    job = jobs.known.get(id) ?? job;
    drawHead(head, job, { api, jobs });
    if (!hasEnded(job.state) || drawn === job.state) return;
    drawn = job.state;
    if (!hasResult(job.state)) return replace(body, ending(job));
    const result = await api.result(job).catch((fault) => {
      drawn = ""; // the next change asks again
      throw fault;
    });
    signal.throwIfAborted();
    const context = { api, jobs, job, result, against, signal };
    replace(body, ...PARTS.map(([name, title, load]) => panel(title, async (part) => (await load()).fill(part, context), { name })));
  };
  jobs.addEventListener("change", (event) => {
    const changed = /** @type {CustomEvent} */ (event).detail;
    if (changed === id && !jobs.known.has(id)) return replace(place, el("p", { class: "empty" }, "This study has been removed."));
    if (changed === id || changed === null) void guarded(body, draw);
  }, { signal });
  await draw();
  place.focus({ preventScroll: true });
  if (matchMedia("(max-width: 60rem)").matches) place.scrollIntoView();
}

/**
 * @param {HTMLElement} head
 * @param {JobView} job
 * @param {{ api: Api, jobs: Jobs }} options
 */
function drawHead(head, job, { api, jobs }) {
  const runs = !hasEnded(job.state);
  const said = runs && job.stage !== null ? `${stateName(job.state)}: ${stageName(job.stage)}` : stateName(job.state);
  const drawn = `${job.id} ${said} ${job.cancel_requested}`;
  const bar = head.querySelector("progress");
  if (bar) bar.value = job.progress;
  if (head.dataset.drawn === drawn) return; // buttons stay where they are
  head.dataset.drawn = drawn;
  replace(
    head,
    el("h2", {}, `Study ${shortId(job.id)}`),
    el("p", { class: "hint", role: "status" }, `${said}. Sent ${day(job.created_at)}.`),
    runs ? el("progress", { max: 1, value: job.progress, "aria-label": "Progress" }) : null,
    actions(job, { api, jobs }),
  );
}

/** @param {JobView} job */
function ending(job) {
  const title = job.code === null ? stateName(job.state) : `${stateName(job.state)}: ${codeName(job.code)}`;
  return el("section", { class: "panel ended", "aria-label": "How it ended" }, el("h2", {}, title), el("p", {}, job.message ?? "There is no result."));
}
