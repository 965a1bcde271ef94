// The list of jobs, live.

import { el, replace } from "../dom.js";
import { guarded, panel } from "../panel.js";
import { codeName, day, hasEnded, hasResult, shortId, stageName, stateName } from "../wording.js";

/** @import { Api } from "../api.js" */
/** @import { JobView } from "../types.js" */
/** @import { Jobs } from "./jobs.js" */

/**
 * @param {Api} _api
 * @param {Jobs} jobs
 * @param {{ onChoose: (id: string) => void, signal: AbortSignal }} options
 */
export function jobList(_api, jobs, { onChoose, signal }) {
  return panel("Studies", (body) => {
    const list = el("ul", { class: "jobs" });
    const more = el("button", { type: "button", class: "quiet", hidden: true }, "Show older");
    more.addEventListener("click", () => guarded(body, () => jobs.more()));
    replace(body, list, more);
    /** @type {Map<string, HTMLLIElement>} */
    const rows = new Map();
    const draw = () => {
      const all = jobs.all;
      for (const id of [...rows.keys()]) if (!jobs.known.has(id)) rows.delete(id);
      replace(list, ...all.map((job) => drawn(rows, job, jobs.chosen === job.id, onChoose)));
      if (all.length === 0) replace(list, el("li", { class: "hint" }, jobs.loaded ? "No study has been sent yet." : "Loading…"));
      more.hidden = jobs.cursor === null;
    };
    jobs.addEventListener("change", () => guarded(body, draw), { signal });
    draw();
  }, { name: "studies" });
}

/**
 * Return the row of a job; the one that is there is kept, so that the focus stays where it is.
 * @param {Map<string, HTMLLIElement>} rows
 * @param {JobView} job
 * @param {boolean} isChosen
 * @param {(id: string) => void} onChoose
 */
function drawn(rows, job, isChosen, onChoose) {
  let row = rows.get(job.id);
  if (row === undefined) {
    const button = el("button", { type: "button", class: "job", onclick: () => onChoose(job.id) });
    row = el("li", {}, button);
    rows.set(job.id, row);
  }
  const button = /** @type {HTMLButtonElement} */ (row.firstElementChild);
  button.setAttribute("aria-current", String(isChosen));
  button.dataset.state = job.state;
  replace(
    button,
    el("span", { class: "name" }, shortId(job.id)),
    el("span", { class: "when" }, day(job.created_at)),
    el("span", { class: `state ${tone(job)}` }, label(job)),
    hasEnded(job.state) ? null : bar(job),
  );
  return row;
}

/** @param {JobView} job */
function label(job) {
  if (hasEnded(job.state)) return job.code === null ? stateName(job.state) : `${stateName(job.state)}: ${codeName(job.code)}`;
  if (job.cancel_requested) return "Being cancelled";
  return job.stage === null ? stateName(job.state) : `${stateName(job.state)}: ${stageName(job.stage)}`;
}

/** @param {JobView} job */
export function tone(job) {
  if (!hasEnded(job.state)) return "runs";
  if (job.state === "succeeded") return "good";
  return hasResult(job.state) ? "doubt" : "bad";
}

/** @param {JobView} job */
export function bar(job) {
  return el("progress", { max: 1, value: job.progress, "aria-label": "Progress" });
}
