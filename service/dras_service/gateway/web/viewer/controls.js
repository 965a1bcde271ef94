// What moves and colours the images, by pointer and by keyboard, and what is told of the place at the crosshair.

import { el, replace } from "../dom.js";
import { guarded } from "../panel.js";
import { number } from "../wording.js";
import { LOW, LUNGS } from "./colours.js";
import { listenToKeys, sliders, tick, viewChoice, windowChoice } from "./inputs.js";
import { indexAt } from "./nifti.js";
import { patchControls } from "./patch_controls.js";

/** @import { Image } from "./nifti.js" */
/** @import { Patches } from "./patches.js" */
/** @import { Scan } from "./scan.js" */

const LABELS = ["", "right lung", "left lung", "airway"];
const LOW_OPACITY = 0.8;

/**
 * Put the controls around a scan that is seen already; what lies over it comes when it is there.
 * @param {HTMLElement} bar
 * @param {HTMLElement} stage
 * @param {{ scan: Scan, lungs: Image, low: Promise<Image>, patches: Promise<Patches>, signal: AbortSignal }} options
 * @returns {(mm: number[]) => void} is told the place of the crosshair, RAS
 */
export function controls(bar, stage, { scan, lungs, low, patches, signal }) {
  const slices = sliders(scan, "");
  const reading = el("output", { class: "reading" });
  const colouring = el("div", { class: "colouring" });
  const overlays = el("fieldset", {}, el("legend", {}, "Overlays"));
  stage.dataset.view = "all";
  replace(
    bar,
    viewChoice("", "all", (view) => {
      stage.dataset.view = view;
      scan.setView(view);
    }),
    windowChoice("", (window) => scan.setWindow(window)),
    overlays,
    colouring,
  );
  stage.after(
    slices.element,
    reading,
    el("p", { id: "viewer-keys", class: "hint" }, "Wheel or arrow keys: \u2191 \u2193 axial, \u2190 \u2192 sagittal, Page Up and Page Down coronal. Drag with the right button: window. What is shown is a copy in blocks of about 1.6 mm; nothing is measured on it."),
  );
  /** @type {{ voxel: number, low: Image | null, patch: (voxel: number) => string }} */
  const now = { voxel: -1, low: null, patch: () => "" };
  void guarded(overlays, async () => {
    await scan.outline(/** @type {Uint8Array} */ (lungs.voxels), LUNGS);
    now.low = await low;
    if (signal.aborted) return;
    overlays.append(tick("Lungs", true, (on) => scan.showOutline(on)), lowTick(scan, now.low));
    scan.tell();
  });
  void guarded(colouring, async () => {
    const ready = await patches;
    if (!signal.aborted) now.patch = patchControls(colouring, { scan, lungs, patches: ready, voxel: () => now.voxel }).at;
  });
  listenToKeys(scan.canvas, scan);
  return (mm) => {
    slices.update();
    now.voxel = indexAt(lungs, mm);
    const told = readings(scan.image, lungs, now.low, now.voxel);
    replace(reading, ...told.map((text) => el("span", {}, text)), el("span", { class: "patch" }, now.patch(now.voxel)));
  };
}

/**
 * The share of low attenuation, laid over the scan when it is first asked for.
 * @param {Scan} scan
 * @param {Image} low
 */
function lowTick(scan, low) {
  return tick("Low attenuation", false, (on) =>
    on ? scan.lay("low", /** @type {Uint8Array} */ (low.voxels), { colours: LOW, most: 100, opacity: LOW_OPACITY }) : scan.show("low", 0),
  );
}

/**
 * What is at a voxel: density, where in the lungs, and how much of it is low.
 * @param {Image} image
 * @param {Image} lungs
 * @param {Image | null} low
 * @param {number} voxel
 */
export function readings(image, lungs, low, voxel) {
  if (voxel < 0) return ["outside the copy"];
  const label = LABELS[lungs.voxels[voxel]];
  const share = low === null ? 0 : low.voxels[voxel];
  return [`${number(image.voxels[voxel], 0)} HU`, label, label && share > 0 ? `${share} % of this block at or below \u2212950 HU` : ""].filter(Boolean);
}
