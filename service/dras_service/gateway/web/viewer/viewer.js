// The images of a result: the small copy of the scan in three planes, what lies over it, and what is at the crosshair.

import { el, replace } from "../dom.js";
import { controls } from "./controls.js";
import { middleOf, openImage, spacing } from "./nifti.js";
import { readNpz } from "./npz.js";
import { Patches } from "./patches.js";

/** @import { Context } from "../result/job_view.js" */

/** The scan, labels of its lungs, and the share of low attenuation. */
export const FILES = { scan: "view.nii.gz", lungs: "view_lungs.nii.gz", low: "view_low.nii.gz" };

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export async function fill(body, context) {
  const { api, job, signal } = context;
  const code = import("./scan.js");
  const { artifacts } = await api.artifacts(job);
  signal.throwIfAborted();
  const there = new Set(artifacts.map(({ name }) => name));
  if (!Object.values(FILES).every((name) => there.has(name))) {
    return instead(body, context, "The service kept no copy of this scan to look at (DRAS_WORKER__VIEW).");
  }
  const load = async (/** @type {string} */ name) => openImage(await api.file(job, name, signal));
  const [image, lungs, low] = [load(FILES.scan), load(FILES.lungs), load(FILES.low)];
  const patches = api.file(job, "features.npz", signal).then((answer) => answer.blob()).then(readNpz).then((found) => new Patches(found));
  for (const waited of [image, lungs, low, patches]) waited.catch(() => {}); // told where each is waited for
  const { Scan, canDraw, prepare } = await code;
  if (!canDraw()) {
    return instead(body, context, "This browser has no WebGL 2, so that slices cannot be shown; numbers and files are complete.");
  }
  const canvas = slicesOf("Slices of the scan");
  const stage = el("div", { class: "stage", "data-view": "all" }, canvas);
  const bar = el("div", { class: "controls" }, el("p", { class: "hint", role: "status" }, "Loading the images…"));
  replace(body, bar, stage);
  const [niivue, shown, labels] = await Promise.all([prepare(canvas, signal), image, lungs]);
  signal.throwIfAborted();
  stage.style.setProperty("--three-planes", String(widthToHeight(shown)));
  const scan = await Scan.open(niivue, shown, { at: middleOf(labels) });
  scan.onMove = controls(bar, stage, { scan, lungs: labels, low, patches, signal });
  scan.tell();
}

/** What slices are drawn on.
 * @param {string} title */
export function slicesOf(title) {
  return el("canvas", { class: "slices", tabindex: 0, role: "application", "aria-label": title, "aria-describedby": "viewer-keys" });
}

/** Of the three planes side by side.
 * @param {import("./nifti.js").Image} image */
function widthToHeight(image) {
  const [x, y, z] = spacing(image).map((side, axis) => side * image.shape[axis]);
  return (2 * x + y) / Math.max(y, z);
}

/**
 * Say why there are no slices, and show the picture that every result has.
 * @param {HTMLElement} body
 * @param {Context} context
 * @param {string} why
 */
async function instead(body, { api, job, signal }, why) {
  const picture = await (await api.file(job, "qc.png", signal)).blob();
  const image = el("img", { class: "qc", src: URL.createObjectURL(picture), alt: "Sections of the scan with the outline of the lungs and the patches" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  replace(body, el("p", { class: "hint", role: "status" }, why), image);
}
