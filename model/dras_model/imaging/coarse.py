"""The coarse grid on which shapes are found: block means of about 2 mm, and distances on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.distance import distance_mm
from dras_model.imaging.volume import Grid, Spacing, Volume, Voxel

COARSE_MM = 2.5  # blocks are as large as fit below it


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """Block means `hu` (z, y, x) of a volume; `factors` voxels of the native grid make one block."""

    hu: NDArray[np.float32]
    factors: tuple[int, int, int]
    native: Grid
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the first block, in blocks of the native grid

    @property
    def spacing_mm(self) -> Spacing:
        """Block size (z, y, x)."""
        z, y, x = (factor * size for factor, size in zip(self.factors, self.native.spacing_mm, strict=True))
        return z, y, x

    @property
    def grid(self) -> Grid:
        """Where the blocks lie; their centres are the voxels' positions."""
        affine = self.native.affine.copy()
        middle = self.native.to_world(
            (np.array(self.factors) - 1) / 2.0 + np.multiply(self.offset, self.factors)
        )
        affine[:3, :3] = affine[:3, :3] * np.array(self.factors)
        affine[:3, 3] = middle
        return Grid((self.hu.shape[0], self.hu.shape[1], self.hu.shape[2]), affine)

    @property
    def voxel_ml(self) -> float:
        """Volume of one block."""
        z, y, x = self.spacing_mm
        return z * y * x / 1000.0

    def part(self, box: tuple[slice, slice, slice]) -> "Coarse":
        """The blocks of a box; what is expanded from it is not the whole native grid."""
        z, y, x = (start + int(inner.start or 0) for start, inner in zip(self.offset, box, strict=True))
        return Coarse(self.hu[box], self.factors, self.native, (z, y, x))

    def halved(self) -> "Coarse":
        """The same in blocks twice as long on every side."""
        hu = self.hu
        for axis in range(3):
            hu = _block_means(hu, 2, axis)
        z, y, x = (2 * factor for factor in self.factors)
        offset = (self.offset[0] / 2, self.offset[1] / 2, self.offset[2] / 2)
        return Coarse(hu, (z, y, x), self.native, offset)

    def distance_mm(self, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Distance of each block to the nearest one in `mask`; zero inside."""
        return distance_mm(mask, self.spacing_mm)

    def sample(self, array: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return the middle voxel of each block of an array on the native grid (z, y, x)."""
        for axis, (factor, size) in enumerate(zip(self.factors, self.native.shape, strict=True)):
            middles = np.minimum(np.arange(-(-size // factor)) * factor + factor // 2, size - 1)
            array = array.take(middles, axis)
        return array

    def expand(self, array: NDArray[Voxel]) -> NDArray[Voxel]:
        """Repeat each block over its native voxels."""
        for axis, (factor, size) in enumerate(zip(self.factors, self.native.shape, strict=True)):
            if factor > 1:
                array = np.repeat(array, factor, axis=axis)
            array = array[(slice(None),) * axis + (slice(size),)]
        return np.ascontiguousarray(array)


def coarsen(volume: Volume) -> Coarse:
    """Average blocks of a volume to at most COARSE_MM a side (or leave an axis that is coarser)."""
    factors = tuple(max(1, int(COARSE_MM / size)) for size in volume.grid.spacing_mm)
    hu = volume.hu
    for axis, factor in enumerate(factors):
        hu = _block_means(hu, factor, axis)
    return Coarse(hu, (factors[0], factors[1], factors[2]), volume.grid)


def _block_means(array: NDArray[np.float32], factor: int, axis: int) -> NDArray[np.float32]:
    """Mean of `factor` neighbours along an axis; the last block repeats the edge."""
    if factor == 1:
        return array
    size = array.shape[axis]
    n_blocks = -(-size // factor)
    total = np.zeros(tuple(n_blocks if i == axis else n for i, n in enumerate(array.shape)), np.float32)
    for offset in range(factor):
        part = array[(slice(None),) * axis + (slice(offset, None, factor),)]
        n_full = part.shape[axis]
        total[(slice(None),) * axis + (slice(n_full),)] += part
        if n_full < n_blocks:
            edge = (slice(None),) * axis + (slice(size - 1, size),)
            total[(slice(None),) * axis + (slice(n_full, None),)] += array[edge]
    total /= np.float32(factor)
    return total
