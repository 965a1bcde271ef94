// The border of a label map, one voxel wide: the scan beneath stays to be seen.

/** @import { Image } from "./nifti.js" */

/**
 * Return the border voxels of the lungs: right and left as shades that a colour map tells apart.
 * @param {Image} lungs labels, 1 right and 2 left
 * @returns {Uint8Array}
 */
export function outlines({ voxels, shape: [nx, ny, nz] }) {
  const drawn = new Uint8Array(voxels.length);
  const [row, plane] = [nx, nx * ny];
  for (let z = 1; z < nz - 1; z++) {
    for (let y = 1; y < ny - 1; y++) {
      for (let n = 1 + row * y + plane * z, end = n + nx - 2; n < end; n++) {
        const label = voxels[n];
        if (label !== 1 && label !== 2) continue;
        const within =
          voxels[n - 1] === label && voxels[n + 1] === label && voxels[n - row] === label &&
          voxels[n + row] === label && voxels[n - plane] === label && voxels[n + plane] === label;
        if (!within) drawn[n] = label === 1 ? 100 : 200;
      }
    }
  }
  return drawn;
}
