"""Which studies are averaged, to what, and which are refused."""

import numpy as np
import pytest

from dras_model.imaging.volume import Grid
from dras_model.imaging.working_grid import COARSEST_MM, MOST_UNAVERAGED, MOST_WORKING, working_grid
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused


def _grid(n_slices: int, matrix: int, slice_mm: float, pixel_mm: float) -> Grid:
    return Grid((n_slices, matrix, matrix), np.diag([slice_mm, pixel_mm, pixel_mm, 1.0])[:, [0, 1, 2, 3]])


@pytest.mark.parametrize(
    ("n_slices", "matrix", "slice_mm", "pixel_mm", "factors"),
    [
        (300, 512, 1.0, 0.7, (1, 1, 1)),
        (1000, 512, 0.3, 0.7, (1, 1, 1)),
        (1500, 512, 0.25, 0.7, (1, 1, 1)),
        (3000, 512, 0.25, 0.7, (2, 1, 1)),
        (300, 1024, 1.0, 0.35, (1, 1, 1)),
        (600, 1024, 0.5, 0.35, (1, 2, 2)),
        (300, 2048, 1.0, 0.17, (1, 2, 2)),
        (1000, 1024, 0.3, 0.35, (2, 2, 2)),
        (50, 512, 8.0, 0.7, (1, 1, 1)),
    ],
)
def test_the_finest_axes_are_averaged_until_the_study_fits(
    n_slices: int, matrix: int, slice_mm: float, pixel_mm: float, factors: tuple[int, int, int]
) -> None:
    found = working_grid(_grid(n_slices, matrix, slice_mm, pixel_mm))
    assert found.factors == factors
    assert found.grid.n_voxels <= MOST_WORKING
    if factors != (1, 1, 1):
        assert all(
            size <= COARSEST_MM
            for size, factor in zip(found.grid.spacing_mm, factors, strict=True)
            if factor > 1
        )


def test_a_working_voxel_lies_in_the_middle_of_those_it_holds() -> None:
    native = _grid(3001, 512, 0.25, 0.7)
    found = working_grid(native)
    assert found.grid.shape == (1500, 512, 512)
    index = np.array([7, 3, 5])
    inside = np.array([[14, 3, 5], [15, 3, 5]])
    np.testing.assert_allclose(found.grid.to_world(index), native.to_world(inside).mean(axis=0))


def test_a_study_whose_voxels_are_too_large_to_be_averaged_is_taken_up_to_a_limit() -> None:
    whole_body = _grid(2000, 512, 0.9, 0.9)
    assert working_grid(whole_body).grid is whole_body
    assert whole_body.n_voxels <= MOST_UNAVERAGED
    with pytest.raises(StudyRefused) as refused:
        working_grid(_grid(3000, 512, 0.9, 0.9))
    assert refused.value.code is Code.VOLUME_TOO_LARGE


def test_more_than_can_be_read_is_refused_at_once() -> None:
    with pytest.raises(StudyRefused) as refused:
        working_grid(_grid(3000, 1024, 0.25, 0.3))
    assert refused.value.code is Code.VOLUME_TOO_LARGE
