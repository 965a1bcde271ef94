// NIfTI-1 as the service writes it, little-endian and single-file: the grid, the voxels, and images on the same grid.

const [DIMS_AT, TYPE_AT, BITS_AT, OFFSET_AT, HIGHEST_AT, LOWEST_AT, SFORM_AT] = [40, 70, 72, 108, 124, 128, 280];
const UINT8 = 2;
const INT16 = 4;

/**
 * @typedef {object} Image
 * @property {ArrayBuffer} content the file, inflated
 * @property {[number, number, number]} shape voxels along x, y and z; x runs fastest
 * @property {number[][]} affine (x, y, z) to RAS mm, three rows of four
 * @property {Int16Array | Uint8Array} voxels
 */

/**
 * Inflate and open an image. Raises Error where it is none.
 * @param {Response} answer of a gzipped file
 * @returns {Promise<Image>}
 */
export async function openImage(answer) {
  const inflated = /** @type {ReadableStream<any>} */ (answer.body).pipeThrough(new DecompressionStream("gzip"));
  return parse(await new Response(inflated).arrayBuffer());
}

/**
 * @param {ArrayBuffer} content
 * @returns {Image}
 */
export function parse(content) {
  const header = new DataView(content);
  if (content.byteLength < 352 || header.getInt32(0, true) !== 348) throw new Error("the image is damaged");
  const [x, y, z] = [1, 2, 3].map((axis) => header.getInt16(DIMS_AT + 2 * axis, true));
  const at = header.getFloat32(OFFSET_AT, true);
  const kind = { [UINT8]: Uint8Array, [INT16]: Int16Array }[header.getInt16(TYPE_AT, true)];
  if (kind === undefined) throw new Error("the image holds voxels of another kind");
  const affine = [0, 1, 2].map((row) => [0, 1, 2, 3].map((column) => header.getFloat32(SFORM_AT + 16 * row + 4 * column, true)));
  return { content, shape: [x, y, z], affine, voxels: new kind(content, at, x * y * z) };
}

/**
 * Make an image of bytes on the grid of another.
 * @param {Image} image
 * @param {Uint8Array} voxels
 * @returns {ArrayBuffer} a file
 */
export function bytesOn(image, voxels) {
  const at = new DataView(image.content).getFloat32(OFFSET_AT, true);
  const file = new Uint8Array(at + voxels.length);
  file.set(new Uint8Array(image.content, 0, at));
  const header = new DataView(file.buffer);
  header.setInt16(TYPE_AT, UINT8, true);
  header.setInt16(BITS_AT, 8, true);
  file.set(voxels, at);
  return file.buffer;
}

/**
 * Say in the header what is to be told apart, so that nobody counts every voxel to find out.
 * @param {Image} image
 * @param {number} low
 * @param {number} high
 */
export function sayWindow({ content }, low, high) {
  const header = new DataView(content);
  header.setFloat32(LOWEST_AT, low, true);
  header.setFloat32(HIGHEST_AT, high, true);
}

/** Millimetres a voxel along each axis.
 * @param {Image} image */
export function spacing({ affine }) {
  return [0, 1, 2].map((axis) => Math.hypot(...affine.map((row) => row[axis])));
}

/**
 * Map RAS millimetres to voxels; the axes of a grid are at right angles.
 * @param {Image} image
 * @param {number[]} mm
 */
export function toVoxel(image, mm) {
  const sides = spacing(image);
  const shifted = image.affine.map((row, n) => mm[n] - row[3]);
  return [0, 1, 2].map((axis) => image.affine.reduce((sum, row, n) => sum + row[axis] * shifted[n], 0) / sides[axis] ** 2);
}

/**
 * The number of the voxel that holds a place; -1 outside.
 * @param {Image} image
 * @param {number[]} mm RAS
 */
export function indexAt(image, mm) {
  const [x, y, z] = toVoxel(image, mm).map(Math.round);
  const [nx, ny, nz] = image.shape;
  const inside = x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz;
  return inside ? x + nx * (y + ny * z) : -1;
}

/** The place of a voxel, RAS mm.
 * @param {Image} image
 * @param {number[]} voxel */
export function toPlace({ affine }, voxel) {
  return affine.map((row) => row[3] + voxel.reduce((sum, at, axis) => sum + row[axis] * at, 0));
}

/**
 * The middle of the right lung, RAS mm, or of the image where there is none: a place with something to see.
 * @param {Image} lungs labels, 1 right
 */
export function middleOf(lungs) {
  const [nx, ny, nz] = lungs.shape;
  const { voxels } = lungs;
  const sum = [0, 0, 0];
  let n = 0;
  for (let z = 0, at = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, at++) {
        if (voxels[at] !== 1) continue;
        sum[0] += x;
        sum[1] += y;
        sum[2] += z;
        n++;
      }
    }
  }
  return toPlace(lungs, n === 0 ? [nx, ny, nz].map((size) => size >> 1) : sum.map((total) => Math.round(total / n)));
}
