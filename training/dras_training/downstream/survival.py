"""Survival by embeddings: Cox's model with a ridge, judged by nested cross-validation.

Harrell's C over people of the outer folds, and the area under the time-dependent ROC curve at quantiles of the
times of events (Uno 2007, by inverse probability of censoring), by scikit-survival.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored, cumulative_dynamic_auc
from sksurv.util import Surv

from dras_model.encoder.heads import Calibration, Head
from dras_training.downstream import judging
from dras_training.downstream.fitting import OUTER
from dras_training.downstream.judging import Numbers
from dras_training.downstream.outcomes import LEAST_PEOPLE, Table, rows_of
from dras_training.downstream.people import People
from dras_training.downstream.poolings import Pooling
from dras_training.downstream.probe import Judged, as_head, fit_all, out_of_fold

LEAST_EVENTS = 2 * OUTER  # so that each fold has two
HORIZONS = (0.25, 0.5, 0.75)  # quantiles of the times of events


@dataclass(frozen=True, slots=True, eq=False)
class Followed:
    """People who were followed: `target` (n,) has the fields event and time."""

    people: People
    target: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalJudged:
    """How well hazards rank deaths; `auc` by horizon, in the unit of the times."""

    judged: Judged
    auc: dict[float, float]
    mean_auc: float

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        horizons = [{"time": time, "auc": auc} for time, auc in self.auc.items()]
        return self.judged.told() | {"horizons": horizons, "mean_auc": self.mean_auc}


def read_followed(table: Table, people: People, *, time: str, event: str) -> Followed:
    """Return those with a time and whether the event came then (1) or they were last seen (0).

    Raises SetupRefused TABLE_INVALID.
    """
    rows = rows_of(table, people)
    times, events = (np.where(rows >= 0, table.numbers(name)[rows], np.nan) for name in (time, event))
    known = np.flatnonzero(np.isfinite(times) & np.isfinite(events))
    if not np.isin(events[known], (0.0, 1.0)).all():
        raise table.refused(f"its column {event} holds other numbers than 0 and 1")
    if (times[known] <= 0).any():
        raise table.refused(f"its column {time} holds times that are not positive")
    if len(known) < LEAST_PEOPLE or events[known].sum() < LEAST_EVENTS:
        found = f"{len(known)} people with {int(events[known].sum())} events"
        raise table.refused(f"it has {found}; {LEAST_PEOPLE} and {LEAST_EVENTS} are needed")
    if np.quantile(times[known][events[known] > 0], HORIZONS[0]) == times[known].max():
        raise table.refused(f"most of its events come at the greatest {time}, which leaves nothing to rank")
    return Followed(
        people.chosen(known.tolist()), Surv.from_arrays(events[known] > 0, times[known], "event", "time")
    )


def judge_survival(followed: Followed, pooling: Pooling, *, name: str, seed: int = 0) -> SurvivalJudged:
    """Judge Cox's model by nested cross-validation."""
    target = followed.target
    predicted = out_of_fold(followed.people, target, "hazard", pooling, seed=seed)
    pairs = np.stack([target["event"].astype(np.float64), target["time"]], axis=1)
    auc, mean_auc = _areas(target, predicted)
    judged = Judged(
        target=name,
        pooling=pooling,
        measure="C-index",
        performance=judging.interval(concordance, pairs, predicted, seed=seed),
        calibration=_calibration(target, predicted),
        n=len(target),
        n_events=int(target["event"].sum()),
        predicted=predicted,
    )
    return SurvivalJudged(judged, auc, mean_auc)


def survival_head(followed: Followed, found: SurvivalJudged, *, cohort: str, seed: int = 0) -> Head:
    """Fit everybody and return the head: the logarithm of the hazard's ratio to the cohort's mean."""
    fitted = fit_all(followed.people, followed.target, "hazard", found.judged.pooling, seed=seed)
    return as_head(
        fitted, "hazard", found.judged, outcome=found.judged.target, cohort=cohort, unit="log hazard ratio"
    )


def _areas(target: NDArray[Any], predicted: Numbers) -> tuple[dict[float, float], float]:
    """Return the area under the ROC curve at each horizon, and its mean."""
    last = target["time"].max()
    horizons = np.unique(np.quantile(target["time"][target["event"]], HORIZONS))
    horizons = horizons[horizons < last]
    # Where somebody is lost at the last time nobody is left, and a death at it would have no weight. It is later
    # than every horizon, so that it is none of their deaths.
    seen = target.copy()
    seen["event"] &= seen["time"] < last
    areas, mean = cumulative_dynamic_auc(seen, seen, predicted, horizons)
    return dict(zip(horizons.tolist(), np.atleast_1d(areas).tolist(), strict=True)), float(mean)


def concordance(pairs: Numbers, predicted: Numbers) -> float:
    """Return Harrell's C of hazards (n,) for pairs (n, 2) of event and time. ValueError where nobody died."""
    events = pairs[:, 0] > 0
    if not events.any():
        raise ValueError("nobody died")
    return float(concordance_index_censored(events, pairs[:, 1], predicted)[0])


def _calibration(target: NDArray[Any], predicted: Numbers) -> Calibration:
    """Return the slope of Cox's model on the predicted log hazard; 1 is perfect, a hazard has no intercept."""
    spread = predicted.std()
    if spread == 0:
        return Calibration(slope=0.0, intercept=0.0)
    found = CoxPHSurvivalAnalysis().fit(predicted.reshape(-1, 1) / spread, target)
    return Calibration(slope=float(found.coef_[0] / spread), intercept=0.0)
