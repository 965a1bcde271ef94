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


def test_contrast_that_a_floor_shrank_is_given_back() -> None:
    rng = np.random.default_rng(2)
    noise = 80.0 * rng.standard_normal((2, 400_000))
    cut = np.maximum(np.array([[-990.0], [-890.0]]) + noise, -1024.0).astype(np.float32)
    means = np.broadcast_to(cut.mean(axis=1, keepdims=True), cut.shape)
    low, high = Floor(-1024.0, 0.1, 80.0).lift(cut, means).mean(axis=1)
    assert cut[1].mean() - cut[0].mean() < 85.0
    assert high - low == pytest.approx(100.0, abs=1.0)


@pytest.mark.parametrize(("true_hu", "noise_hu"), [(-870.0, 150.0), (-900.0, 60.0), (-980.0, 40.0)])
def test_noise_is_known_from_the_mean_and_deviation_it_has_above_the_floor(
    true_hu: float, noise_hu: float
) -> None:
    cut = np.maximum(true_hu + noise_hu * np.random.default_rng(3).standard_normal(400_000), -1024.0)
    assert noise_before_floor(float(cut.mean()), float(cut.std()), -1024.0) == pytest.approx(
        noise_hu, rel=0.01
    )
