// What can be done with a job: cancel one that runs, remove one that has ended.

import { Problem } from "../api.js";
import { el, replace } from "../dom.js";
import { hasEnded } from "../wording.js";

/** @import { Api } from "../api.js" */
/** @import { Jobs } from "../studies/jobs.js" */
/** @import { JobView } from "../types.js" */

/**
 * @param {JobView} job
 * @param {{ api: Api, jobs: Jobs }} options
 */
export function actions(job, { api, jobs }) {
  const told = el("span", { class: "fault", role: "alert" });
  const attempt = async (/** @type {() => Promise<void>} */ work) => {
    try {
      await work();
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
      replace(told, fault.message);
    }
  };
  if (!hasEnded(job.state)) {
    const cancel = el("button", { type: "button", disabled: job.cancel_requested }, "Cancel");
    cancel.addEventListener("click", () => attempt(async () => jobs.put(await api.cancel(job.id))));
    return el("p", { class: "actions" }, cancel, told);
  }
  const remove = el("button", { type: "button", class: "quiet" }, "Remove");
  const sure = el("button", { type: "button", class: "danger", hidden: true }, "Remove study and result for good");
  const keep = el("button", { type: "button", hidden: true }, "Keep");
  const ask = (/** @type {boolean} */ asked) => {
    remove.hidden = asked;
    sure.hidden = keep.hidden = !asked;
    (asked ? keep : remove).focus();
  };
  remove.addEventListener("click", () => ask(true));
  keep.addEventListener("click", () => ask(false));
  sure.addEventListener("click", () => attempt(async () => {
    await api.remove(job.id);
    jobs.drop(job.id);
  }));
  return el("p", { class: "actions" }, remove, sure, keep, told);
}
