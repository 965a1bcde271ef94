// The images of a result: the small copy of the scan in three planes, what lies over it, and what is at the crosshair.

import { el, replace } from "../dom.js";
import { controls } from "./controls.js";
import { middleOf, openImage, spacing } from "./nifti.js";
import { readNpz } from "./npz.js";
import { Patches } from "./patches.js";

/** @import { Context } from "../result/job_view.js" */

const FILES = ["view.nii.gz", "view_lungs.nii.gz", "view_low.nii.gz"];

/**
 * @param {HTMLElement} body
 * @param {Context} context
 */
export async function fill(body, context) {
  const { api, job, signal } = context;
  const [{ artifacts }, { Scan, canDraw }] = await Promise.all([api.artifacts(job), import("./scan.js")]);
  signal.throwIfAborted();
  const there = new Set(artifacts.map(({ name }) => name));
  if (!FILES.every((name) => there.has(name))) {
    return instead(body, context, "The service kept no copy of this scan to look at (DRAS_WORKER__VIEW).");
  }
  if (!canDraw()) {
    return instead(body, context, "This browser has no WebGL 2, so that slices cannot be shown; numbers and files are complete.");
  }
  const told = el("p", { class: "hint", role: "status" }, "Loading the images…");
  replace(body, told);
  const images = FILES.map(async (name) => openImage(await api.file(job, name, signal)));
  const arrays = api.file(job, "features.npz", signal).then((answer) => answer.blob()).then(readNpz);
  arrays.catch(() => {}); // told below, where it is waited for
  const [image, lungs, low] = await Promise.all(images);
  signal.throwIfAborted();
  const canvas = el("canvas", {
    class: "slices", tabindex: 0, role: "application", "aria-label": "Slices of the scan", "aria-describedby": "viewer-keys",
  });
  const stage = el("div", { class: "stage" }, canvas);
  stage.style.setProperty("--three-planes", String(widthToHeight(image)));
  const bar = el("div", { class: "controls" });
  replace(body, bar, stage);
  /** @type {(mm: number[]) => void} */
  let onMove = () => {};
  const scan = await Scan.open(canvas, image, (mm) => onMove(mm));
  signal.addEventListener("abort", () => scan.close());
  const shown = await controls(bar, stage, { scan, lungs, low, patches: arrays.then((found) => new Patches(found)), signal });
  onMove = shown.onMove;
  scan.goToPlace(middleOf(lungs));
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
