"""What embeddings say of a region of the lungs: one linear model for all six, of what differs from its mean.

An encoder that is conditioned on location has a level of its own at every location, which is taken off first; of
the plain mean, that of the region. Regions of a person stay together wherever people are parted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.heads import Moments, pool
from dras_training.downstream.fitting import OUTER, Fit, fit, folds
from dras_training.downstream.judging import Numbers, ranked
from dras_training.downstream.people import People
from dras_training.downstream.poolings import Pooling
from dras_training.downstream.representation import learn_moments, regions_of


@dataclass(frozen=True, slots=True, eq=False)
class RegionFit:
    """How a region becomes a vector, the level of each (6, columns), and the model of what differs from it."""

    moments: Moments | None
    level: Numbers
    found: Fit

    def __call__(self, people: People) -> Numbers:
        """Return the log odds (n, 6)."""
        apart = vectors_of(people, self.moments) - self.level
        return self.found(apart.reshape(-1, apart.shape[2])).reshape(apart.shape[:2])


def vectors_of(people: People, moments: Moments | None = None) -> Numbers:
    """Return the pooled embedding of each person's regions (n, 6, columns), NaN where too few patches are valid."""
    return pool(people.embeddings, people.valid, regions_of(people.corners), moments=moments)


def fit_regions(people: People, labels: Numbers, pooling: Pooling, *, seed: int) -> RegionFit:
    """Fit whether a region has something: `labels` (n, 6) are 1, 0, or NaN where that is not asked.

    Levels are those of all `people`, as they need no label.
    """
    moments = learn_moments(people) if pooling == "moments" else None
    vectors = vectors_of(people, moments)
    known = np.isfinite(vectors)  # a region of one location has no deviation, of nobody
    level = np.where(known, vectors, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    persons, _ = asked = np.nonzero(np.isfinite(labels))
    found = fit((vectors - level)[asked], labels[asked], "probability", seed=seed, persons=persons)
    return RegionFit(moments, level, found)


def regions_out_of_fold(
    people: People, labels: Numbers, strata: NDArray[np.float64], pooling: Pooling, *, seed: int
) -> Numbers:
    """Return the log odds (n, 6) by models that the person had no part in; folds spread `strata` (n,) evenly."""
    predicted = np.empty(labels.shape)
    for rows in folds(strata, "probability", n=OUTER, seed=seed):
        rest = np.setdiff1d(np.arange(len(labels)), rows)
        found = fit_regions(people.chosen(rest.tolist()), labels[rest], pooling, seed=seed)
        predicted[rows] = found(people.chosen(rows.tolist()))
    return predicted


def mean_auc(observed: Numbers, predicted: Numbers) -> float:
    """Return the mean area under the ROC curve over the columns of (n, ...) that hold both classes.

    ValueError where none does.
    """
    columns = zip(observed.reshape(len(observed), -1).T, predicted.reshape(len(predicted), -1).T, strict=True)
    areas = []
    for truth, odds in columns:
        asked = np.isfinite(truth)
        if 0 < truth[asked].sum() < np.count_nonzero(asked):
            areas.append(ranked(truth[asked], odds[asked]))
    if not areas:
        raise ValueError("one class is missing")
    return float(np.mean(areas))
