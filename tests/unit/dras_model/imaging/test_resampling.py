import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.imaging.resampling import BLOCK_ROWS, apply_along, bspline_matrix, resample_box, unit_grid
from dras_model.imaging.volume import Grid, Volume


def _volume(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    rng = np.random.default_rng(5)
    hu = rng.integers(-1024, 1500, shape).astype(np.float32)
    z, y, x = spacing
    return Volume(hu, Grid(shape, np.array([[0, 0, x, -7], [0, -y, 0, 3], [z, 0, 0, 11], [0, 0, 0, 1.0]])))


@pytest.mark.parametrize("spacing", [(5.0, 0.84, 0.84), (0.6, 0.7, 0.7), (1.0, 1.0, 1.0), (2.5, 1.4, 0.9)])
def test_resampling_agrees_with_itk_to_a_hundredth_of_a_hu(spacing: tuple[float, float, float]) -> None:
    volume = _volume((21, 60, 70), spacing)
    grid = unit_grid(volume.grid)
    ours = resample_box(volume, np.zeros(3, np.int64), np.array(grid.shape))
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(spacing[::-1])
    theirs = sitk.Resample(
        image, grid.shape[::-1], sitk.Transform(), sitk.sitkBSpline, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0),
        (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0), -1024.0,
    )  # fmt: skip
    inside = tuple(slice(0, int((n - 1) * s) + 1) for n, s in zip(volume.hu.shape, spacing, strict=True))
    assert np.abs(ours - sitk.GetArrayFromImage(theirs))[inside].max() <= 0.01


def test_a_box_holds_the_same_values_as_the_whole() -> None:
    volume = _volume((12, 70, 80), (3.0, 0.9, 0.8))
    whole = resample_box(volume, np.zeros(3, np.int64), np.array(unit_grid(volume.grid).shape))
    start, stop = np.array([3, 10, 20]), np.array([20, 40, 50])
    box = resample_box(volume, start, stop)
    np.testing.assert_allclose(box, whole[3:20, 10:40, 20:50], atol=1e-2)


def test_resampling_to_the_same_grid_gives_the_same_values() -> None:
    volume = _volume((10, 20, 30), (1.0, 1.0, 1.0))
    box = resample_box(volume, np.zeros(3, np.int64), np.array([9, 20, 30]))
    np.testing.assert_allclose(box, volume.hu[:9], atol=5e-3)


def test_the_unit_grid_has_the_sizes_of_the_method() -> None:
    grid = unit_grid(_volume((64, 100, 110), (5.0, 0.841796875, 0.841796875)).grid)
    assert grid.shape == (315, 84, 92)  # floor(63 * 5), floor(100 * 0.8418), floor(110 * 0.8418)
    assert grid.spacing_mm == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_product_in_blocks_is_the_plain_product(axis: int) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(size=(30, 31, 32)).astype(np.float32)
    weights = bspline_matrix(array.shape[axis], np.linspace(0, array.shape[axis] - 1, BLOCK_ROWS * 2 + 5))
    expected = np.moveaxis(np.tensordot(weights.astype(np.float64), array, axes=(1, axis)), 0, axis)
    np.testing.assert_allclose(apply_along(weights, array, axis), expected, atol=1e-4)
