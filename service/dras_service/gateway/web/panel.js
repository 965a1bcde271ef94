// A part of the page that fails by itself: its fault is said in its place, and the rest goes on.

import { el, replace } from "./dom.js";

/**
 * Make a titled part of the page and fill it; `fill` may take its time.
 * @param {string} title
 * @param {(body: HTMLElement) => void | Promise<void>} fill
 * @param {{ name: string, heading?: "h2" | "h3" }} options `name` is its class
 * @returns {HTMLElement}
 */
export function panel(title, fill, { name, heading = "h2" }) {
  const body = el("div", { class: "body" });
  const id = `panel-${name}`;
  const section = el("section", { class: `panel ${name}`, "aria-labelledby": id }, el(heading, { id }, title), body);
  void guarded(body, () => fill(body));
  return section;
}

/**
 * Do something for a part of the page; what it throws is shown there.
 * @param {HTMLElement} body
 * @param {() => void | Promise<void>} work
 */
export async function guarded(body, work) {
  try {
    await work();
  } catch (fault) {
    if (fault instanceof DOMException && fault.name === "AbortError") return;
    const what = fault instanceof Error ? fault.message : String(fault);
    replace(body, el("p", { class: "fault", role: "alert" }, `This part cannot be shown: ${what}`));
  }
}
