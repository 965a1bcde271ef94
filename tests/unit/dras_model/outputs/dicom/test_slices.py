"""Placing slices on a grid; the oracle maps every pixel through the world, one by one."""

import numpy as np
import pytest

from dras_model.imaging.volume import Grid
from dras_model.outputs.dicom.slices import planes, slices_on
from unit.dras_model.outputs.dicom.scenes import source_series


def _grid(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], origin: tuple[float, ...]
) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.diag(spacing[::-1])[:, ::-1]
    affine[:3, 3] = origin
    return Grid(shape, affine)


def _expected(labels: np.ndarray, grid: Grid, source) -> np.ndarray:
    found = np.zeros((len(source.images), source.rows, source.columns), dtype=np.uint8)
    for n, image in enumerate(source.images):
        for row in range(source.rows):
            for column in range(source.columns):
                world = np.array(image.position_mm) + row * source.spacing_mm[0] * np.array(source.column)
                world = world + column * source.spacing_mm[1] * np.array(source.row)
                z, y, x = np.floor(grid.to_index(world) + 0.5).astype(int)
                if all(0 <= i < size for i, size in zip((z, y, x), grid.shape, strict=True)):
                    found[n, row, column] = labels[z, y, x]
    return found


@pytest.mark.parametrize(
    ("shape", "spacing", "origin"),
    [
        ((5, 8, 6), (1.5, 0.8, 0.7), (-2.0, -3.0, 1.5)),  # its own grid
        ((5, 8, 6), (1.5, 0.8, 0.7), (-2.33, -2.1, 1.5)),  # sheared by parts of a pixel
        ((2, 4, 3), (3.0, 1.6, 1.4), (-1.65, -2.6, 2.25)),  # averaged, an incomplete block at the end
        ((9, 8, 6), (0.75, 0.8, 0.7), (-2.0, -3.0, 1.5)),  # bridged
        ((5, 8, 6), (1.5, 0.8, 0.7), (40.0, -3.0, 1.5)),  # elsewhere
    ],
)
def test_each_pixel_takes_the_label_of_the_voxel_that_its_centre_lies_in(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], origin: tuple[float, ...]
) -> None:
    source, grid = source_series(), _grid(shape, spacing, origin)
    labels = np.random.default_rng(0).integers(1, 4, shape).astype(np.uint8)
    found = np.array(list(planes(labels, slices_on(grid, source))))
    np.testing.assert_array_equal(found, _expected(labels, grid, source))


def test_slices_of_their_own_grid_are_views_and_not_copies() -> None:
    labels = np.ones((5, 8, 6), dtype=np.uint8)
    grid = _grid((5, 8, 6), (1.5, 0.8, 0.7), (-2.0, -3.0, 1.5))
    assert all(np.shares_memory(plane, labels) for plane in planes(labels, slices_on(grid, source_series())))
