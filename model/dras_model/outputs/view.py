"""A small copy of the scan to look at: CT, lungs and low attenuation on one coarse grid, as three NIfTI files.

A result keeps no CT; a page that shows one needs something that a browser opens in a second. Whole voxels are
averaged and nothing is interpolated: every voxel here is a block of the scan's own. Nothing is measured on it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.outputs.masks import LOW, OUTSIDE
from dras_model.outputs.names import VIEW, VIEW_LOW, VIEW_LUNGS

SIDE_MM = 1.6  # of a block, about: twice the pixel of a chest CT
MARGIN_MM = 25.0  # of the body around the lungs
STEP_HU = 2  # a third smaller than single HU, and not seen in any window
RANGE_HU = (-1024, 1500)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One grid: `hu` int16 means of blocks, `lungs` labels of their centres, `low` uint8 percent of their lung."""

    hu: NDArray[np.int16]
    lungs: NDArray[np.uint8]
    low: NDArray[np.uint8]
    grid: Grid


def take_view(volume: Volume, lungs: LabelMap, low_attenuation: LabelMap) -> View:
    """Cut the body around the lungs out and average it block by block; all share one grid."""
    spacing = volume.grid.spacing_mm
    z, y, x = (min(max(1, round(SIDE_MM / mm)), n) for mm, n in zip(spacing, volume.grid.shape, strict=True))
    margin = (round(MARGIN_MM / spacing[0]), round(MARGIN_MM / spacing[1]), round(MARGIN_MM / spacing[2]))
    start, shape = _whole_blocks(bounding_box(lungs.labels, margin) or CORNER, (z, y, x), volume.grid.shape)
    hu = np.empty(shape, dtype=np.int16)
    labels, low = np.empty(shape, dtype=np.uint8), np.empty(shape, dtype=np.uint8)
    for n in range(shape[0]):
        at = start[0] + n * z
        planes = (
            slice(at, at + z),
            *(slice(a, a + b * k) for a, b, k in zip(start[1:], shape[1:], (y, x), strict=True)),
        )
        mean = _sums(volume.hu[planes].sum(axis=0), y, x) / (z * y * x)
        hu[n] = np.clip(np.rint(mean / STEP_HU) * STEP_HU, *RANGE_HU)
        labels[n] = lungs.labels[planes][z // 2, y // 2 :: y, x // 2 :: x]
        marks = low_attenuation.labels[planes]
        inside = np.maximum(_sums((marks > OUTSIDE).sum(axis=0, dtype=np.uint8), y, x), 1.0)
        low[n] = np.rint(100.0 * _sums((marks == LOW).sum(axis=0, dtype=np.uint8), y, x) / inside)
    return View(hu, labels, low, _coarse(volume.grid, start, (z, y, x), shape))


def write_view(folder: Path, view: View) -> None:
    """Write the three files; equal content gives equal bytes."""
    for name, array in ((VIEW, view.hu), (VIEW_LUNGS, view.lungs), (VIEW_LOW, view.low)):
        write_nifti(folder / name, array, view.grid)


def _whole_blocks(
    box: Box, block: tuple[int, int, int], size: tuple[int, int, int]
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return where the blocks of a box begin, and how many there are: as many as the scan holds whole."""
    start = [min(part.start, n - k) for part, k, n in zip(box, block, size, strict=True)]
    count = [
        max(1, min(-(-(part.stop - a) // k), (n - a) // k))
        for part, a, k, n in zip(box, start, block, size, strict=True)
    ]
    return (start[0], start[1], start[2]), (count[0], count[1], count[2])


def _sums(plane: NDArray[np.float32] | NDArray[np.uint8], y: int, x: int) -> NDArray[np.float32]:
    """Sum a plane in blocks of `y` by `x`: by steps, which is ten times as fast as over short axes."""
    summed = np.zeros((plane.shape[0] // y, plane.shape[1] // x), dtype=np.float32)
    for row in range(y):
        for column in range(x):
            summed += plane[row::y, column::x]
    return summed


def _coarse(
    grid: Grid, start: tuple[int, int, int], block: tuple[int, int, int], shape: tuple[int, int, int]
) -> Grid:
    """Return the grid of the blocks, each at the middle of its voxels."""
    affine = grid.affine.copy()
    middle = np.array(start) + (np.array(block) - 1) / 2.0
    affine[:3, 3] = grid.affine[:3, :3] @ middle + grid.affine[:3, 3]
    affine[:3, :3] = grid.affine[:3, :3] * np.array(block)
    return Grid(shape, affine)
