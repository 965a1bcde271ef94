"""Linear models of pooled embeddings; how strongly they are held back is chosen among those fitted to.

Three kinds, one shape: numbers by ridge regression, classes by logistic regression, hazards by Cox's model with a
ridge. A fit knows nothing of those it is judged on.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored

from dras_training.downstream.judging import Numbers

Rows: TypeAlias = NDArray[np.int64]
FitKind: TypeAlias = Literal["regression", "probability", "hazard"]
STRENGTHS = tuple(10.0 ** np.arange(0.0, 6.0))  # of the ridge, on standardised columns
INNER, OUTER = 4, 5  # folds
UNCHOSEN = float(STRENGTHS[2])  # where there are too few people, or of a class, for the inner folds
_FLAT = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """value = intercept + weights · (x - centre), `weights` and `centre` (columns,) of columns as they are."""

    centre: Numbers
    weights: Numbers
    intercept: float

    def __call__(self, columns: Numbers) -> Numbers:
        """Return the values of rows (n, columns); a column that is not known counts as the mean."""
        apart = np.where(np.isfinite(columns), columns - self.centre, 0.0)
        return np.asarray(self.intercept + apart @ self.weights)


def fit(
    columns: Numbers, target: NDArray[Any], kind: FitKind, *, seed: int, persons: Rows | None = None
) -> Fit:
    """Fit `target` (n,) by `columns` (n, c). A hazard's target is structured: event, time.

    `persons` (n,) says whose each row is, where a person has several: inner folds keep them together.
    """
    centre = np.nanmean(columns, axis=0)
    known = np.where(np.isfinite(columns), columns - centre, 0.0)
    scale = known.std(axis=0)
    scale = np.where(scale > _FLAT, scale, np.inf)  # what is the same for all says nothing
    # A ridge keeps weights among the rows: of more columns than rows, the rows' own axes give the same fit.
    _, sizes, axes = np.linalg.svd(known / scale, full_matrices=False)
    axes = axes[sizes > _FLAT * max(float(sizes[0]), _FLAT)]
    weights, intercept = _KINDS[kind]((known / scale) @ axes.T, target, seed, persons)
    return Fit(centre, weights @ axes / scale, intercept)


def folds(
    target: NDArray[Any], kind: FitKind, *, n: int, seed: int, persons: Rows | None = None
) -> list[Rows]:
    """Return the rows of each fold; classes, and events, are spread evenly over them, and no person over two."""
    if kind == "regression":
        splitter: KFold | StratifiedKFold = KFold(n, shuffle=True, random_state=seed)
        return [rows for _, rows in splitter.split(target)]
    labels = target["event"] if kind == "hazard" else target
    if persons is not None:
        grouped = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
        return [rows for _, rows in grouped.split(labels, labels, persons)]
    splitter = StratifiedKFold(n, shuffle=True, random_state=seed)
    return [rows for _, rows in splitter.split(labels, labels)]


def _ridge(columns: Numbers, target: Numbers, _seed: int, _persons: Rows | None) -> tuple[Numbers, float]:
    found = RidgeCV(alphas=STRENGTHS).fit(columns, target)  # leave one out, in closed form
    return np.asarray(found.coef_), float(found.intercept_)


def _logistic(columns: Numbers, target: Numbers, seed: int, persons: Rows | None) -> tuple[Numbers, float]:
    def model(strength: float) -> LogisticRegression:
        return LogisticRegression(C=1.0 / strength, max_iter=2000)

    def misfit(found: LogisticRegression, rows: NDArray[np.int64]) -> float:
        chance = np.clip(found.predict_proba(columns[rows])[:, 1], 1e-9, 1 - 1e-9)
        return float(-np.log(np.where(target[rows] > 0, chance, 1 - chance)).mean())

    best = _best(target, "probability", columns, model, misfit, seed=seed, persons=persons)
    found = model(best).fit(columns, target)
    return np.asarray(found.coef_[0]), float(found.intercept_[0])


def _cox(columns: Numbers, target: NDArray[Any], seed: int, persons: Rows | None) -> tuple[Numbers, float]:
    def model(strength: float) -> CoxPHSurvivalAnalysis:
        return CoxPHSurvivalAnalysis(alpha=strength, ties="efron", n_iter=100)

    def misfit(found: CoxPHSurvivalAnalysis, rows: NDArray[np.int64]) -> float:
        kept = target[rows]
        return -float(
            concordance_index_censored(kept["event"], kept["time"], found.predict(columns[rows]))[0]
        )

    best = _best(target, "hazard", columns, model, misfit, seed=seed, persons=persons)
    found = model(best).fit(columns, target)
    weights = np.asarray(found.coef_)
    return weights, 0.0  # the logarithm of the ratio to the mean of the columns


def _best(
    target: NDArray[Any],
    kind: FitKind,
    columns: Numbers,
    model: Callable[[float], Any],
    misfit: Callable[[Any, NDArray[np.int64]], float],
    *,
    seed: int,
    persons: Rows | None,
) -> float:
    """Return the strength with the least misfit in the inner folds; UNCHOSEN where they are too few to tell."""
    if kind == "probability" and int(np.bincount(target.astype(np.int64)).min()) < INNER:
        return UNCHOSEN
    if persons is not None and len(np.unique(persons)) < INNER:
        return UNCHOSEN
    inner = folds(target, kind, n=INNER, seed=seed, persons=persons)
    everybody = np.arange(len(target))
    misfits = []
    for strength in STRENGTHS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a strength that does not converge loses by its misfit
            parts = []
            for rows in inner:
                rest = np.setdiff1d(everybody, rows)
                try:
                    parts.append(misfit(model(strength).fit(columns[rest], target[rest]), rows))
                except (ValueError, ArithmeticError, np.linalg.LinAlgError):
                    parts.append(np.inf)
        misfits.append(float(np.mean(parts)))
    best = int(np.argmin(misfits))
    return float(STRENGTHS[best]) if np.isfinite(misfits[best]) else UNCHOSEN


_KINDS: dict[FitKind, Callable[[Numbers, NDArray[Any], int, Rows | None], tuple[Numbers, float]]] = {
    "regression": _ridge,
    "probability": _logistic,
    "hazard": _cox,
}
