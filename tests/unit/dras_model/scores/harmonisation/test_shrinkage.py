import numpy as np
import pytest

from dras_model.scores.harmonisation.shrinkage import remove_noise, typical_deviation


def _normal(seed: int, deviation: float, n: int = 200_000) -> np.ndarray:
    return (deviation * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def test_details_of_mere_noise_vanish() -> None:
    coarse = -870.0 + _normal(0, 15.0)
    clean = remove_noise(coarse, [_normal(1, 10.0), _normal(2, 40.0)], [10.0, 40.0])
    assert clean.std() == pytest.approx(coarse.std(), rel=0.03)
    assert clean.mean() == pytest.approx(-870.0, abs=0.3)


def test_details_without_noise_stay_as_they_are() -> None:
    coarse, details = -870.0 + _normal(3, 15.0), [_normal(4, 12.0), _normal(5, 20.0)]
    clean = remove_noise(coarse, details, [0.0, 0.0])
    np.testing.assert_allclose(clean, coarse + details[0] + details[1], atol=0.01)


def test_signal_under_noise_keeps_its_variance_and_so_the_histogram_its_tail() -> None:
    coarse, signal, noise = -900.0 + _normal(6, 2.0), _normal(7, 25.0), _normal(8, 30.0)
    clean = remove_noise(coarse, [signal + noise], [30.0])
    true = coarse + signal
    assert clean.std() == pytest.approx(true.std(), rel=0.03)
    assert np.mean(clean <= -950.0) == pytest.approx(np.mean(true <= -950.0), rel=0.1)
    assert np.mean(coarse + signal + noise <= -950.0) > 3 * np.mean(true <= -950.0)


def test_a_group_of_few_voxels_is_left_as_it_is() -> None:
    coarse = np.full(5, -1000.0, dtype=np.float32)
    detail = np.array([-20.0, 3.0, 8.0, 1.0, -4.0], dtype=np.float32)
    np.testing.assert_array_equal(remove_noise(coarse, [detail], [30.0]), coarse + detail)


def test_the_typical_deviation_is_blind_to_blocks_with_vessels() -> None:
    rng = np.random.default_rng(9)
    blocks = 20.0 * np.sqrt(rng.chisquare(40, 20_000) / 40)
    blocks[:6000] += rng.exponential(60.0, 6000)
    assert typical_deviation(blocks.astype(np.float32)) == pytest.approx(20.0, rel=0.04)
