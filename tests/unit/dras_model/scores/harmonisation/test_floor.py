import numpy as np
import pytest

from dras_model.scores.harmonisation.floor import Floor, noise_before_floor


@pytest.mark.parametrize("true_hu", [-1000.0, -950.0, -880.0])
@pytest.mark.parametrize("noise_hu", [30.0, 80.0])
def test_the_mean_of_values_that_a_floor_cut_is_given_back(true_hu: float, noise_hu: float) -> None:
    rng = np.random.default_rng(1)
    cut = np.maximum(true_hu + noise_hu * rng.standard_normal(400_000), -1024.0).astype(np.float32)
    lifted = Floor(-1024.0, 0.1, noise_hu).lift(cut, np.full_like(cut, cut.mean()))
    assert lifted.mean() == pytest.approx(true_hu, abs=0.5)


def test_values_above_the_floor_stay_as_they_were() -> None:
    values = np.array([-1024.0, -1023.0, -900.0, -1024.0], dtype=np.float32)
    lifted = Floor(-1024.0, 0.1, 40.0).lift(values, np.full(4, -980.0, dtype=np.float32))
    np.testing.assert_array_equal(lifted[1:3], values[1:3])
    assert np.all(lifted[[0, 3]] < -1024.0)


def test_a_value_that_was_cut_becomes_what_the_noise_has_there_on_average() -> None:
    noisy = (-1000.0 + 50.0 * np.random.default_rng(2).standard_normal(400_000)).astype(np.float32)
    cut = np.maximum(noisy, -1024.0)
    lifted = Floor(-1024.0, 0.3, 50.0).lift(cut, np.full_like(cut, cut.mean()))
    below = noisy < -1024.0
    assert lifted[below].mean() == pytest.approx(noisy[below].mean(), abs=0.5)


@pytest.mark.parametrize(("true_hu", "noise_hu"), [(-870.0, 150.0), (-900.0, 60.0), (-980.0, 40.0)])
def test_noise_is_known_from_the_mean_and_deviation_it_has_above_the_floor(
    true_hu: float, noise_hu: float
) -> None:
    cut = np.maximum(true_hu + noise_hu * np.random.default_rng(3).standard_normal(400_000), -1024.0)
    assert noise_before_floor(float(cut.mean()), float(cut.std()), -1024.0) == pytest.approx(
        noise_hu, rel=0.01
    )
