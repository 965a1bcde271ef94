"""How much of an outcome the embeddings hold: a linear model, judged by nested cross-validation.

The inner folds choose the regularisation, the outer ones judge. A pooling that is learnt is learnt once, of all who
are not in the outer fold: the inner folds take it as it is, and may choose too weak a ridge, which the outer figure
shows. The head that comes out is fitted to everybody; what is told of its quality is that of the outer folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sksurv.nonparametric import nelson_aalen_estimator

from dras_model.encoder.heads import (
    BARE,
    WITH_MOMENTS,
    Attention,
    Calibration,
    FittedOn,
    Head,
    Interval,
    Moments,
)
from dras_training.downstream import judging
from dras_training.downstream.fitting import OUTER, Fit, FitKind, fit, folds
from dras_training.downstream.judging import Numbers
from dras_training.downstream.outcomes import Outcome
from dras_training.downstream.people import People
from dras_training.downstream.poolings import Pooling
from dras_training.downstream.representation import (
    groups_of,
    learn_attention,
    learn_direction,
    learn_moments,
    vectors,
)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One outcome, or one class of it, by one pooling: `predicted` (n,) are those of the outer folds."""

    target: str
    pooling: Pooling
    measure: str
    performance: Interval
    calibration: Calibration
    n: int
    n_events: int | None
    predicted: Numbers

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "target": self.target,
            "pooling": self.pooling,
            "measure": self.measure,
            **self.performance.model_dump(),
            "calibration": self.calibration.model_dump(),
            "n": self.n,
            "n_events": self.n_events,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """How patches become a vector, as it was learnt of some people."""

    groups: NDArray[np.int64]
    attention: Attention | None = None
    moments: Moments | None = None

    @classmethod
    def of(cls, people: People, pooling: Pooling, targets: Numbers, *, seed: int) -> "Pooled":
        """Learn what there is to learn of `targets` (people, k)."""
        groups = groups_of(people, pooling)
        if pooling == "moments":
            return cls(groups, moments=learn_moments(people))
        if pooling != "learned":
            return cls(groups)
        spread = targets.std(axis=0)
        standard = (targets - targets.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        return cls(groups, learn_attention(people, standard, seed=seed))

    def __call__(self, people: People) -> Numbers:
        """Return the vectors (people, columns)."""
        return vectors(people, self.groups, self.attention, self.moments)


def targets_of(outcome: Outcome) -> list[tuple[str, Numbers]]:
    """Return what is fitted: the numbers, or whether somebody is of a class, for each class (the second of two)."""
    if outcome.kind == "regression":
        return [(outcome.name, outcome.values)]
    chosen = range(1, 2) if len(outcome.classes) == 2 else range(len(outcome.classes))
    return [
        (f"{outcome.name}-{outcome.classes[k]}", (outcome.values == k).astype(np.float64)) for k in chosen
    ]


def judge(outcome: Outcome, pooling: Pooling, *, seed: int = 0) -> list[Judged]:
    """Judge every target of an outcome by nested cross-validation."""
    kind: FitKind = "regression" if outcome.kind == "regression" else "probability"
    found = []
    for name, values in targets_of(outcome):
        predicted = out_of_fold(outcome.people, values, kind, pooling, seed=seed)
        if kind == "regression":
            measure, calibration = judging.explained, judging.calibration_of_numbers(values, predicted)
        else:
            predicted = 1.0 / (1.0 + np.exp(-predicted))
            measure, calibration = judging.ranked, judging.calibration_of_probabilities(values, predicted)
        found.append(
            Judged(
                target=name,
                pooling=pooling,
                measure="R²" if kind == "regression" else "AUC",
                performance=judging.interval(measure, values, predicted, seed=seed),
                calibration=calibration,
                n=len(values),
                n_events=None if kind == "regression" else int(values.sum()),
                predicted=predicted,
            )
        )
    return found


def out_of_fold(
    people: People, target: NDArray[Any], kind: FitKind, pooling: Pooling, *, seed: int
) -> Numbers:
    """Return the values (n,) that models give to people of the outer fold that they were not fitted to."""
    predicted = np.empty(len(people))
    for rows in folds(target, kind, n=OUTER, seed=seed):
        rest = np.setdiff1d(np.arange(len(people)), rows)
        pooled, found = fit_all(people.chosen(rest.tolist()), target[rest], kind, pooling, seed=seed)
        predicted[rows] = found(pooled(people.chosen(rows.tolist())))
    return predicted


def fit_all(
    people: People, target: NDArray[Any], kind: FitKind, pooling: Pooling, *, seed: int
) -> tuple[Pooled, Fit]:
    """Fit pooling and model to everybody who is given."""
    learnt = np.asarray(_beyond_expected(target) if kind == "hazard" else target, dtype=np.float64)
    pooled = Pooled.of(people, pooling, learnt.reshape(-1, 1), seed=seed)
    if pooling == "patches":
        direction = learn_direction(people, learnt, seed=seed)
        return pooled, _fit_along(direction, pooled(people), target, kind, seed=seed)
    return pooled, fit(pooled(people), target, kind, seed=seed)


def _fit_along(
    direction: Numbers, columns: Numbers, target: NDArray[Any], kind: FitKind, *, seed: int
) -> Fit:
    """Fit how far, and from where, the target goes with `columns` along a direction."""
    found = fit((columns @ direction)[:, np.newaxis], target, kind, seed=seed)
    return Fit(np.nanmean(columns, axis=0), direction * found.weights[0], found.intercept)


def _beyond_expected(target: NDArray[Any]) -> Numbers:
    """Return events (n,) less those expected of somebody followed as long: martingale residuals of no model.

    They know the order of the times and not their unit. Source: Therneau, Grambsch and Fleming 1990.
    """
    times, hazard = nelson_aalen_estimator(target["event"], target["time"])
    return np.asarray(target["event"] - hazard[np.searchsorted(times, target["time"])], dtype=np.float64)


def heads(outcome: Outcome, judged: Sequence[Judged], *, cohort: str, unit: str, seed: int = 0) -> list[Head]:
    """Fit each target to everybody and return its head, with the quality that was `judged`."""
    kind: FitKind = "regression" if outcome.kind == "regression" else "probability"
    return [
        as_head(
            fit_all(outcome.people, values, kind, each.pooling, seed=seed),
            kind,
            each,
            outcome=name,
            cohort=cohort,
            unit=unit if kind == "regression" else "probability",
        )
        for (name, values), each in zip(targets_of(outcome), judged, strict=True)
    ]


def name_of(outcome: str) -> str:
    """Return what a head is called in a bundle: the outcome, in characters that a file's name may have anywhere."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in outcome).strip("-")[:64] or "head"


def as_head(
    fitted: tuple[Pooled, Fit], kind: FitKind, judged: Judged, *, outcome: str, cohort: str, unit: str
) -> Head:
    """Return a fit as a bundle keeps it."""
    pooled, found = fitted
    shape = (int(pooled.groups.max()) + 1, -1)
    return Head.model_validate(
        {
            "schema_version": BARE if pooled.moments is None else WITH_MOMENTS,
            "name": name_of(outcome),
            "outcome": outcome,
            "unit": unit,
            "kind": kind,
            "groups": pooled.groups.tolist(),
            "centre": found.centre.reshape(shape).tolist(),
            "weights": found.weights.reshape(shape).tolist(),
            "intercept": found.intercept,
            "attention": None if pooled.attention is None else pooled.attention.model_dump(),
            "moments": None if pooled.moments is None else pooled.moments.model_dump(),
            "cohort": FittedOn(description=cohort, n=judged.n, n_events=judged.n_events).model_dump(),
            "measure": judged.measure,
            "performance": judged.performance.model_dump(),
            "calibration": judged.calibration.model_dump(),
        }
    )
