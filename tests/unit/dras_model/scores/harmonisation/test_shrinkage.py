import numpy as np
import pytest

from dras_model.scores.harmonisation.shrinkage import remove_noise, typical_deviation


def _normal(seed: int, deviation: float, n: int = 200_000) -> np.ndarray:
    return (deviation * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


def test_detail_of_mere_noise_vanishes() -> None:
    coarse = -870.0 + _normal(0, 15.0)
    clean = remove_noise(coarse, _normal(1, 40.0), alone_hu=40.0, left_hu=0.0)
    assert clean.std() == pytest.approx(coarse.std(), rel=0.2)
    assert clean.mean() == pytest.approx(-870.0, abs=1.0)
    assert np.mean(clean <= -950.0) < 1e-3


def test_noise_of_the_coarse_level_is_taken_out_of_the_histogram() -> None:
    true = np.where(np.arange(200_000) % 20 == 0, -980.0, -870.0).astype(np.float32) + _normal(15, 8.0)
    clean = remove_noise(true + _normal(16, 12.0), np.zeros_like(true), alone_hu=0.0, left_hu=12.0)
    for percent in (1.0, 15.0, 50.0, 85.0):
        assert np.percentile(clean, percent) == pytest.approx(np.percentile(true, percent), abs=3.0)


def test_without_noise_everything_stays_as_it_is() -> None:
    coarse, detail = -870.0 + _normal(3, 15.0), _normal(4, 12.0)
    np.testing.assert_array_equal(remove_noise(coarse, detail, alone_hu=0.0, left_hu=0.0), coarse + detail)


def test_signal_under_noise_keeps_its_variance_and_so_the_histogram_its_tail() -> None:
    coarse, signal, noise = -900.0 + _normal(6, 2.0), _normal(7, 25.0), _normal(8, 30.0)
    clean = remove_noise(coarse, signal + noise, alone_hu=30.0, left_hu=0.0)
    true = coarse + signal
    assert clean.std() == pytest.approx(true.std(), rel=0.05)
    assert np.mean(clean <= -950.0) == pytest.approx(np.mean(true <= -950.0), rel=0.1)
    assert np.mean(coarse + signal + noise <= -950.0) > 3 * np.mean(true <= -950.0)


def test_a_skewed_signal_becomes_no_symmetrical_one() -> None:
    rng = np.random.default_rng(10)
    coarse, noise = -900.0 + _normal(11, 2.0), _normal(12, 25.0)
    vessels = (rng.exponential(25.0, len(coarse)) - 25.0).astype(np.float32)  # none below -25 HU
    clean = remove_noise(coarse, vessels + noise, alone_hu=25.0, left_hu=0.0)
    scaled = coarse + (vessels + noise) / np.sqrt(2.0).astype(np.float32)  # the right variance, and no more
    assert np.mean(clean <= -935.0) < 0.6 * np.mean(scaled <= -935.0)
    assert np.percentile(clean, 99.0) == pytest.approx(np.percentile(coarse + vessels, 99.0), abs=10.0)


def test_edges_far_beyond_the_noise_stay_where_they_are() -> None:
    coarse, detail = -900.0 + _normal(13, 2.0), _normal(14, 4.0)
    detail[::1000] = 600.0
    clean = remove_noise(coarse, detail, alone_hu=4.0, left_hu=0.0)
    np.testing.assert_allclose(clean[::1000], coarse[::1000] + 600.0, atol=60.0)


def test_a_group_of_few_voxels_is_left_as_it_is() -> None:
    coarse = np.full(5, -1000.0, dtype=np.float32)
    detail = np.array([-20.0, 3.0, 8.0, 1.0, -4.0], dtype=np.float32)
    clean = remove_noise(coarse, detail, alone_hu=30.0, left_hu=0.0)
    np.testing.assert_allclose(clean, coarse + detail, atol=1.5)  # a part of a bin


def test_the_typical_deviation_is_blind_to_blocks_with_vessels() -> None:
    rng = np.random.default_rng(9)
    blocks = 20.0 * np.sqrt(rng.chisquare(40, 20_000) / 40)
    blocks[:6000] += rng.exponential(60.0, 6000)
    assert typical_deviation(blocks.astype(np.float32)) == pytest.approx(20.0, rel=0.04)
