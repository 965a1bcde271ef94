"""What is asked of embeddings and of what stands in their place, and how an answer is judged.

An answer is what models said of people who had no part in fitting them. Intervals are over people drawn anew, the
same draws for all that is compared, so that a difference has an interval of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import rankdata
from sksurv.util import Surv

from dras_model.encoder.heads import Interval
from dras_model.imaging.phantom.spec import Kernel
from dras_training.downstream.fitting import OUTER, folds
from dras_training.downstream.judging import Measure, Numbers, explained, interval, ranked
from dras_training.downstream.people import People
from dras_training.downstream.poolings import Pooling
from dras_training.downstream.probe import out_of_fold
from dras_training.downstream.survival import concordance
from dras_training.evaluation.material import KINDS
from dras_training.evaluation.regional import fit_regions, mean_auc, regions_out_of_fold
from dras_training.people import RISK, Person

LEAST_PERCENT = 1.0  # of a region's voxels are lost where it has emphysema
SEED = 0
NOBODY = -1  # the kind of the healthy
PERCENTS = (1, 5, 10, 25)  # of the labels; by all of them it is the question of detection
DRAWS = 5  # of who is labelled
BY_FEW = "labels_"  # begins the keys of what is asked by few of them
_BY_FEW_LABELS = "Whether a region has emphysema, by {} % of the labels"


def mean_area(_observed: Numbers, areas: Numbers) -> float:
    """Return the mean of areas (n,) that were measured one by one; NaN: not measured."""
    return float(np.nanmean(areas))


def rank_correlation(observed: Numbers, predicted: Numbers) -> float:
    """Return Spearman's correlation."""
    return float(np.corrcoef(rankdata(observed), rankdata(predicted))[0, 1])


class Form(NamedTuple):
    """How a question reads and is judged; guessing gives `chance`."""

    title: str
    measure: str
    chance: float
    judge: Measure


FORMS = {
    "subtype": Form("Which kind of emphysema a region has, where it has any", "AUC", 0.5, mean_auc),
    "detection": Form("Whether a region has emphysema", "AUC", 0.5, mean_auc),
    **{f"{BY_FEW}{n}": Form(_BY_FEW_LABELS.format(n), "AUC", 0.5, mean_auc) for n in PERCENTS},
    "severity": Form("How much of both lungs is emphysema: the root of its %", "R²", 0.0, explained),
    "survival": Form("Who of the invented people dies first", "C-index", 0.5, concordance),
    "kernel": Form("Which kernel made the scan: a leak, 0.5 is good", "AUC", 0.5, ranked),
    "dense": Form("Where the emphysema is, by a dense map of severity", "AUC", 0.5, mean_area),
    "inserted_subtype": Form("Which kind was put into a region of a real lung", "AUC", 0.5, mean_auc),
    "inserted_severity": Form("How much was put into real lungs", "rank correlation", 0.0, rank_correlation),
    "inserted_place": Form("Which patches of a real lung it was put into", "AUC", 0.5, mean_area),
}


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One of FORMS, what is true (n, ...), and what each system answers (n, ...)."""

    key: str
    observed: Numbers
    answers: Mapping[str, Numbers]

    @property
    def form(self) -> Form:
        """How it reads and is judged."""
        return FORMS[self.key]

    def figure(self, system: str) -> Interval:
        """Return how good the answers of a system are."""
        return interval(self.form.judge, self.observed, self.answers[system], seed=SEED)

    def difference(self, system: str, other: str) -> Interval:
        """Return by how much a system is better than another, of the same people in every draw."""

        def apart(observed: Numbers, both: Numbers) -> float:
            return self.form.judge(observed, both[:, 0]) - self.form.judge(observed, both[:, 1])

        both = np.stack([self.answers[system], self.answers[other]], axis=1)
        return interval(apart, self.observed, both, seed=SEED)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What is true of people: `regions` (n, 6) is the emphysema in % of each of REGIONS.

    `severity` (n,) is the root of it in both lungs, as there are many people with little and few with much.

    `kind` (n,) is the number of the pattern in KINDS, or NOBODY; `fate` (n,) has the fields event and time,
    `hazard` (n,) is what it was drawn from; `sharp` (n,) is 1 where the kernel is.
    """

    severity: Numbers
    kind: Numbers
    regions: Numbers
    fate: Any
    hazard: Numbers
    sharp: Numbers

    @classmethod
    def of(cls, people: Sequence[Person], regions: Numbers) -> "Truth":
        """Return what is true of invented people whose regions (n, 6) were counted."""
        disease = [person.spec.emphysema for person in people]
        return cls(
            severity=np.sqrt([100.0 * each.fraction for each in disease]),
            kind=np.array([KINDS.index(each.kind) if each.fraction else NOBODY for each in disease], float),
            regions=regions,
            fate=Surv.from_arrays([p.died for p in people], [p.years for p in people], "event", "time"),
            hazard=np.array([RISK.get(each.kind, 0.0) * each.fraction for each in disease]),
            sharp=np.array([float(person.spec.kernel is Kernel.SHARP) for person in people]),
        )

    @property
    def deaths(self) -> Numbers:
        """Whether somebody died, and when that was or who was last seen (n, 2)."""
        return np.stack([self.fate["event"].astype(np.float64), self.fate["time"]], axis=1)

    @property
    def present(self) -> Numbers:
        """Whether a region has emphysema (n, 6)."""
        return np.asarray(self.regions >= LEAST_PERCENT, dtype=np.float64)

    @property
    def pattern(self) -> Numbers:
        """Whether the emphysema of a region is of each of KINDS (n, 6, 3); NaN where it has none."""
        is_of = (self.kind[:, np.newaxis] == np.arange(len(KINDS))).astype(np.float64)
        has = self.present[:, :, np.newaxis] > 0
        return np.where(has, is_of[:, np.newaxis, :], np.nan)


