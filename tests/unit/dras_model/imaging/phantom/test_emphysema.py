import numpy as np
import pytest

from dras_model.imaging.anatomy.shapes import Lattice, Vector, ellipsoid
from dras_model.imaging.phantom.emphysema import emphysema_field, level_of, smooth_noise
from dras_model.imaging.phantom.spec import EmphysemaKind


@pytest.fixture(scope="module")
def ball() -> tuple[Lattice, np.ndarray]:
    axis = np.arange(-60.0, 61.0, 3.0)
    lattice = Lattice((axis, axis, axis))
    return lattice, ellipsoid(lattice.points(np.float64), Vector(0, 0, 0), Vector(50, 50, 50))


@pytest.mark.parametrize("kind", [k for k in EmphysemaKind if k is not EmphysemaKind.NONE])
def test_every_pattern_lies_between_zero_and_one_and_belongs_to_its_seed(
    kind: EmphysemaKind, ball: tuple[Lattice, np.ndarray]
) -> None:
    lattice, lung = ball
    field = emphysema_field(kind, lattice, lung, seed=1)
    assert field.min() >= 0.0
    assert field.max() <= 1.0
    assert np.array_equal(field, emphysema_field(kind, lattice, lung, seed=1))
    assert not np.array_equal(field, emphysema_field(kind, lattice, lung, seed=2))


@pytest.mark.parametrize(
    ("kind", "where"), [(EmphysemaKind.CENTRILOBULAR, "above"), (EmphysemaKind.PANLOBULAR, "below")]
)
def test_centrilobular_prefers_the_apex_and_panlobular_the_base(
    kind: EmphysemaKind, where: str, ball: tuple[Lattice, np.ndarray]
) -> None:
    lattice, lung = ball
    field = emphysema_field(kind, lattice, lung, seed=1)
    worst = np.argwhere((field > np.quantile(field[lung > 0], 0.9)) & (lung > 0))[:, 0].mean()
    assert (worst > (lung.shape[0] - 1) / 2) == (where == "above")


def test_the_level_leaves_as_many_voxels_above_it_as_wanted() -> None:
    values = np.random.default_rng(0).integers(0, 1000, 50_000)
    level = level_of(np.bincount(values, minlength=1000), 5_000)
    assert np.count_nonzero(values >= level) == pytest.approx(5_000, abs=40)


def test_more_voxels_than_there_are_cannot_be_lost() -> None:
    with pytest.raises(ValueError, match="asked for"):
        level_of(np.array([3, 4]), 8)


def test_noise_is_correlated_over_its_width() -> None:
    noise = smooth_noise(np.random.default_rng(0), (40, 40, 40), sigma=3.0)
    assert noise.std() == pytest.approx(1.0)
    assert np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1] > 0.9
