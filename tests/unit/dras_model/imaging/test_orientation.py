"""The bearings of a chest: which way is up, where the spine and the heart lie, and what says nothing."""

import numpy as np
import pytest

from dras_model.imaging.orientation import find_bearings
from dras_model.imaging.volume import Grid, LabelMap, Volume

GRID = Grid(
    (60, 60, 60), np.array([[0, 0, 3.0, -88.5], [0, -3.0, 0, 88.5], [3.0, 0, 0, -88.5], [0, 0, 0, 1.0]])
)
_Z, _Y, _X = (3.0 * (axis - 29.5) for axis in np.meshgrid(*[np.arange(60)] * 3, indexing="ij"))


def _domes(*, left: bool = True) -> np.ndarray:
    """Two lungs (x grows to the left, y to the front) whose upper and lower surface are the same dome."""
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    for side, centre in ((1, -45.0), (2, 45.0)):
        if side == 1 or left:
            reach = 1.0 - ((_X - centre) / 33.0) ** 2 - (_Y / 60.0) ** 2
            labels[(reach > 0) & (-50.0 + 30.0 * reach < _Z) & (10.0 + 60.0 * reach > _Z)] = side
    return labels


def _chest(labels: np.ndarray) -> Volume:
    hu = np.where(labels > 0, -850.0, 40.0).astype(np.float32)
    hu[(np.abs(_X) < 8.0) & (np.abs(_Y + 60.0) < 15.0)] = 500.0
    return Volume(hu, GRID)


def test_domes_above_and_below_rise_inwards_by_their_own_slope() -> None:
    labels = _domes()
    upright = find_bearings(_chest(labels), LabelMap(labels, GRID))
    flipped = np.ascontiguousarray(labels[::-1])
    inverted = find_bearings(_chest(flipped), LabelMap(flipped, GRID))
    assert upright.rise > 0.5
    assert inverted.rise == pytest.approx(-upright.rise, rel=0.02)


def test_the_spine_is_counted_behind_and_not_in_front() -> None:
    labels = _domes()
    assert find_bearings(_chest(labels), LabelMap(labels, GRID)).bone_ratio == np.inf
    turned = Volume(np.ascontiguousarray(_chest(labels).hu[:, ::-1]), GRID)
    assert find_bearings(turned, LabelMap(np.ascontiguousarray(labels[:, ::-1]), GRID)).bone_ratio == 0.0


@pytest.mark.parametrize("shift_voxels", [-4, 0, 4])
def test_the_heart_lies_as_far_from_the_spine_as_lungs_make_room_for_it(shift_voxels: int) -> None:
    labels = np.roll(_domes(), shift_voxels, axis=2)
    heart_mm = find_bearings(_chest(labels), LabelMap(labels, GRID)).heart_mm
    assert heart_mm == pytest.approx(3.0 * shift_voxels, abs=1.6)


def test_one_lung_tells_up_from_down_and_nothing_of_the_heart() -> None:
    labels = _domes(left=False)
    found = find_bearings(_chest(labels), LabelMap(labels, GRID))
    assert found.rise > 0.5
    assert np.isnan(found.heart_mm)
    assert np.isnan(found.gap_mm)


def test_no_lungs_tell_nothing() -> None:
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    found = find_bearings(_chest(labels), LabelMap(labels, GRID))
    assert np.isnan([found.rise, found.gap_mm, found.bone_ratio, found.heart_mm]).all()
