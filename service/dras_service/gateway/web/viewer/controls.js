// What moves and colours the images, by pointer and by keyboard.

import { el, replace } from "../dom.js";
import { guarded } from "../panel.js";
import { number } from "../wording.js";
import { LOW, LUNGS } from "./colours.js";
import { indexAt } from "./nifti.js";
import { patchControls } from "./patch_controls.js";
import { PLANES } from "./scan.js";

/** @import { Image } from "./nifti.js" */
/** @import { Patches } from "./patches.js" */
/** @import { Plane, Scan } from "./scan.js" */

/** @type {Record<string, [title: string, low: number, high: number]>} */
const WINDOWS = {
  lung: ["Lung", -1350, 150],
  mediastinum: ["Mediastinum", -135, 215],
  emphysema: ["Emphysema", -1050, -750],
};
const VIEWS = /** @type {const} */ ({ all: "All", axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" });
const LABELS = ["", "right lung", "left lung", "airway"];
/** @type {Record<string, [plane: Plane, step: number]>} */
const KEYS = {
  ArrowUp: ["axial", 1], ArrowDown: ["axial", -1], ArrowLeft: ["sagittal", -1], ArrowRight: ["sagittal", 1],
  PageUp: ["coronal", 1], PageDown: ["coronal", -1],
};

/**
 * @param {HTMLElement} bar
 * @param {HTMLElement} stage
 * @param {{ scan: Scan, lungs: Image, low: Image, patches: Promise<Patches>, signal: AbortSignal }} options
 */
export async function controls(bar, stage, { scan, lungs, low, patches, signal }) {
  const sliders = Object.fromEntries(Object.keys(PLANES).map((plane) => [plane, slider(scan, /** @type {Plane} */ (plane))]));
  const reading = el("output", { class: "reading" });
  const colouring = el("div", { class: "colouring" });
  stage.dataset.view = "all";
  await scan.outline(/** @type {Uint8Array} */ (lungs.voxels), LUNGS);
  await scan.lay("low", /** @type {Uint8Array} */ (low.voxels), { colours: LOW, most: 100, opacity: 0 });
  replace(
    bar,
    choice("View", Object.entries(VIEWS), "all", (view) => {
      stage.dataset.view = view;
      scan.setView(/** @type {keyof typeof VIEWS} */ (view));
    }),
    choice("Window", Object.entries(WINDOWS).map(([name, [title]]) => [name, title]), "lung", (name) => {
      const [, lowest, highest] = WINDOWS[name];
      scan.setWindow([lowest, highest]);
    }),
    el(
      "fieldset",
      {},
      el("legend", {}, "Overlays"),
      tick("Lungs", true, (on) => scan.showOutline(on)),
      tick("Low attenuation", false, (on) => scan.show("low", on ? 0.8 : 0)),
    ),
    colouring,
  );
  stage.after(
    el("div", { class: "sliders" }, ...Object.values(sliders).map(({ element }) => element)),
    reading,
    el("p", { id: "viewer-keys", class: "hint" }, "Wheel or arrow keys: \u2191 \u2193 axial, \u2190 \u2192 sagittal, Page Up and Page Down coronal. Drag with the right button: window. What is shown is a copy in blocks of about 1.6 mm; nothing is measured on it."),
  );
  const colours = { at: (/** @type {number} */ _voxel) => "" };
  void guarded(colouring, async () => {
    const ready = await patches;
    if (!signal.aborted) Object.assign(colours, patchControls(colouring, { scan, lungs, patches: ready, voxel: () => voxel }));
  });
  let voxel = -1;
  const canvas = scan.niivue.canvas;
  // Before the viewer's own listener, whose keys are others.
  canvas?.addEventListener("keydown", (event) => {
    const [plane, step] = KEYS[event.key] ?? [null, 0];
    if (event.key !== "Tab") event.stopImmediatePropagation();
    if (plane === null) return;
    event.preventDefault();
    scan.goTo(plane, scan.slice(plane) + step * (event.shiftKey ? 10 : 1));
  }, { capture: true });
  canvas?.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
  return {
    /** @param {number[]} mm RAS */
    onMove(mm) {
      for (const { update } of Object.values(sliders)) update();
      voxel = indexAt(lungs, mm);
      replace(reading, ...readings(scan.image, lungs, low, voxel).map((text) => el("span", {}, text)), el("span", { class: "patch" }, colours.at(voxel)));
    },
  };
}

/**
 * @param {Image} image
 * @param {Image} lungs
 * @param {Image} low
 * @param {number} voxel
 */
function readings(image, lungs, low, voxel) {
  if (voxel < 0) return ["outside the copy"];
  const label = LABELS[lungs.voxels[voxel]];
  const share = low.voxels[voxel];
  return [`${number(image.voxels[voxel], 0)} HU`, label, label && share > 0 ? `${share} % of this block at or below \u2212950 HU` : ""].filter(Boolean);
}

/**
 * @param {Scan} scan
 * @param {Plane} plane
 */
function slider(scan, plane) {
  const n = scan.count(plane);
  const value = el("span", { class: "slice" });
  const input = el("input", { type: "range", id: `slice-${plane}`, min: 1, max: n, value: 1 });
  input.addEventListener("input", () => scan.goTo(plane, Number(input.value) - 1));
  const update = () => {
    const at = scan.slice(plane) + 1;
    input.value = String(at);
    replace(value, `${at} of ${n}`);
  };
  const element = el("p", {}, el("label", { for: `slice-${plane}` }, VIEWS[plane]), input, value);
  return { element, update };
}

/**
 * @param {string} title
 * @param {[string, string][]} options
 * @param {string} first
 * @param {(name: string) => void} onChoose
 */
function choice(title, options, first, onChoose) {
  const name = `choice-${title.toLowerCase()}`;
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
function tick(label, checked, onTick) {
  const input = el("input", { type: "checkbox", checked });
  input.addEventListener("change", () => onTick(input.checked));
  return el("label", {}, input, el("span", {}, label));
}
