// Colours of what is laid over the scan. Entry 0 is always clear: it means that nothing is there.

/** @typedef {{ R: number[], G: number[], B: number[], A: number[], I: number[] }} ColourMap */
/** @typedef {[at: number, red: number, green: number, blue: number, alpha: number]} Stop */

/** @param {Stop[]} stops of which all but the clear one at 0 are joined by straight lines
 * @returns {ColourMap} */
function ramp(stops) {
  const [, red, green, blue] = stops[0]; // of what is clear too: colours are mixed at its border
  const all = /** @type {Stop[]} */ ([[0, red, green, blue, 0], ...stops]);
  const [I, R, G, B, A] = [0, 1, 2, 3, 4].map((part) => all.map((stop) => stop[part]));
  return { R, G, B, A, I };
}

/** Right lung, left lung and airway, as outlines. */
export const LUNGS = ramp([[1, 77, 208, 225, 255], [2, 174, 213, 129, 255], [3, 206, 147, 216, 255]]);
/** Percent of a block at or below -950 HU. */
export const LOW = ramp([[1, 255, 193, 7, 0], [50, 255, 167, 38, 190], [255, 244, 81, 30, 255]]);
/** From little to much, told apart by those who see no red or green: dark blue to yellow. */
export const SEQUENCE = ramp([[1, 38, 48, 120, 255], [86, 33, 129, 141, 255], [170, 94, 190, 98, 255], [255, 250, 225, 60, 255]]);
/** Either side of a middle. */
export const DIVERGING = ramp([[1, 49, 104, 189, 255], [128, 225, 225, 225, 255], [255, 202, 77, 48, 255]]);

/**
 * Draw a colour map as the bar of a legend.
 * @param {HTMLCanvasElement} canvas
 * @param {ColourMap} map
 */
export function drawBar(canvas, { R, G, B, I }) {
  const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const gradient = pen.createLinearGradient(0, 0, canvas.width, 0);
  for (let n = 1; n < I.length; n++) gradient.addColorStop((I[n] - 1) / 254, `rgb(${R[n]} ${G[n]} ${B[n]})`);
  pen.fillStyle = gradient;
  pen.fillRect(0, 0, canvas.width, canvas.height);
}
