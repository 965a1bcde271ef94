// Sending a study: pick it, hear what the service would do with it, send it, or not.

import { el, replace } from "../dom.js";
import { guarded, panel } from "../panel.js";
import { check } from "../upload/check.js";
import { fromDrop, fromInput } from "../upload/picked.js";
import { Uploads } from "../upload/uploads.js";
import { size } from "../wording.js";
import { answer } from "./answer.js";
import { uploadRow } from "./upload_row.js";

/** @import { Api } from "../api.js" */
/** @import { JobView, Picked, Upload } from "../types.js" */

/**
 * @param {Api} api
 * @param {{ onJob: (job: JobView) => void, signal: AbortSignal }} options
 */
export function sendPanel(api, { onJob, signal }) {
  const underWay = el("ul", { class: "uploads", "aria-label": "Uploads" });
  const place = el("div", { class: "picked", "aria-live": "polite" });
  /** @type {Map<string, { picked: Picked, query: string }>} */
  const again = new Map();
  /** @type {Map<string, ReturnType<typeof uploadRow>>} */
  const rows = new Map();
  /** @type {Upload[]} */
  let latest = [];
  const uploads = new Uploads(api.key, (told) => {
    latest = told;
    for (const upload of told) {
      if (upload.state !== "sent" || upload.job === null) continue;
      uploads.forget(upload.id);
      again.delete(upload.id);
      onJob(upload.job);
    }
    for (const id of [...rows.keys()]) if (!told.some((upload) => upload.id === id)) rows.delete(id);
    for (const upload of told.filter(({ state }) => state !== "sent")) rowOf(upload).update(upload);
    replace(underWay, ...[...rows.values()].map(({ element }) => element));
  });
  /** @param {Upload} upload */
  function rowOf({ id, label }) {
    const kept = again.get(id);
    const row = rows.get(id) ?? uploadRow(label, {
      onCancel: () => uploads.cancel(id),
      onForget: () => uploads.forget(id),
      onAgain: kept ? () => uploads.start(kept.picked, { query: kept.query, id }) : null,
    });
    rows.set(id, row);
    return row;
  }
  window.addEventListener("beforeunload", (event) => {
    if (!uploads.outlivesThePage && latest.some((upload) => upload.state === "sending")) event.preventDefault();
  }, { signal });

  const element = panel("Send a study", (body) => {
    const look = lookAt(api, place, signal, (picked, query) => {
      const id = crypto.randomUUID();
      again.set(id, { picked, query });
      uploads.start(picked, { query, id });
      replace(place);
    });
    replace(body, dropZone(body, look), place, underWay);
  }, { name: "send" });
  return { element, leave: () => uploads.leave() };
}

/**
 * @param {HTMLElement} body
 * @param {(picked: Picked | null) => Promise<void>} look
 */
function dropZone(body, look) {
  const files = el("input", { type: "file", multiple: true, class: "hidden-input", tabindex: "-1", "aria-hidden": "true" });
  const folder = el("input", { type: "file", webkitdirectory: true, class: "hidden-input", tabindex: "-1", "aria-hidden": "true" });
  for (const input of [files, folder]) {
    input.addEventListener("change", () => {
      const picked = fromInput(input.files);
      input.value = "";
      void guarded(body, () => look(picked));
    });
  }
  const zone = el(
    "div",
    { class: "drop" },
    el("p", {}, "Drop a DICOM folder, a zip or a NIfTI file here"),
    el(
      "p",
      { class: "choices" },
      el("button", { type: "button", onclick: () => folder.click() }, "Folder…"),
      el("button", { type: "button", onclick: () => files.click() }, "Files…"),
    ),
    files,
    folder,
  );
  for (const kind of ["dragover", "dragleave", "drop"]) {
    zone.addEventListener(kind, (event) => {
      event.preventDefault();
      zone.classList.toggle("over", kind === "dragover");
      const dropped = /** @type {DragEvent} */ (event).dataTransfer;
      if (kind === "drop" && dropped) void guarded(body, async () => look(await fromDrop(dropped)));
    });
  }
  return zone;
}

/**
 * Return what shows a picked study with the service's answer about it, and lets it be sent.
 * @param {Api} api
 * @param {HTMLElement} place
 * @param {AbortSignal} ending
 * @param {(picked: Picked, query: string) => void} send
 */
function lookAt(api, place, ending, send) {
  let current = new AbortController();
  return async (/** @type {Picked | null} */ picked) => {
    current.abort();
    current = new AbortController();
    const signal = AbortSignal.any([current.signal, ending]);
    if (picked === null) return replace(place, el("p", { class: "fault" }, "There is no file in it."));
    const title = el("p", { class: "what" }, el("strong", {}, picked.label), ` ${picked.files.length} file${picked.files.length === 1 ? "" : "s"}, ${size(picked.bytes)}`);
    const dismiss = el("button", { type: "button", class: "quiet", onclick: () => { current.abort(); replace(place); } }, "Do not send");
    const reading = el("progress", { max: 1, value: 0, "aria-label": "Reading headers" });
    replace(place, title, el("p", { class: "hint" }, "Reading the headers and asking the service…"), reading, dismiss);
    let said;
    try {
      said = await check(api, picked, { onRead: (fraction) => { reading.value = fraction; }, signal });
    } catch (fault) {
      if (signal.aborted) return;
      const what = fault instanceof Error ? fault.message : String(fault);
      const retry = el("button", { type: "button", onclick: () => guarded(place, () => lookAt(api, place, ending, send)(picked)) }, "Ask again");
      return replace(place, title, el("p", { class: "fault", role: "alert" }, what), el("p", { class: "choices" }, retry, dismiss));
    }
    const { element, query } = answer(said);
    const go = el("button", { type: "button", class: "main", onclick: () => send(picked, query()) }, "Send the study");
    const usable = said === null || said.usable;
    replace(place, title, element, el("p", { class: "choices" }, usable ? go : null, dismiss));
    if (usable) go.focus();
  };
}
