from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from dras_model.imaging.atlas import RIGHT
from dras_model.imaging.phantom import Phantom
from dras_model.scores.pleura import deep


def _ball(spacing_mm: tuple[float, float, float], radius_mm: float, size_mm: float) -> np.ndarray:
    axes = [np.arange(-size_mm / 2, size_mm / 2, step) for step in spacing_mm]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    return z**2 + y**2 + x**2 <= radius_mm**2


@pytest.mark.parametrize("spacing_mm", [(1.0, 0.7, 0.7), (0.6, 0.6, 0.6), (5.0, 0.8, 0.8), (2.5, 1.4, 1.4)])
def test_the_core_of_a_ball_is_the_ball_that_is_smaller_by_the_depth(
    spacing_mm: tuple[float, float, float],
) -> None:
    mask = _ball(spacing_mm, 40.0, 90.0)
    core = deep(mask, spacing_mm, 10.0)
    exact = (30.0 / 40.0) ** 3
    assert core.sum() / mask.sum() == pytest.approx(exact, abs=0.03)
    assert not core[~mask].any()


def test_depth_is_that_of_an_exact_distance_transform_to_1_3_mm(still_lungs: Phantom) -> None:
    spacing_mm = (3.75, 3.0, 3.0)
    mask = still_lungs.truth.lungs.labels == RIGHT
    exact = (
        ndimage.distance_transform_edt(mask, sampling=spacing_mm) - 1.5
    )  # the surface is half a voxel nearer
    found = deep(mask, spacing_mm, 10.0)
    wrong = found != (mask & (exact >= 10.0))
    assert np.abs(exact[wrong] - 10.0).max(initial=0.0) <= 1.3
    assert wrong.sum() <= 0.02 * mask.sum()


def test_a_thin_scan_is_measured_to_a_block(still_lungs: Phantom) -> None:
    """Blocks of two and three voxels, against the exact transform."""
    spacing_mm = (1.0, 0.7, 0.7)
    mask = np.pad(_ball(spacing_mm, 25.0, 56.0), 2)
    exact = ndimage.distance_transform_edt(mask, sampling=spacing_mm) - 0.35
    wrong = deep(mask, spacing_mm, 10.0) != (mask & (exact >= 10.0))
    assert np.abs(exact[wrong] - 10.0).max(initial=0.0) <= 1.3


def test_the_end_of_the_scan_is_no_surface() -> None:
    mask = np.ones((40, 40, 40), dtype=bool)
    mask[:, :, :3] = False
    core = deep(mask, (1.0, 1.0, 1.0), 10.0)
    assert core[0, 0, 39]
    assert not core[:, :, :12].any()
    assert core[:, :, 15:].all()


def test_more_depth_is_less_core() -> None:
    mask = _ball((1.0, 1.0, 1.0), 25.0, 60.0)
    cores = [deep(mask, (1.0, 1.0, 1.0), depth) for depth in (2.0, 5.0, 10.0, 40.0)]
    assert all((b <= a).all() for a, b in pairwise(cores))
    assert not cores[-1].any()
