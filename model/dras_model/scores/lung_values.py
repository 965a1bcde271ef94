"""Values of the lungs' voxels alone, where no image of them is needed: an eighth of a scan, counted as they lie."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.volume import Grid, LabelMap, Volume


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
