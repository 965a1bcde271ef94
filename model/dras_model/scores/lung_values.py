"""The lungs' voxels alone, a tenth of a scan: where they lie, and their values as one line.

What is counted is counted there: passes over a whole scan are what scoring would otherwise spend its time on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.box import Box, bounding_box
from dras_model.imaging.volume import Grid, LabelMap, Volume


def lung_box(
    lungs: LabelMap, margin: tuple[int, int, int] = (0, 0, 0)
) -> tuple[Box, NDArray[np.bool_]] | None:
    """Return the box of both lungs, `margin` voxels wider, and which of its voxels (z, y, x) are lung.

    None where there is no lung.
    """
    outer = bounding_box(lungs.labels, margin)
    if outer is None:
        return None
    labels = lungs.labels[outer]
    lung = labels == RIGHT
    lung |= labels == LEFT
    inner = bounding_box(lung, margin)
    if inner is None:
        return None
    z, y, x = (
        slice(out.start + own.start, out.start + own.stop) for out, own in zip(outer, inner, strict=True)
    )
    return (z, y, x), lung[inner]


@dataclass(frozen=True, slots=True, eq=False)
class LungValues:
    """HU (n,) of the voxels of both lungs in the order of `grid` (z, y, x)."""

    grid: Grid
    hu: NDArray[np.float32]

    def image(self, lungs: LabelMap) -> Volume:
        """Return the values in their places, 0 HU elsewhere; `lungs` are those that they were taken of."""
        hu = np.zeros(self.grid.shape, dtype=np.float32)
        hu[(lungs.labels == RIGHT) | (lungs.labels == LEFT)] = self.hu
        return Volume(hu, self.grid)
