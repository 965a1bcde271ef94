"""Densitometry of the atlas' patches, beside their embeddings: by counting native voxels, not resampled ones.

A native voxel belongs to a patch when its centre lies within the cube and it is lung. Patches overlap, and a
voxel is counted in each that holds it.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.box import Box
from dras_model.imaging.parallel import each_slab
from dras_model.imaging.patches import Patches, native_boxes
from dras_model.imaging.volume import Volume
from dras_model.results.phenotypes import PATCH_COLUMNS
from dras_model.scores.histogram import Histogram, Scale
from dras_model.scores.lung_values import LungValues
from dras_model.scores.regions import Cells


def measure_patches(
    image: Volume | LungValues, cells: Cells, patches: Patches
) -> dict[str, NDArray[np.float32]]:
    """Return PATCH_COLUMNS, each (n,) in the order of the patches; `cells` are those of the lungs in `image`."""
    scale, bins = _binned(cells.values(image).hu, cells)
    boxes = native_boxes(patches, image.grid)
    rows = np.full((len(boxes), len(PATCH_COLUMNS)), np.nan, dtype=np.float32)

    def count(some: slice) -> None:
        for row, box in zip(rows[some], boxes[some], strict=True):
            counts = np.bincount(bins[_within(box, cells.box)].ravel(), minlength=scale.n_bins + 1)[1:]
            found = Histogram(scale, counts)
            row[0] = found.n
            if row[0]:
                low = (found.percent_up_to(-950.0), found.percent_up_to(-910.0))
                row[1:] = *low, found.percentile(15.0), found.mean()

    each_slab(count, len(boxes), least=32)
    return dict(zip(PATCH_COLUMNS, np.ascontiguousarray(rows.T), strict=True))


def _binned(hu: NDArray[np.float32], cells: Cells) -> tuple[Scale, NDArray[np.unsignedinteger]]:
    """Return the bin of each lung voxel (z, y, x), counted from 1, and 0 outside the lungs."""
    scale = Scale.of(hu, cells.of_voxels)
    bins = np.zeros(cells.index.shape, dtype=np.uint16 if scale.n_bins < 65_535 else np.uint32)
    start = 0
    for plane, inside in zip(bins, cells.index > 0, strict=True):
        stop = start + int(np.count_nonzero(inside))
        plane[inside] = scale.bins(hu[start:stop]) + 1
        start = stop
    return scale, bins


def _within(box: Box, outer: Box) -> Box:
    """Return the part of a box that lies within another one, counted from the other's corner."""
    z, y, x = (
        slice(max(own.start - out.start, 0), max(own.stop - out.start, 0))
        for own, out in zip(box, outer, strict=True)
    )
    return z, y, x
