from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dras_model.imaging.volume import GeometryError, Grid, LabelMap, Volume, slice_axis

ORIENTATIONS = ["".join(letters) for axes in permutations(("RL", "AP", "IS")) for letters in product(*axes)]


def _grid(shape: tuple[int, int, int] = (4, 5, 6), angle: float = 0.0) -> Grid:
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, 0.7], [0, 0.8, 0], [2.5, 0, 0]])
    affine[:3, 3] = [-100, -90, -400]
    return Grid(shape, affine)


def _volume(grid: Grid) -> Volume:
    return Volume(np.arange(grid.n_voxels, dtype=np.float32).reshape(grid.shape), grid)


def test_an_axial_dicom_grid_is_lps() -> None:
    assert _grid().orientation == "LPS"
    assert _grid().spacing_mm == pytest.approx((2.5, 0.8, 0.7))


@pytest.mark.parametrize(
    ("spacing_mm", "axis"),
    [
        ((5.0, 0.7, 0.7), 0),
        ((0.7, 5.0, 0.7), 1),
        ((0.7, 0.7, 0.625), 2),  # slices finer than the pixels
        ((3.9873, 4.1666, 4.1667), 0),  # pixels that differ by the rounding of a header
        ((0.7, 0.9, 3.0), 2),
        ((1.0, 1.0, 1.0), 0),
    ],
)
def test_slices_lie_along_the_axis_whose_spacing_the_square_pixels_do_not_share(
    spacing_mm: tuple[float, float, float], axis: int
) -> None:
    assert slice_axis(spacing_mm) == axis
    assert Grid((4, 5, 6), np.diag([*spacing_mm, 1.0])[[2, 1, 0, 3]]).slice_axis == axis


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_voxel_keeps_its_place_in_the_patient_in_every_orientation(orientation: str) -> None:
    volume = _volume(_grid(angle=0.3))
    moved = volume.oriented(orientation)
    assert moved.grid.orientation == orientation
    for value in (0, 17, 59, 119):
        before = volume.grid.to_world(np.argwhere(volume.hu == value))
        after = moved.grid.to_world(np.argwhere(moved.hu == value))
        np.testing.assert_allclose(before, after, atol=1e-9)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_turning_there_and_back_gives_the_same_volume(orientation: str) -> None:
    volume = _volume(_grid())
    back = volume.oriented(orientation).oriented("LPS")
    np.testing.assert_array_equal(back.hu, volume.hu)
    assert back.grid.same_as(volume.grid, tolerance_mm=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-500, 500), min_size=3, max_size=3))
def test_index_and_world_are_inverse(point: list[float]) -> None:
    grid = _grid(angle=0.2)
    np.testing.assert_allclose(grid.to_world(grid.to_index(np.array(point))), point, atol=1e-9)


def test_an_affine_with_a_sheared_axis_is_refused() -> None:
    affine = _grid().affine.copy()
    affine[:3, 0] = [0, 0.5, 2.5]
    with pytest.raises(GeometryError, match="orthogonal"):
        Grid((4, 5, 6), affine)


@pytest.mark.parametrize("fault", [np.nan, np.inf])
def test_an_affine_that_is_not_finite_is_refused(fault: float) -> None:
    affine = _grid().affine.copy()
    affine[0, 3] = fault
    with pytest.raises(GeometryError, match="finite"):
        Grid((4, 5, 6), affine)


def test_voxels_do_not_travel_with_another_grid() -> None:
    with pytest.raises(GeometryError, match="differ"):
        Volume(np.zeros((4, 5, 7), np.float32), _grid())
    with pytest.raises(GeometryError, match="differ"):
        LabelMap(np.zeros((4, 5, 7), np.uint8), _grid())


def test_an_affine_cannot_be_changed_behind_the_grid() -> None:
    with pytest.raises(ValueError, match="read-only"):
        _grid().affine[0, 0] = 3.0


def test_two_grids_shifted_by_a_voxel_are_not_the_same() -> None:
    grid = _grid()
    affine = grid.affine.copy()
    affine[0, 3] += 0.7
    assert not grid.same_as(Grid(grid.shape, affine))
