// The inputs of images, for one viewer or for two that move as one. `group` keeps those of two viewers apart.

import { el, replace } from "../dom.js";
import { PLANES } from "./planes.js";

/** @import { Plane } from "./planes.js" */
/** @import { Scan } from "./scan.js" */

/** @type {Record<string, [title: string, low: number, high: number]>} */
export const WINDOWS = {
  lung: ["Lung", -1350, 150],
  mediastinum: ["Mediastinum", -135, 215],
  emphysema: ["Emphysema", -1050, -750],
};
export const VIEWS = /** @type {const} */ ({ all: "All", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" });
/** @typedef {keyof typeof VIEWS} View */
/** @type {Record<string, [plane: Plane, step: number]>} */
const KEYS = {
  ArrowUp: ["axial", 1], ArrowDown: ["axial", -1], ArrowLeft: ["sagittal", -1], ArrowRight: ["sagittal", 1],
  PageUp: ["coronal", 1], PageDown: ["coronal", -1],
};

/**
 * @param {string} group
 * @param {View} first
 * @param {(view: View) => void} onChoose
 */
export function viewChoice(group, first, onChoose) {
  return choice("View", group, Object.entries(VIEWS), first, (view) => onChoose(/** @type {View} */ (view)));
}

/**
 * @param {string} group
 * @param {(window: [number, number]) => void} onChoose is told the lowest and highest HU that are told apart
 */
export function windowChoice(group, onChoose) {
  return choice("Window", group, Object.entries(WINDOWS).map(([name, [title]]) => [name, title]), "lung", (name) => {
    const [, lowest, highest] = WINDOWS[name];
    onChoose([lowest, highest]);
  });
}

/**
 * A slider for each plane, and what brings them to where the scan is.
 * @param {Scan} scan
 * @param {string} group
 */
export function sliders(scan, group) {
  const each = Object.keys(PLANES).map((plane) => slider(scan, /** @type {Plane} */ (plane), group));
  const update = () => each.forEach((one) => one.update());
  return { element: el("div", { class: "sliders" }, ...each.map(({ element }) => element)), update };
}

/**
 * Move through a scan by the keyboard; listens before the viewer itself, whose keys are others.
 * @param {HTMLCanvasElement} canvas
 * @param {Scan} scan
 */
export function listenToKeys(canvas, scan) {
  canvas.addEventListener("keydown", (event) => {
    const [plane, step] = KEYS[event.key] ?? [null, 0];
    if (event.key !== "Tab") event.stopImmediatePropagation();
    if (plane === null) return;
    event.preventDefault();
    scan.goTo(plane, scan.slice(plane) + step * (event.shiftKey ? 10 : 1));
  }, { capture: true });
  canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
}

/**
 * @param {Scan} scan
 * @param {Plane} plane
 * @param {string} group
 */
function slider(scan, plane, group) {
  const n = scan.count(plane);
  const id = `slice-${group}${plane}`;
  const value = el("span", { class: "slice" });
  const input = el("input", { type: "range", id, min: 1, max: n, value: 1 });
  input.addEventListener("input", () => scan.goTo(plane, Number(input.value) - 1));
  const update = () => {
    const at = scan.slice(plane) + 1;
    input.value = String(at);
    replace(value, `${at} of ${n}`);
  };
  const element = el("p", {}, el("label", { for: id }, VIEWS[plane]), input, value);
  return { element, update };
}

/**
 * @param {string} title
 * @param {string} group
 * @param {[string, string][]} options
 * @param {string} first
 * @param {(name: string) => void} onChoose
 */
function choice(title, group, options, first, onChoose) {
  const name = `choice-${group}${title.toLowerCase()}`;
  return el("fieldset", { class: "choice" }, el("legend", {}, title), ...options.map(([value, label]) => {
    const input = el("input", { type: "radio", name, value, checked: value === first });
    input.addEventListener("change", () => onChoose(value));
    return el("label", {}, input, el("span", {}, label));
  }));
}

/**
 * @param {string} label
 * @param {boolean} checked
 * @param {(on: boolean) => void} onTick
 */
export function tick(label, checked, onTick) {
  const input = el("input", { type: "checkbox", checked });
  input.addEventListener("change", () => onTick(input.checked));
  return el("label", {}, input, el("span", {}, label));
}
