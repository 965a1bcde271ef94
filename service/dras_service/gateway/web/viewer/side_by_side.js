// Two scans side by side under one cursor: whichever is moved, the other follows to the same place.

import { el, replace } from "../dom.js";
import { LUNGS } from "./colours.js";
import { readings } from "./controls.js";
import { listenToKeys, sliders, viewChoice, windowChoice } from "./inputs.js";
import { matching } from "./matching.js";
import { indexAt, middleOf, openImage } from "./nifti.js";
import { Scan, canDraw, prepare } from "./scan.js";
import { FILES, slicesOf } from "./viewer.js";

/** @import { Api } from "../api.js" */
/** @import { JobView, StudyResult } from "../types.js" */
/** @import { Mapping } from "./matching.js" */
/** @import { Image } from "./nifti.js" */

/** @typedef {{ title: string, job: JobView, result: StudyResult }} Study */
/** @typedef {{ scan: Scan, image: Image, lungs: Image, reading: HTMLElement }} Side */

const GROUP = "pair-";

/**
 * Fill a place with both; the sliders are those of the second. Raises Problem where the service kept no copy of one.
 * @param {HTMLElement} place
 * @param {[baseline: Study, here: Study]} studies
 * @param {{ api: Api, signal: AbortSignal }} options
 */
export async function fill(place, studies, { api, signal }) {
  if (!canDraw()) return replace(place, el("p", { class: "hint" }, "This browser has no WebGL 2, so that slices cannot be shown."));
  const bar = el("div", { class: "controls" }, el("p", { class: "hint", role: "status" }, "Loading the images of both…"));
  const canvases = studies.map(({ title }) => slicesOf(`Slices of ${title}`));
  const readings = studies.map(() => el("output", { class: "reading" }));
  const pair = el("div", { class: "pair" }, ...studies.map(({ title }, n) =>
    el("figure", {}, el("figcaption", {}, title), el("div", { class: "stage", "data-view": "axial" }, canvases[n]), readings[n])));
  place.className = "pair-place";
  replace(place, bar, pair);
  canvases[1].focus({ preventScroll: true }); // the button that had it is gone
  const load = async (/** @type {Study} */ { job }, /** @type {string} */ name) => openImage(await api.file(job, name, signal));
  const [baseline, here] = await Promise.all(studies.map(async (study, n) => {
    const [niivue, image, lungs] = await Promise.all([prepare(canvases[n], signal), load(study, FILES.scan), load(study, FILES.lungs)]);
    signal.throwIfAborted();
    const scan = await Scan.open(niivue, image, { at: middleOf(lungs), view: "axial" });
    await scan.outline(/** @type {Uint8Array} */ (lungs.voxels), LUNGS);
    return { scan, image, lungs, reading: readings[n] };
  }));
  const { told, toOther, toHere } = matching([studies[1].result, here.lungs], [studies[0].result, baseline.lungs]);
  const slices = sliders(here.scan, GROUP);
  follow(here, baseline, toOther, toHere, () => slices.update());
  replace(
    bar,
    viewChoice(GROUP, "axial", (view) => {
      for (const stage of pair.querySelectorAll(".stage")) /** @type {HTMLElement} */ (stage).dataset.view = view;
      for (const { scan } of [here, baseline]) scan.setView(view);
    }),
    windowChoice(GROUP, (window) => {
      for (const { scan } of [here, baseline]) scan.setWindow(window);
    }),
  );
  pair.after(slices.element, el("p", { class: "hint" }, told));
  here.scan.tell();
}

/**
 * Let each scan follow the other, and say what is at the cursor of both.
 * @param {Side} here
 * @param {Side} other
 * @param {Mapping} toOther
 * @param {Mapping} toHere
 * @param {() => void} onMove
 */
function follow(here, other, toOther, toHere, onMove) {
  let leads = true; // who is moved by the other does not move it in turn
  const pairs = /** @type {const} */ ([[here, other, toOther], [other, here, toHere]]);
  for (const [moved, led, mapping] of pairs) {
    listenToKeys(moved.scan.canvas, moved.scan);
    moved.scan.onMove = (mm) => {
      tell(moved, mm);
      if (!leads) return;
      leads = false;
      try {
        const there = mapping(mm);
        led.scan.goToPlace(there);
        tell(led, there); // the cursor stops at the border of a scan, the place does not
      } finally {
        leads = true;
      }
      onMove();
    };
  }
}

/**
 * @param {Side} side
 * @param {number[]} mm
 */
function tell({ image, lungs, reading }, mm) {
  replace(reading, ...readings(image, lungs, null, indexAt(lungs, mm)).map((text) => el("span", {}, text)));
}
