// NiiVue as the page uses it: one scan with layers of bytes over it, seen in three planes.

import { Niivue, NVImage, SHOW_RENDER, SLICE_TYPE } from "../vendor/niivue.js";
import { bytesOn, sayWindow } from "./nifti.js";
import { PLANES } from "./planes.js";

/** @import { Image } from "./nifti.js" */
/** @import { Plane } from "./planes.js" */
/** @import { ColourMap } from "./colours.js" */

const TYPES = {
  all: SLICE_TYPE.MULTIPLANAR, axial: SLICE_TYPE.AXIAL, coronal: SLICE_TYPE.CORONAL, sagittal: SLICE_TYPE.SAGITTAL,
};
const FIRST_WINDOW = [-1350, 150]; // lung
const FAINT = 0.004; // of what is within an outline: at 0 the border is not looked for
const OPTIONS = {
  isRadiologicalConvention: true,
  sagittalNoseLeft: true,
  multiplanarShowRender: SHOW_RENDER.NEVER,
  multiplanarPadPixels: 6,
  backColor: [0, 0, 0, 1],
  crosshairColor: [0.42, 0.69, 0.83, 0.85],
  crosshairWidth: 1,
  crosshairGap: 12,
  fontColor: [0.75, 0.8, 0.84, 1],
  fontMinPx: 12,
  isColorbar: false,
  isAntiAlias: false,
  dragAndDropEnabled: false,
  loadingText: "",
  viewModeHotKey: "",
  clipPlaneHotKey: "",
  cycleClipPlaneHotKey: "",
  logLevel: /** @type {const} */ ("fatal"),
};

/** Whether this browser can draw a scan at all. */
export function canDraw() {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

/**
 * Make a canvas ready to draw on, which takes the time of compiling what draws: the images may come meanwhile.
 * @param {HTMLCanvasElement} canvas
 * @param {AbortSignal} signal lets go of it
 */
export async function prepare(canvas, signal) {
  const niivue = new Niivue(OPTIONS);
  niivue.meshShaders = []; // a third of all that would be compiled, for surfaces that the page never shows
  await niivue.attachToCanvas(canvas, false);
  if (signal.aborted) niivue.cleanup();
  signal.throwIfAborted();
  signal.addEventListener("abort", () => niivue.cleanup());
  return niivue;
}

export class Scan {
  /**
   * Show an image, at a place to begin with.
   * @param {Niivue} niivue of `prepare`
   * @param {Image} image
   * @param {{ at: number[], view?: keyof typeof TYPES }} first RAS mm
   * @returns {Promise<Scan>}
   */
  static async open(niivue, image, { at, view = "all" }) {
    const [low, high] = FIRST_WINDOW;
    sayWindow(image, low, high);
    const scan = await NVImage.loadFromUrl({ url: image.content, name: "scan.nii", colormap: "gray", cal_min: low, cal_max: high });
    niivue.opts.sliceType = TYPES[view];
    niivue.addVolume(scan);
    const opened = new Scan(niivue, image);
    opened.goToPlace(at);
    return opened;
  }

  /**
   * @param {Niivue} niivue
   * @param {Image} image
   */
  constructor(niivue, image) {
    this.niivue = niivue;
    this.image = image;
    /** @type {(mm: number[]) => void} is told the place of the crosshair, RAS */
    this.onMove = () => {};
    niivue.onLocationChange = (where) => this.onMove([.../** @type {{ mm: number[] }} */ (where).mm].slice(0, 3));
    /** @type {Map<string, NVImage>} */
    this.layers = new Map();
  }

  get canvas() {
    return /** @type {HTMLCanvasElement} */ (this.niivue.canvas);
  }

  /**
   * Lay bytes over the scan; a layer of that name is exchanged.
   * @param {string} name
   * @param {Uint8Array} voxels on the scan's grid
   * @param {{ colours: ColourMap, most: number, opacity: number }} options `most` has the last colour
   */
  async lay(name, voxels, { colours, most, opacity }) {
    const key = `dras-${name}`;
    this.niivue.addColormap(key, colours);
    const there = this.layers.get(name);
    if (there !== undefined) {
      /** @type {Uint8Array} */ (there.img).set(voxels);
      there.setColormap(key);
      this.show(name, opacity);
      return;
    }
    const layer = await NVImage.loadFromUrl({ url: bytesOn(this.image, voxels), name: `${name}.nii`, colormap: key, cal_min: 0, cal_max: most, opacity });
    this.layers.set(name, layer);
    this.niivue.addVolume(layer);
  }

  /**
   * @param {string} name
   * @param {number} opacity 0 hides it
   */
  show(name, opacity) {
    const layer = this.layers.get(name);
    if (layer === undefined) return;
    layer.opacity = opacity;
    this.niivue.updateGLVolume();
  }

  /**
   * Draw the border of each label in every plane; the scan beneath stays to be seen.
   * @param {Uint8Array} labels on the scan's grid
   * @param {ColourMap} colours by label
   */
  async outline(labels, colours) {
    const image = await NVImage.loadFromUrl({ url: bytesOn(this.image, labels), name: "labels.nii" });
    this.niivue.loadDrawing(image);
    this.niivue.drawOpacity = FAINT;
    this.niivue.setDrawColormap(/** @type {any} */ (colours));
    this.showOutline(true);
  }

  /** @param {boolean} on */
  showOutline(on) {
    this.niivue.drawRimOpacity = on ? 1 : FAINT;
    this.niivue.drawScene();
  }

  /** @param {[number, number]} window lowest and highest HU that are told apart */
  setWindow([low, high]) {
    Object.assign(this.niivue.volumes[0], { cal_min: low, cal_max: high });
    this.niivue.updateGLVolume();
  }

  /** @param {keyof typeof TYPES} view */
  setView(view) {
    this.niivue.setSliceType(TYPES[view]);
  }

  /** @param {Plane} plane */
  count(plane) {
    return this.image.shape[PLANES[plane]];
  }

  /** The slice that is seen, from 0: from the feet, the back, the patient's left.
   * @param {Plane} plane */
  slice(plane) {
    const n = this.count(plane);
    return Math.min(n - 1, Math.floor(this.niivue.scene.crosshairPos[PLANES[plane]] * n));
  }

  /**
   * @param {Plane} plane
   * @param {number} slice
   */
  goTo(plane, slice) {
    const n = this.count(plane);
    this.niivue.scene.crosshairPos[PLANES[plane]] = (Math.min(n - 1, Math.max(0, slice)) + 0.5) / n;
    this.niivue.drawScene();
    this.tell();
  }

  /** @param {number[]} mm RAS */
  goToPlace(mm) {
    const fraction = this.niivue.mm2frac(/** @type {[number, number, number]} */ (mm));
    const [x, y, z] = [0, 1, 2].map((axis) => Math.min(1, Math.max(0, fraction[axis])));
    this.niivue.scene.crosshairPos = [x, y, z];
    this.niivue.drawScene();
    this.tell();
  }

  /** Say again where the crosshair is. */
  tell() {
    this.niivue.createOnLocationChange();
  }
}
