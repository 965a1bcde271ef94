// The patches of a study: where each lies in the scan, and a number of each by which it can be coloured.

import { spacing, toVoxel } from "./nifti.js";

/** @import { Image } from "./nifti.js" */
/** @import { NpArray } from "./npz.js" */

const SIDE_MM = 32; // of a patch's cube (method, step 4)
const NOBODY = 0xffff;
const COLUMNS = new Set(["laa950", "laa910", "perc15_hu", "mean_hu", "lung_fraction"]);

export class Patches {
  /** @param {Map<string, NpArray>} arrays of `features.npz` */
  constructor(arrays) {
    const get = (/** @type {string} */ name) => {
      const array = arrays.get(name);
      if (array === undefined) throw new Error(`the arrays hold no ${name}`);
      return array;
    };
    const embeddings = get("embeddings");
    this.n = embeddings.shape[0];
    this.width = embeddings.shape[1];
    this.embeddings = /** @type {Float32Array} */ (embeddings.data);
    this.valid = /** @type {Uint8Array} */ (get("valid").data);
    this.cornersLps = /** @type {Float64Array} */ (get("corner_mm").data);
    this.columns = new Map([...arrays].filter(([name]) => COLUMNS.has(name)).map(([name, { data }]) => [name, /** @type {Float32Array} */ (data)]));
  }

  /**
   * Say which patch each voxel of the lungs belongs to: the valid one whose middle is nearest; NOBODY where none is.
   * @param {Image} lungs labels
   * @returns {Uint16Array}
   */
  owners(lungs) {
    const owners = new Uint16Array(lungs.voxels.length).fill(NOBODY);
    const nearest = new Uint16Array(lungs.voxels.length).fill(NOBODY);
    const sides = spacing(lungs);
    for (let patch = 0; patch < this.n; patch++) {
      if (this.valid[patch]) paint(owners, nearest, lungs, sides, this.corner(lungs, patch), patch);
    }
    return owners;
  }

  /**
   * The first voxel of a patch's cube, in voxels of an image; its axes are those of the cube.
   * @param {Image} image
   * @param {number} patch
   */
  corner(image, patch) {
    const [x, y, z] = this.cornersLps.subarray(3 * patch, 3 * patch + 3);
    return toVoxel(image, [-x, -y, z]);
  }

  /**
   * @param {number} component
   * @returns {Float32Array}
   */
  component(component) {
    return Float32Array.from({ length: this.n }, (_, patch) => this.embeddings[patch * this.width + component]);
  }

  /**
   * Cosine of the angle between the embedding of every patch and that of one.
   * @param {number} picked
   * @returns {Float32Array}
   */
  similarity(picked) {
    const row = (/** @type {number} */ patch) => this.embeddings.subarray(patch * this.width, (patch + 1) * this.width);
    const one = row(picked);
    const length = Math.hypot(...one);
    return Float32Array.from({ length: this.n }, (_, patch) => {
      const other = row(patch);
      return one.reduce((sum, value, n) => sum + value * other[n], 0) / (length * Math.hypot(...other));
    });
  }

  /**
   * The ends of a scale for values of the valid patches: their 2nd and 98th percentile.
   * @param {Float32Array} values
   * @returns {[number, number]}
   */
  scale(values) {
    const sorted = values.filter((value, patch) => this.valid[patch] && Number.isFinite(value)).sort();
    const at = (/** @type {number} */ fraction) => sorted[Math.round(fraction * (sorted.length - 1))] ?? 0;
    return at(0.02) === at(0.98) ? [at(0), at(0) === at(1) ? at(0) + 1 : at(1)] : [at(0.02), at(0.98)];
  }

  /**
   * Paint the voxels of each patch by its value, 1 to 255 over a scale; 0 where there is none.
   * @param {Uint16Array} owners
   * @param {Float32Array} values
   * @param {[number, number]} scale
   * @param {Uint8Array} into
   */
  paint(owners, values, [low, high], into) {
    const shades = Uint8Array.from(values, (value) =>
      Number.isFinite(value) ? 1 + Math.round(254 * Math.min(1, Math.max(0, (value - low) / (high - low)))) : 0,
    );
    for (let n = 0; n < owners.length; n++) into[n] = owners[n] === NOBODY ? 0 : shades[owners[n]];
  }
}

/** @param {number} owner */
export const isPatch = (owner) => owner !== undefined && owner !== NOBODY;

/**
 * @param {Uint16Array} owners
 * @param {Uint16Array} nearest
 * @param {Image} lungs
 * @param {number[]} sides
 * @param {number[]} corner
 * @param {number} patch
 */
function paint(owners, nearest, { shape, voxels }, sides, corner, patch) {
  const [x, y, z] = [0, 1, 2].map((axis) => {
    const first = Math.max(0, Math.ceil(corner[axis] - 0.5 / sides[axis]));
    const last = Math.min(shape[axis] - 1, Math.floor(corner[axis] + (SIDE_MM - 0.5) / sides[axis]));
    const middle = corner[axis] + (SIDE_MM - 1) / 2 / sides[axis];
    // Distances along each axis in sixteenths of a millimetre: they fit 16 bits, and the largest of three counts.
    return { first, last, far: (/** @type {number} */ at) => Math.round(16 * sides[axis] * Math.abs(at - middle)) };
  });
  for (let k = z.first; k <= z.last; k++) {
    const farZ = z.far(k);
    for (let j = y.first; j <= y.last; j++) {
      const farYZ = Math.max(farZ, y.far(j));
      const row = shape[0] * (j + shape[1] * k);
      for (let i = x.first; i <= x.last; i++) {
        const far = Math.max(farYZ, x.far(i));
        const label = voxels[row + i];
        if ((label === 1 || label === 2) && far < nearest[row + i]) {
          nearest[row + i] = far;
          owners[row + i] = patch;
        }
      }
    }
  }
}
