"""Cubes of a study at any place, not at the atlas' corners only: which hold lung, where in the atlas they begin.

What is cut there, and what is made of it, is `dense`'s and `labelled`'s.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.patches import LEAST_LUNG
from dras_model.imaging.registration import Alignment
from dras_model.imaging.resampling import unit_grid
from dras_model.imaging.volume import Grid, LabelMap


def lung_of_blocks(lungs: LabelMap, stride_mm: int) -> NDArray[np.float64]:
    """Return how much of each block of the scan's 1 mm lattice is lung (z, y, x).

    A voxel, which may be thicker than a block, is shared among the blocks it reaches into. Voxels of scan and
    lattice have their first centre in common, before which each begins by half its own size.
    """
    filled = (lungs.labels == RIGHT) | (lungs.labels == LEFT)
    counted = filled.astype(np.float64)
    shape = [-(-size // stride_mm) for size in unit_grid(lungs.grid).shape]
    for axis, spacing in enumerate(lungs.grid.spacing_mm):
        low = (np.arange(filled.shape[axis]) - 0.5) * spacing
        begins = np.arange(shape[axis])[:, None] * stride_mm - 0.5
        overlap = np.minimum(low + spacing, begins + stride_mm) - np.maximum(low, begins)
        gathered = np.clip(overlap, 0.0, None) / spacing
        counted = np.moveaxis(np.tensordot(gathered, counted, axes=(1, axis)), 0, axis)
    voxels = stride_mm**3 / float(np.prod(lungs.grid.spacing_mm))
    return np.asarray(counted / voxels)


def cubes_of_lung(lung: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the first blocks (cubes, 3) of all cubes of n³ blocks that hold as much lung as a valid patch."""
    return np.argwhere(_sums(lung, n) / n**3 >= LEAST_LUNG)


def locations_of(
    corners: NDArray[np.int64], grid: Grid, atlas: Atlas, alignment: Alignment
) -> NDArray[np.float32]:
    """Return where in the atlas the cubes begin (n, 3), in [-1, 1]: outside of what training knows, at its edge."""
    world = unit_grid(grid).to_world(corners)
    back = np.linalg.inv(alignment.matrix)
    in_atlas = atlas.lungs.grid.to_index(world @ back[:3, :3].T + back[:3, 3])[:, ::-1]
    placed = in_atlas / atlas.corners.max(axis=0) * 2.0 - 1.0
    lowest, highest = atlas.locations.min(axis=0), atlas.locations.max(axis=0)
    return np.asarray(np.clip(placed, lowest, highest), dtype=np.float32)


def _sums(blocks: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return the sum of the n³ blocks from each one on; what would leave the scan is left out."""
    for axis in range(3):
        view = np.lib.stride_tricks.sliding_window_view(blocks, n, axis=axis)
        blocks = np.asarray(view.sum(axis=-1))
    return blocks
