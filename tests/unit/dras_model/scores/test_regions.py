import tracemalloc

import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.study import Region
from dras_model.scores.regions import split_values

RIGHT_THIRDS = (Region.RIGHT_BASAL, Region.RIGHT_MIDDLE, Region.RIGHT_APICAL)


def _turned(shape: tuple[int, int, int], degrees: float) -> Grid:
    """An LAS grid turned about the patient's left-right axis and a little about the sagittal one."""
    a, b = np.radians(degrees), np.radians(degrees / 3.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_y @ about_x @ np.array([[0, 0, 0.7], [0, -0.8, 0], [2.5, 0, 0]])
    affine[:3, 3] = (-100.0, 80.0, -300.0)
    return Grid(shape, affine)


@pytest.mark.parametrize("degrees", [0.02, 3.0, -12.0, 30.0])
def test_thirds_of_an_oblique_lung_are_those_of_its_voxels_sorted_by_height(degrees: float) -> None:
    grid = _turned((30, 24, 22), degrees)
    rng = np.random.default_rng(3)
    labels = rng.choice(np.array([0, RIGHT, LEFT], np.uint8), grid.shape, p=[0.3, 0.5, 0.2])
    numbers = np.arange(grid.n_voxels, dtype=np.float32).reshape(grid.shape)
    found = split_values(numbers, LabelMap(labels, grid))

    mask = (labels == RIGHT).ravel()
    height_mm = grid.to_world(np.argwhere(np.ones(grid.shape, bool)))[:, 2]
    own = np.sort(height_mm[mask])
    bounds = own[len(own) // 3], own[2 * len(own) // 3]
    # Voxels of one level are not parted: a level spans 0.1 mm, two levels where the grid is nearly axial
    # span the distance of the slices.
    blur_mm = 0.25 if abs(degrees) > 1.0 else 2.6
    for expected, region in enumerate(RIGHT_THIRDS):
        taken = height_mm[found[region].astype(int)]
        assert len(taken) == pytest.approx(len(own) / 3, rel=0.06)
        if expected > 0:
            assert taken.min() > bounds[expected - 1] - blur_mm
        if expected < 2:
            assert taken.max() < bounds[expected] + blur_mm


def test_the_parts_of_an_oblique_lung_hold_every_voxel_once_in_the_order_of_the_grid() -> None:
    grid = _turned((12, 10, 14), 8.0)
    labels = np.full(grid.shape, RIGHT, np.uint8)
    numbers = np.arange(grid.n_voxels, dtype=np.float32).reshape(grid.shape)
    found = split_values(numbers, LabelMap(labels, grid))
    parts = [found[region] for region in RIGHT_THIRDS]
    assert all((np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), numbers.ravel())
    assert all(found[region].size == 0 for region in Region if region.value.startswith("left_"))


def test_an_oblique_lung_takes_little_more_memory_than_its_values() -> None:
    grid = _turned((100, 100, 100), 8.0)
    lungs = LabelMap(np.full(grid.shape, RIGHT, np.uint8), grid)
    hu = np.zeros(grid.shape, np.float32)
    tracemalloc.start()
    try:
        split_values(hu, lungs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * grid.n_voxels  # twice the values of 4 bytes, three masks and labels of 1
