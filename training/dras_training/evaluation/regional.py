"""What embeddings say of a region of the lungs: one linear model for all six, of what differs from its mean.

An encoder that is conditioned on location has a level of its own at every location, which is taken off first.
Regions of a person stay together wherever people are parted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.heads import pool
from dras_training.downstream.fitting import OUTER, Fit, fit, folds
from dras_training.downstream.judging import Numbers, ranked
from dras_training.downstream.people import People
from dras_training.downstream.representation import regions_of


@dataclass(frozen=True, slots=True, eq=False)
class RegionFit:
    """The level of each region (6, c), and the model of what differs from it."""

    level: Numbers
    found: Fit

    def __call__(self, vectors: Numbers) -> Numbers:
        """Return the log odds (n, 6) of vectors (n, 6, c)."""
        n, regions, width = vectors.shape
        return self.found((vectors - self.level).reshape(-1, width)).reshape(n, regions)


def vectors_of(people: People) -> Numbers:
    """Return the mean embedding of each person's regions (n, 6, c), NaN where no patch is valid."""
    return pool(people.embeddings, people.valid, regions_of(people.corners))


def fit_regions(vectors: Numbers, labels: Numbers, *, seed: int) -> RegionFit:
    """Fit whether a region has something: `labels` (n, 6) are 1, 0, or NaN where that is not asked."""
    level = np.nanmean(vectors, axis=0)
    persons, _ = asked = np.nonzero(np.isfinite(labels))
    return RegionFit(
        level, fit((vectors - level)[asked], labels[asked], "probability", seed=seed, persons=persons)
    )


def regions_out_of_fold(
    vectors: Numbers, labels: Numbers, strata: NDArray[np.float64], *, seed: int
) -> Numbers:
    """Return the log odds (n, 6) by models that the person had no part in; folds spread `strata` (n,) evenly."""
    predicted = np.empty(labels.shape)
    for rows in folds(strata, "probability", n=OUTER, seed=seed):
        rest = np.setdiff1d(np.arange(len(labels)), rows)
        predicted[rows] = fit_regions(vectors[rest], labels[rest], seed=seed)(vectors[rows])
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
