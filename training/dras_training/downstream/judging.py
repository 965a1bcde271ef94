"""How good predictions are for people who were not fitted to: measures, their confidence, and calibration.

Intervals are percentiles over people drawn anew (bootstrap); that another cohort gives another fit is not in them.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from dras_model.encoder.heads import Calibration, Interval

N_DRAWN = 1000
CONFIDENCE = 95.0
_EDGE = 1e-6  # of a probability, for its odds

Numbers: TypeAlias = NDArray[np.float64]
Measure: TypeAlias = Callable[[Numbers, Numbers], float]


def interval(measure: Measure, observed: Numbers, predicted: Numbers, *, seed: int = 0) -> Interval:
    """Return `measure` of both (n, ...) and the interval it has over people drawn with replacement."""
    generator = np.random.Generator(np.random.PCG64([seed, len(observed)]))
    drawn = []
    for _ in range(N_DRAWN):
        rows = generator.integers(len(observed), size=len(observed))
        try:
            drawn.append(measure(observed[rows], predicted[rows]))
        except ValueError:  # nobody of a class was drawn, or somebody only
            continue
    tail = (100.0 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [tail, 100.0 - tail])
    return Interval(value=float(measure(observed, predicted)), low=float(low), high=float(high))


def explained(observed: Numbers, predicted: Numbers) -> float:
    """Return R² of predictions, not of a line through them. ValueError where all observed are the same."""
    apart = observed - observed.mean()
    if not apart.any():
        raise ValueError("all are the same")
    return float(1.0 - ((observed - predicted) ** 2).sum() / (apart @ apart))


def ranked(observed: Numbers, predicted: Numbers) -> float:
    """Return the area under the ROC curve, by the rank sum. ValueError where one class is missing."""
    n_with = int(observed.sum())
    n_without = len(observed) - n_with
    if n_with == 0 or n_without == 0:
        raise ValueError("one class is missing")
    ranks = rankdata(predicted)[observed > 0].sum()
    return float((ranks - n_with * (n_with + 1) / 2) / (n_with * n_without))


def calibration_of_numbers(observed: Numbers, predicted: Numbers) -> Calibration:
    """Return the line of observed on predicted, and the root mean squared error of the predictions."""
    slope, intercept = np.polyfit(predicted, observed, 1) if np.ptp(predicted) > 0 else (0.0, observed.mean())
    error = float(np.sqrt(np.mean((observed - predicted) ** 2)))
    return Calibration(slope=float(slope), intercept=float(intercept), error=error)


def calibration_of_probabilities(observed: Numbers, predicted: Numbers) -> Calibration:
    """Return the logistic line of outcomes on predicted log odds (Cox 1958), and the root of Brier's score."""
    safe = np.clip(predicted, _EDGE, 1.0 - _EDGE)
    odds = np.log(safe / (1.0 - safe)).reshape(-1, 1)
    line = LogisticRegression(C=1e6).fit(odds, observed)
    error = float(np.sqrt(np.mean((observed - predicted) ** 2)))
    return Calibration(slope=float(line.coef_[0, 0]), intercept=float(line.intercept_[0]), error=error)
