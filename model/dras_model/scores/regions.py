"""Regions of the lungs: sides, and thirds of equal volume within each lung from apex to base.

Thirds are equal in volume, not in height, as in the Chest Imaging Platform; a slice is never split
unless the axes are oblique, so thirds of a thick-sliced scan differ by up to one slice.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.volume import LabelMap
from dras_model.results.study import Region

LEVEL_MM = 0.1  # heights of an oblique volume are told apart to twice this
_THIRDS = ("basal", "middle", "apical")
BASES: dict[tuple[int, str], Region] = {
    (side, third): Region(f"{name}_{third}")
    for side, name in ((RIGHT, "right"), (LEFT, "left"))
    for third in _THIRDS
}
# Every region as the union of the six disjoint ones.
PARTS: dict[Region, tuple[Region, ...]] = {
    Region.WHOLE: tuple(BASES.values()),
    Region.RIGHT: tuple(BASES[RIGHT, third] for third in _THIRDS),
    Region.LEFT: tuple(BASES[LEFT, third] for third in _THIRDS),
    Region.APICAL: (Region.RIGHT_APICAL, Region.LEFT_APICAL),
    Region.MIDDLE: (Region.RIGHT_MIDDLE, Region.LEFT_MIDDLE),
    Region.BASAL: (Region.RIGHT_BASAL, Region.LEFT_BASAL),
    **{part: (part,) for part in BASES.values()},
}


def split_values(hu: NDArray[np.float32], lungs: LabelMap) -> dict[Region, NDArray[np.float32]]:
    """HU of the lung voxels of each of the six disjoint regions, each (n,) in the order of the grid."""
    values: dict[Region, NDArray[np.float32]] = {}
    for side in (RIGHT, LEFT):
        mask = lungs.labels == side
        own = hu[mask]
        third = _thirds(mask, lungs)
        for index, name in enumerate(_THIRDS):
            values[BASES[side, name]] = own[third == index]
    return values


def _thirds(mask: NDArray[np.bool_], lungs: LabelMap) -> NDArray[np.uint8]:
    """Third of each voxel of a mask, 0 basal to 2 apical, by its height along the patient's axis."""
    z, y, x = lungs.grid.affine[2, :3]
    if abs(y) < 1e-9 and abs(x) < 1e-9:  # axial: one height a slice
        counts = np.count_nonzero(mask, axis=(1, 2))
        return np.repeat(_third_of_levels(z * np.arange(len(mask)), counts), counts)
    # Oblique: slice by slice, since heights of a whole scan would take ten times its memory.
    ups, rows, columns = (step * np.arange(size) for step, size in zip((z, y, x), mask.shape, strict=True))
    within, of_slice = _levels(rows[:, None] + columns), _levels(ups)
    n_levels = int(within.max() + of_slice.max()) + 1
    counts = np.zeros(n_levels, dtype=np.int64)
    for plane, level in zip(mask, of_slice, strict=True):
        counts += np.bincount(within[plane] + level, minlength=n_levels)
    thirds = _third_of_levels(np.arange(n_levels), counts)
    return np.concatenate(
        [thirds[within[plane] + level] for plane, level in zip(mask, of_slice, strict=True)]
    )


def _levels(heights_mm: NDArray[np.float64]) -> NDArray[np.int32]:
    """Heights in whole steps of LEVEL_MM, the lowest 0."""
    steps: NDArray[np.int32] = np.rint((heights_mm - heights_mm.min()) / LEVEL_MM).astype(np.int32)
    return steps


def _third_of_levels(heights: NDArray[np.generic], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Third of each level: the one in which the middle of its voxels falls, counted from the base."""
    order = np.argsort(heights, kind="stable")
    cumulated = np.cumsum(counts[order])
    total = max(int(cumulated[-1]), 1) if len(cumulated) else 1
    middle = (cumulated - counts[order] / 2.0) / total
    thirds = np.empty(len(heights), dtype=np.uint8)
    thirds[order] = np.minimum((middle * 3.0).astype(np.uint8), 2)
    return thirds