def ask(truth: Truth, systems: Mapping[str, People], pooling: Pooling) -> list[Question]:
    """Ask everything of invented people, whose embeddings each system made and `pooling` pools."""

    def whole(target: Any, kind: Any) -> Mapping[str, Numbers]:
        return _each(systems, lambda people: out_of_fold(people, target, kind, pooling, seed=SEED))

    kinds = _each(systems, lambda people: kinds_out_of_fold(people, truth, pooling))
    answers = {
        "subtype": (truth.pattern, kinds),
        "detection": (truth.present, _each(systems, lambda people: _detected(people, truth, pooling))),
        "severity": (truth.severity, whole(truth.severity, "regression")),
        "survival": (truth.deaths, whole(truth.fate, "hazard")),
        "kernel": (truth.sharp, whole(truth.sharp, "probability")),
    }
    return [Question(key, observed, given) for key, (observed, given) in answers.items()]


def ask_by_few(truth: Truth, systems: Mapping[str, People], pooling: Pooling) -> list[Question]:
    """Ask for presence by models of the labels of few people, PERCENTS of those who are not judged.

    Levels of locations are those of all of them, which needs no label. The answers are (n, 6, DRAWS).
    """
    observed = np.repeat(truth.present[:, :, np.newaxis], DRAWS, axis=2)
    return [
        Question(f"{BY_FEW}{percent}", observed, _each(systems, partial(_by_few, truth, pooling, percent)))
        for percent in PERCENTS
    ]


def kinds_out_of_fold(people: People, truth: Truth, pooling: Pooling) -> Numbers:
    """Return the log odds (n, 6, 3) of each kind in each region, by models the person had no part in."""
    by_kind = [
        regions_out_of_fold(people, truth.pattern[:, :, k], truth.kind, pooling, seed=SEED)
        for k in range(len(KINDS))
    ]
    return np.stack(by_kind, axis=2)


def _detected(people: People, truth: Truth, pooling: Pooling) -> Numbers:
    return regions_out_of_fold(people, truth.present, truth.kind, pooling, seed=SEED)


def _by_few(truth: Truth, pooling: Pooling, percent: int, people: People) -> Numbers:
    answers = np.empty((*truth.present.shape, DRAWS))
    for rows in folds(truth.kind, "probability", n=OUTER, seed=SEED):
        rest = np.setdiff1d(np.arange(len(people)), rows)
        for draw in range(DRAWS):
            labels = labels_of_few(truth.present[rest], percent, seed=draw)
            found = fit_regions(people.chosen(rest.tolist()), labels, pooling, seed=SEED)
            answers[rows, :, draw] = found(people.chosen(rows.tolist()))
    return answers


def labels_of_few(present: Numbers, percent: int, *, seed: int) -> Numbers:
    """Return the labels (n, 6) with all but those of some people NaN: as many more as it takes to have both."""
    order = np.random.Generator(np.random.PCG64([seed, len(present)])).permutation(len(present))
    n = max(1, round(percent / 100.0 * len(present)))
    while n < len(order) and len(np.unique(present[order[:n]])) < 2:
        n += 1
    labels = np.full(present.shape, np.nan)
    labels[order[:n]] = present[order[:n]]
    return labels


def _each(systems: Mapping[str, People], answer: Callable[[People], Numbers]) -> Mapping[str, Numbers]:
    return {name: answer(people) for name, people in systems.items()}
