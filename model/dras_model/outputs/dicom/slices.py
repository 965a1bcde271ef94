"""Labels of the measured grid on the slices that they were measured from, as these lie in the patient.

The grid of a regular series has the slices' own voxels, and a slice is a plane of it as it is. A tilted
gantry was sheared, missing slices were bridged and very fine voxels averaged (`imaging.stack`,
`imaging.averaging`); there each pixel of a slice takes the label of the voxel that its centre lies in. Rows
and columns of slices and grid are parallel, so that three numbers place a slice.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.volume import Grid

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where a slice lies on the grid: its plane, and the row and column of each of its pixels; -1 is outside."""

    plane: int
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def pick(self, labels: Labels) -> Labels:
        """Return the labels (rows, columns) of the slice, 0 outside the grid."""
        if self.plane < 0:
            return np.zeros((len(self.rows), len(self.columns)), dtype=np.uint8)
        picked: Labels = labels[self.plane][np.ix_(self.rows, self.columns)]
        picked[self.rows < 0] = 0
        picked[:, self.columns < 0] = 0
        return picked


def slices_on(grid: Grid, source: SourceSeries) -> list[Placed]:
    """Place every slice of a series on the grid that was made of it, whose voxels lie in the series' order."""
    positions = np.array([image.position_mm for image in source.images])
    first = grid.to_index(positions)  # (n, 3) of the first pixel, in (z, y, x)
    steps = np.array(source.spacing_mm) / np.array(grid.spacing_mm[1:])
    pixels = (np.arange(source.rows), np.arange(source.columns))
    return [
        Placed(
            plane=int(_nearest(np.array([z]), grid.shape[0])[0]),
            rows=_nearest(y + steps[0] * pixels[0], grid.shape[1]),
            columns=_nearest(x + steps[1] * pixels[1], grid.shape[2]),
        )
        for z, y, x in first
    ]


def planes(labels: Labels, placed: list[Placed]) -> Iterator[Labels]:
    """Yield the labels of each slice; where slice and plane are the same voxels, a view of them."""
    own = tuple(np.arange(n) for n in labels.shape[1:])
    for place in placed:
        same = np.array_equal(place.rows, own[0]) and np.array_equal(place.columns, own[1])
        yield labels[place.plane] if same and place.plane >= 0 else place.pick(labels)


def _nearest(places: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    found = np.floor(places + 0.5).astype(np.int64)
    found[(found < 0) | (found >= size)] = -1
    return found
