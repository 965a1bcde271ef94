// What is seen once signed in: studies on one side, the chosen result on the other, and the line to the service.

import { replace, el } from "./dom.js";
import { follow } from "./events.js";
import { guarded } from "./panel.js";
import { Jobs } from "./studies/jobs.js";
import { jobList } from "./studies/job_list.js";
import { sendPanel } from "./studies/send_panel.js";

/** @import { Api } from "./api.js" */

const line = /** @type {HTMLElement} */ (document.getElementById("line"));

/**
 * Fill `main`; return what ends it.
 * @param {Api} api
 * @param {HTMLElement} main
 * @param {{ onLeft: (why: string) => void }} options
 */
export function openWorkspace(api, main, { onLeft }) {
  const ending = new AbortController();
  const jobs = new Jobs(api);
  const side = el("div", { class: "side" });
  const result = el("div", { id: "result", class: "result-place", tabindex: "-1" });
  replace(main, el("div", { class: "workspace" }, side, result));
  const send = sendPanel(api, { onJob: (job) => { jobs.put(job); choose(job.id); }, signal: ending.signal });
  replace(side, send.element, jobList(api, jobs, { onChoose: choose, signal: ending.signal }));

  /** @param {string} id */
  function choose(id) {
    if (chosen().job === id) show();
    else location.hash = `job=${encodeURIComponent(id)}`;
  }
  let shown = new AbortController();
  async function show() {
    shown.abort();
    shown = new AbortController();
    const { job, against } = chosen();
    jobs.choose(job);
    await guarded(result, async () => {
      const { showJob } = await import("./result/job_view.js");
      await showJob(result, { api, jobs, id: job, against, signal: AbortSignal.any([shown.signal, ending.signal]) });
    });
  }
  window.addEventListener("hashchange", show, { signal: ending.signal });
  void show();
  void follow(api, {
    onOpen: () => {
      say("live", "Live");
      void jobs.reload().catch(() => {});
    },
    onEvent: (event) => void jobs.hear(event),
    onLost: (fault) => {
      say("lost", fault.status === 0 ? "Connection lost, trying again" : fault.message);
      if (fault.status === 401) onLeft("This key does not open the service any more.");
    },
    signal: ending.signal,
  });
  return () => {
    ending.abort();
    shown.abort();
    send.leave();
    say("", "");
  };
}

/** What the address names: no more than ids of jobs. */
function chosen() {
  const named = new URLSearchParams(location.hash.slice(1));
  return { job: named.get("job"), against: named.get("against") };
}

/**
 * @param {string} state
 * @param {string} text
 */
function say(state, text) {
  line.dataset.state = state;
  replace(line, text);
}
