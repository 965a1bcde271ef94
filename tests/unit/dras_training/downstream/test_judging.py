"""Measures against scikit-learn's, and intervals that hold what they should."""

import numpy as np
import pytest
from sklearn.metrics import r2_score, roc_auc_score

from dras_training.downstream import judging


@pytest.mark.parametrize("seed", range(4))
def test_measures_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    observed = rng.normal(size=50)
    predicted = np.round(observed + rng.normal(size=50), 1)  # with ties
    classes = (observed > 0.3).astype(float)
    assert judging.explained(observed, predicted) == pytest.approx(r2_score(observed, predicted))
    assert judging.ranked(classes, predicted) == pytest.approx(roc_auc_score(classes, predicted))


def test_an_interval_of_a_mean_is_about_that_of_the_normal_distribution():
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 2.0, size=400)
    found = judging.interval(lambda a, _: float(a.mean()), values, values)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * 2.0 / 20.0, rel=0.15)


def test_calibration_tells_predictions_that_are_too_bold_and_shifted():
    rng = np.random.default_rng(2)
    truth = rng.normal(size=5000)
    observed = truth + 0.1 * rng.normal(size=5000)
    met = judging.calibration_of_numbers(observed, 2.0 * truth + 1.0)
    assert met.slope == pytest.approx(0.5, abs=0.01)
    assert met.intercept == pytest.approx(-0.5, abs=0.02)
    classes = (rng.random(5000) < 1.0 / (1.0 + np.exp(-truth))).astype(float)
    bold = judging.calibration_of_probabilities(classes, 1.0 / (1.0 + np.exp(-3.0 * truth)))
    assert bold.slope == pytest.approx(1.0 / 3.0, abs=0.05)
