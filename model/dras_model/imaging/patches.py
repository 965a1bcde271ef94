"""The 32 mm cubes at the atlas' corners: cut along the subject's axes, never rescaled, and judged.

A patch that leaves the scan, or that holds too little lung, is marked invalid and the rest is
delivered. The authors' pipeline drops the whole subject instead.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.box import Box
from dras_model.imaging.lungs import Lungs
from dras_model.imaging.registration import Alignment
from dras_model.imaging.resampling import resample_box, unit_grid
from dras_model.imaging.volume import AIR_HU, Grid, Volume
from dras_model.results.study import PatchQuality

CEILING_HU = 240  # of the preprocessing contract; the floor is AIR_HU
LEAST_INSIDE = 0.95  # of a valid patch's cube lies within the scan
LEAST_LUNG = 0.02  # of a valid patch's cube is lung; the atlas' own patches hold 10 % and more


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """One row per atlas corner, in the atlas' order.

    `hu` (n, 32, 32, 32) int16 in (z, y, x) at 1 mm, clipped to [-1024, 240]; `inside` and
    `lung_fraction` (n,) in 0..1, by the lung voxels of the native grid; `corner_mm` (n, 3) LPS of the first
    voxel.
    """

    hu: NDArray[np.int16]
    inside: NDArray[np.float32]
    lung_fraction: NDArray[np.float32]
    corner_mm: NDArray[np.float64]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether a patch lies within the scan and holds lung (n,)."""
        return (self.inside >= LEAST_INSIDE) & (self.lung_fraction >= LEAST_LUNG)

    @property
    def quality(self) -> PatchQuality:
        """How many can be trusted."""
        return PatchQuality(
            n_patches=len(self.hu),
            n_valid=int(self.valid.sum()),
            n_outside=int((self.inside < LEAST_INSIDE).sum()),
            n_little_lung=int(((self.inside >= LEAST_INSIDE) & ~self.valid).sum()),
        )


def cut_patches(volume: Volume, lungs: Lungs, atlas: Atlas, alignment: Alignment) -> Patches:
    """Cut every patch of the atlas out of a volume whose axes grow as the atlas' do.

    A corner voxel goes through the affine to the nearest voxel of the 1 mm lattice; the cube then
    runs along the lattice (Yu et al. 2024, step 4 of the preprocessing).
    """
    lattice = unit_grid(volume.grid)
    world = alignment.to_subject(atlas.lungs.grid.to_world(atlas.corners[:, ::-1]))
    corners = np.floor(lattice.to_index(world) + 0.5).astype(np.int64)
    hu, inside = cut_cubes(volume, corners, atlas.patch_size)
    boxes = _native_boxes(volume.grid, corners, atlas.patch_size)
    fractions = _lung_fractions(lungs, boxes, atlas.patch_size)
    return Patches(hu, inside, fractions, lattice.to_world(corners))


def native_boxes(patches: Patches, grid: Grid) -> list[Box]:
    """Return the voxels of the scan's grid whose centres lie within each patch, cut at the scan's ends."""
    corners = np.rint(unit_grid(grid).to_index(patches.corner_mm)).astype(np.int64)
    return _native_boxes(grid, corners, patches.hu.shape[1])


def cut_cubes(
    volume: Volume, corners: NDArray[np.int64], size: int
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return cubes (n, size, size, size) int16 and the fraction of each that lies in the scan.

    `corners` (n, 3) are voxels (z, y, x) of the scan's 1 mm lattice; beyond the scan is air.
    """
    shape = np.array(unit_grid(volume.grid).shape)
    n_patches = len(corners)
    cubes = np.full((n_patches, size, size, size), AIR_HU, dtype=np.int16)
    low, high = np.maximum(corners, 0), np.minimum(corners + size, shape)
    extent = np.maximum(high - low, 0)
    inside = np.prod(extent / size, axis=1).astype(np.float32)
    seen = np.nonzero(inside)[0]
    if seen.size == 0:
        return cubes, inside
    start, stop = low[seen].min(axis=0), high[seen].max(axis=0)
    box = resample_box(volume, start, stop)
    np.clip(np.rint(box, out=box), AIR_HU, CEILING_HU, out=box)
    for n in seen:
        source = tuple(slice(a, b) for a, b in zip(low[n] - start, high[n] - start, strict=True))
        offset = low[n] - corners[n]
        target = tuple(slice(a, a + b) for a, b in zip(offset, extent[n], strict=True))
        cubes[n][target] = box[source]
    return cubes, inside


def _native_boxes(grid: Grid, corners: NDArray[np.int64], size: int) -> list[Box]:
    spacing, shape = np.array(grid.spacing_mm), np.array(grid.shape)
    first = np.clip(np.ceil((corners - 0.5) / spacing), 0, shape).astype(np.int64)
    last = np.clip(np.ceil((corners + size - 0.5) / spacing), 0, shape).astype(np.int64)
    return [
        (slice(a[0], b[0]), slice(a[1], b[1]), slice(a[2], b[2])) for a, b in zip(first, last, strict=True)
    ]


def _lung_fractions(lungs: Lungs, boxes: list[Box], size: int) -> NDArray[np.float32]:
    """Return how much of each cube is lung, (n,)."""
    lung = (lungs.map.labels == RIGHT) | (lungs.map.labels == LEFT)
    cube_voxels = size**3 / float(np.prod(lungs.map.grid.spacing_mm))
    counts = np.array([np.count_nonzero(lung[box]) for box in boxes], dtype=np.float64)
    return np.minimum(counts / cube_voxels, 1.0).astype(np.float32)
