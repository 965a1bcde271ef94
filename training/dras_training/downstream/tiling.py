"""A whole study by a network that sees patches: tiles that overlap, weighed by their centres, on the scan's grid.

Only where there is lung, as the encoder knows nothing else; elsewhere the label is 0.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dras_model.encoder.architecture import PATCH_SIZE
from dras_model.encoder.network import normalise
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.patches import cut_cubes
from dras_model.imaging.resampling import apply_along, unit_grid
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.preparing import Cut
from dras_training.downstream.places import cubes_of_lung, locations_of, lung_of_blocks
from dras_training.downstream.unet import SegmenterNetwork
from dras_training.telling import to_nobody

STRIDES_MM = (8, 16, 32)  # whole parts of a patch
BACKGROUND = 0
_AT_ONCE = 16  # patches

Heard = Callable[[float], None]


@torch.no_grad()
def label_study(
    cut: Cut,
    network: SegmenterNetwork,
    values: Sequence[int],
    atlas: Atlas,
    *,
    stride_mm: int,
    device: str = "cpu",
    heard: Heard = to_nobody,
) -> LabelMap:
    """Return the label of every voxel, on the grid that was cut; class k of the network is `values[k - 1]`."""
    network.eval()
    lung = lung_of_blocks(cut.lungs.map, stride_mm)
    corners = cubes_of_lung(lung, PATCH_SIZE // stride_mm) * stride_mm
    labels = np.zeros(cut.volume.grid.shape, dtype=np.uint8)
    if len(corners) == 0:
        return LabelMap(labels, cut.volume.grid)
    start, stop = corners.min(axis=0), corners.max(axis=0) + PATCH_SIZE
    chances = np.zeros((len(values) + 1, *(stop - start)), dtype=np.float32)
    weights, window = np.zeros(chances.shape[1:], dtype=np.float32), _window()
    locations = torch.from_numpy(locations_of(corners, cut.volume.grid, atlas, cut.alignment))
    for level in np.unique(corners[:, 0]):  # of one height at a time: their voxels fit into memory
        rows = np.flatnonzero(corners[:, 0] == level)
        patches, _ = cut_cubes(cut.volume, corners[rows], PATCH_SIZE)
        for first in range(0, len(rows), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            images = normalise(torch.from_numpy(patches[some])).to(device)
            scores = network(images, locations[rows[some]].to(device))
            found = torch.softmax(scores, dim=1).cpu().numpy()
            for corner, chance in zip(corners[rows[some]] - start, found, strict=True):
                z, y, x = (slice(n, n + PATCH_SIZE) for n in corner.tolist())
                chances[:, z, y, x] += window * chance
                weights[z, y, x] += window
        heard(float(level + PATCH_SIZE - start[0]) / float(stop[0] - start[0]))
    chances /= np.maximum(weights, np.finfo(np.float32).tiny)
    chances[BACKGROUND][weights == 0] = 1.0
    _set_native(labels, chances, cut.volume.grid, start, values)
    return LabelMap(labels, cut.volume.grid)


def _window() -> NDArray[np.float32]:
    """Return how much a tile counts at each voxel: least at its faces, beyond which it has seen nothing."""
    edge = np.minimum(np.arange(PATCH_SIZE), np.arange(PATCH_SIZE)[::-1]) + 1.0
    along = edge / edge.max()
    return np.asarray(np.einsum("i,j,k->ijk", along, along, along), dtype=np.float32)


def _set_native(
    labels: NDArray[np.uint8],
    chances: NDArray[np.float32],
    grid: Grid,
    start: NDArray[np.int64],
    values: Sequence[int],
) -> None:
    """Set the most likely label of each native voxel in the box of `chances`, which begins at `start`, linearly.

    The lattice may end a little before the scan's last voxels do; those take what its last ones have.
    """
    box, matrices = [], []
    for axis, (spacing, end) in enumerate(zip(grid.spacing_mm, unit_grid(grid).shape, strict=True)):
        stop = min(start[axis] + chances.shape[1 + axis], end)  # beyond the lattice the patches hold air
        chances = chances[(slice(None),) * (1 + axis) + (slice(stop - start[axis]),)]
        last = grid.shape[axis] if stop == end else int((stop - 1) / spacing) + 1
        box.append(slice(int(np.ceil(start[axis] / spacing)), last))
        at = np.arange(box[axis].start, last) * spacing - start[axis]
        matrices.append(_linear(chances.shape[1 + axis], at.clip(max=stop - 1 - start[axis])))
    shape = tuple(part.stop - part.start for part in box)
    best, found = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.uint8)
    for value, chance in zip((BACKGROUND, *values), chances, strict=True):
        native = chance
        for axis, matrix in enumerate(matrices):
            native = apply_along(matrix, native, axis)
        higher = native > best
        best[higher], found[higher] = native[higher], value
    labels[tuple(box)] = found


def _linear(size: int, positions: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the weights (len(positions), size) of linear interpolation; positions are in samples, within them."""
    low = np.clip(np.floor(positions).astype(np.int64), 0, max(size - 2, 0))
    weights = np.zeros((len(positions), size), dtype=np.float32)
    rows = np.arange(len(positions))
    weights[rows, low] = 1.0 - (positions - low)
    weights[rows, np.minimum(low + 1, size - 1)] += positions - low
    return weights
