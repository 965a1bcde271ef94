import numpy as np
import pytest

from dras_model.imaging.phantom import Emphysema, PhantomSpec
from dras_model.imaging.phantom.breath import Breath, BreathPair, make_breath_pair

SMALL = {"seed": 3, "n_slices": 50, "matrix": 96, "noise_hu": 0.0}


@pytest.fixture(scope="module")
def pair() -> BreathPair:
    return make_breath_pair(PhantomSpec(**SMALL, emphysema=Emphysema("centrilobular", 0.1)), trapped=0.2)


def points(n: int = 400) -> np.ndarray:
    return np.random.default_rng(0).uniform((-130, -90, -150), (130, 130, 150), (n, 3))


def test_the_motion_folds_nothing_anywhere_in_the_scan() -> None:
    assert Breath().jacobian(points(20_000)).min() > 0.9


def test_the_jacobian_is_the_volume_of_a_small_cube_that_moved() -> None:
    breath, side = Breath(), 0.5
    corner = points()
    edges = [
        breath.to_inspiration(corner + side * axis) - breath.to_inspiration(corner) for axis in np.eye(3)
    ]
    volumes = np.einsum("na,na->n", edges[0], np.cross(edges[1], edges[2])) / side**3
    np.testing.assert_allclose(breath.jacobian(corner + side / 2), volumes, rtol=0.02)


def test_nothing_moves_up_or_down_above_the_apex_without_ripples() -> None:
    high = points() * [1, 1, 0] + [0, 0, 140.0]
    np.testing.assert_allclose(Breath(ripple_mm=0.0).to_inspiration(high)[:, 2], 140.0)


def test_volume_in_inspiration_is_the_integral_of_the_jacobian(pair: BreathPair) -> None:
    lungs = pair.lungs
    inside = lungs.grid.to_world(np.argwhere(lungs.labels > 0))
    expected_ml = pair.breath.jacobian(inside).sum() * lungs.grid.voxel_ml
    assert pair.inspiration.truth.measure().volume_ml == pytest.approx(expected_ml, rel=0.01)


def test_parenchyma_keeps_its_mass_where_no_air_is_trapped() -> None:
    made = make_breath_pair(PhantomSpec(**SMALL))
    lung = made.lungs.labels > 0
    gives = lung & (made.inhaled_hu < -700)
    factor = made.breath.jacobian(made.lungs.grid.to_world(np.argwhere(gives)))
    np.testing.assert_allclose(
        made.exhaled_hu[gives] + 1000.0, (made.inhaled_hu[gives] + 1000.0) * factor, atol=0.51
    )


def test_the_asked_fraction_is_trapped_and_stays_thin(pair: BreathPair) -> None:
    lung = pair.lungs.labels > 0
    assert np.mean(pair.trapped[lung]) == pytest.approx(0.2, abs=0.001)
    parenchyma = pair.trapped & (pair.inhaled_hu < -700)
    assert pair.exhaled_hu[parenchyma].max() <= -875
    assert not (pair.trapped & ~lung).any()


def test_emphysema_keeps_its_density_in_both_breaths(pair: BreathPair) -> None:
    holes = (pair.lungs.labels > 0) & (pair.inhaled_hu <= -980)
    assert np.mean(holes[pair.lungs.labels > 0]) == pytest.approx(0.1, abs=0.01)
    np.testing.assert_array_equal(pair.exhaled_hu[holes], pair.inhaled_hu[holes])


def test_the_same_spec_gives_the_same_bits(pair: BreathPair) -> None:
    again = make_breath_pair(pair.inspiration.spec, trapped=0.2)
    np.testing.assert_array_equal(again.expiration.hu, pair.expiration.hu)
    np.testing.assert_array_equal(again.trapped, pair.trapped)


def test_without_noise_the_scan_holds_exactly_the_true_voxels(pair: BreathPair) -> None:
    np.testing.assert_array_equal(pair.expiration.hu, pair.exhaled_hu)
