// One upload under way: how far it is, how long it will take, and how to end it.

import { el, replace } from "../dom.js";
import { duration, size } from "../wording.js";

/** @import { Upload } from "../types.js" */

/**
 * Make a row that is kept as long as its upload: a button that is replaced under the pointer is never pressed.
 * @param {string} label
 * @param {{ onCancel: () => void, onForget: () => void, onAgain: (() => void) | null }} options
 * @returns {{ element: HTMLLIElement, update: (upload: Upload) => void }}
 */
export function uploadRow(label, { onCancel, onForget, onAgain }) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": `Sending ${label}` });
  const said = el("span", { class: "hint", role: "status" });
  const cancel = el("button", { type: "button", class: "quiet", onclick: onCancel }, "Cancel");
  const again = el("button", { type: "button", onclick: onAgain ?? undefined }, "Send again");
  const forget = el("button", { type: "button", class: "quiet", onclick: onForget }, "Dismiss");
  const element = el("li", { class: "upload" }, el("span", { class: "name" }, label), bar, said, cancel, again, forget);
  const update = (/** @type {Upload} */ upload) => {
    const sending = upload.state === "sending";
    bar.max = Math.max(1, upload.total);
    bar.value = upload.sent;
    bar.hidden = cancel.hidden = !sending;
    forget.hidden = sending;
    again.hidden = sending || onAgain === null;
    said.className = upload.state === "failed" ? "fault" : "hint";
    replace(said, sending ? progress(upload) : upload.state === "cancelled" ? "Cancelled; nothing was kept." : upload.fault);
  };
  return { element, update };
}

/** @param {Upload} upload */
function progress({ sent, total, seconds }) {
  if (sent >= total && total > 0) return "All sent; the service is storing it";
  const rate = sent / Math.max(seconds, 0.1);
  const left = seconds > 2 && rate > 0 ? `, ${duration((total - sent) / rate)} left` : "";
  return `${size(sent)} of ${size(total)}${seconds > 1 ? `, ${size(Math.round(rate))}/s` : ""}${left}`;
}
