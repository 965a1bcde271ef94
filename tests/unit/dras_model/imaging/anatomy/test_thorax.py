import numpy as np
import pytest

from dras_model.imaging.anatomy.shapes import Lattice
from dras_model.imaging.anatomy.thorax import MEAN_THORAX, ThoraxFields, thorax_fields

STEP_MM = 4.0


@pytest.fixture(scope="module")
def axes() -> tuple[np.ndarray, ...]:
    return tuple(np.arange(-low, high + 1, STEP_MM) for low, high in ((152, 152), (140, 140), (160, 160)))


@pytest.fixture(scope="module")
def chest(axes: tuple[np.ndarray, ...]) -> ThoraxFields:
    return thorax_fields(Lattice(axes).points(np.float64), MEAN_THORAX)  # type: ignore[arg-type]


def section(field: np.ndarray, axes: tuple[np.ndarray, ...], z_mm: float) -> np.ndarray:
    return field[int(np.argmin(np.abs(axes[0] - z_mm)))] > 0


def test_the_lungs_are_inside_the_cage_above_the_diaphragm_and_beside_the_heart(chest: ThoraxFields) -> None:
    for lung, cage, floor in (
        (chest.right, chest.right_cage, chest.right_floor),
        (chest.left, chest.left_cage, chest.left_floor),
    ):
        inside = lung > 0
        for bound in (cage, floor, *(-part for part in chest.core)):
            assert np.all(np.broadcast_to(bound, inside.shape)[inside] > 0)


def test_the_lungs_do_not_touch(chest: ThoraxFields) -> None:
    assert not np.any((chest.right > 0) & (chest.left > 0))


def test_the_heart_presses_into_the_left_lung_more_than_into_the_right(
    chest: ThoraxFields, axes: tuple[np.ndarray, ...]
) -> None:
    row = int(np.argmin(np.abs(axes[1] + 64)))
    right, left = (
        np.abs(axes[2][section(lung, axes, -50.0)[row]]).min() for lung in (chest.right, chest.left)
    )
    assert left > right + 10


def test_each_lung_narrows_to_its_apex(chest: ThoraxFields) -> None:
    for lung in (chest.right, chest.left):
        area = (lung > 0).sum(axis=(1, 2))
        top = int(np.flatnonzero(area)[-1])
        assert np.all(np.diff(area[top - 10 : top + 1]) < 0)


def test_the_right_diaphragm_stands_higher_than_the_left(
    chest: ThoraxFields, axes: tuple[np.ndarray, ...]
) -> None:
    def summit(floor: np.ndarray) -> float:
        return float(axes[0][np.argmax(floor > 0, axis=0).max()])

    assert summit(chest.right_floor) > summit(chest.left_floor) + 10


def test_the_lungs_reach_deepest_behind(chest: ThoraxFields, axes: tuple[np.ndarray, ...]) -> None:
    for lung in (chest.right, chest.left):
        z, y, _ = np.nonzero(lung > 0)
        assert axes[1][y[z == z.min()]].mean() > 30
