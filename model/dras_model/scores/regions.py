"""Regions of the lungs: sides, and thirds of equal volume within each lung from apex to base.

Thirds are equal in volume, not in height, as in the Chest Imaging Platform; a slice is never split
unless the axes are oblique, so thirds of a thick-sliced scan differ by up to one slice.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.volume import LabelMap
from dras_model.results.study import Region

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
    heights = [
        np.round(step * np.arange(size), 3)  # rounding keeps equal heights equal
        for step, size in zip((z, y, x), mask.shape, strict=True)
    ]
    if abs(y) < 1e-9 and abs(x) < 1e-9:  # axial: one height a slice
        counts = mask.sum(axis=(1, 2))
        return np.repeat(_third_of_levels(heights[0], counts), counts)
    index = np.nonzero(mask)
    height = heights[0][index[0]] + heights[1][index[1]] + heights[2][index[2]]
    levels, which, counts = np.unique(height, return_inverse=True, return_counts=True)
    return _third_of_levels(levels, counts)[which]


def _third_of_levels(heights: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Third of each level: the one in which the middle of its voxels falls, counted from the base."""
    order = np.argsort(heights, kind="stable")
    cumulated = np.cumsum(counts[order])
    total = max(int(cumulated[-1]), 1) if len(cumulated) else 1
    middle = (cumulated - counts[order] / 2.0) / total
    thirds = np.empty(len(heights), dtype=np.uint8)
    thirds[order] = np.minimum((middle * 3.0).astype(np.uint8), 2)
    return thirds
