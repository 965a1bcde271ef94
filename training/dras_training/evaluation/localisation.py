"""Whether heads find the place: dense maps of held-out people, and real lungs that were given emphysema.

Heads are fitted to held-out people as a user would fit them, to whole patients and regions; whoever is mapped had
no part in it. Nothing is fitted to a real scan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.heads import Calibration, FittedOn, Head, Interval
from dras_model.imaging.atlas import RIGHT, Atlas
from dras_model.imaging.phantom import make_phantom
from dras_model.imaging.volume import LabelMap
from dras_model.preparing import Cut
from dras_training.downstream.dense import slide
from dras_training.downstream.judging import Numbers, ranked
from dras_training.downstream.people import People
from dras_training.downstream.places import lung_of_blocks
from dras_training.downstream.poolings import Pooling
from dras_training.downstream.probe import fit_all
from dras_training.evaluation.material import KINDS, Sample, cut_phantom, insertions
from dras_training.evaluation.questions import NOBODY, SEED, Question, Truth
from dras_training.evaluation.regional import fit_regions
from dras_training.evaluation.systems import System
from dras_training.people import Person

LEAST_SHARE = 0.05  # of the lung in a block or a patch is emphysema where a map should show it
LEAST_SEVERITY = 3.0  # % of the lung; fewer blocks would hold any


@dataclass(frozen=True, slots=True, eq=False)
class Mapped:
    """A held-out person whose lungs heads are slid over; `row` is the person's among the others.

    `emphysema` is labelled as a lung is, RIGHT wherever it lies.
    """

    row: int
    cut: Cut
    emphysema: LabelMap


def to_map(people: Sequence[Person], most: int, atlas: Atlas) -> list[Mapped]:
    """Return the first `most` people whose emphysema is enough to be found."""
    ill = [row for row, person in enumerate(people) if 100 * person.spec.emphysema.fraction >= LEAST_SEVERITY]
    found = []
    for row in ill[:most]:
        spec = people[row].spec
        lost = LabelMap(np.uint8(RIGHT) * make_phantom(spec).truth.emphysema, spec.grid)
        found.append(Mapped(row, cut_phantom(spec, atlas), lost.oriented(atlas.orientation)))
    return found


def severity_head(people: People, severity: Numbers) -> Head:
    """Return the head of severity that patches tell, fitted to `people`; of its quality nothing is told."""
    pooled, found = fit_all(people, severity, "regression", "patches", seed=SEED)
    return Head(
        name="severity",
        outcome="severity",
        unit="root of %",
        kind="regression",
        groups=tuple(pooled.groups.tolist()),
        centre=(tuple(found.centre.tolist()),),
        weights=(tuple(found.weights.tolist()),),
        intercept=found.intercept,
        cohort=FittedOn(description="held-out phantoms", n=len(people)),
        measure="R²",
        performance=Interval(value=0, low=0, high=0),
        calibration=Calibration(slope=1, intercept=0),
    )


def dense_question(
    mapped: Sequence[Mapped],
    systems: Mapping[str, System],
    encoded: Mapping[str, People],
    *,
    severity: Numbers,
    atlas: Atlas,
    stride_mm: int,
) -> Question:
    """Ask whether a dense map of severity is higher where the emphysema is, person by person."""
    rest = np.setdiff1d(np.arange(len(severity)), [each.row for each in mapped]).tolist()
    answers = {}
    for name, system in systems.items():
        head = severity_head(encoded[name].chosen(rest), severity[rest])
        maps = [slide(each.cut, head, system.encoder, atlas, stride_mm=stride_mm) for each in mapped]
        answers[name] = np.array(
            [_area(each, made.values, stride_mm=stride_mm) for each, made in zip(mapped, maps, strict=True)]
        )
    return Question("dense", np.zeros(len(mapped)), answers)


def _area(mapped: Mapped, values: NDArray[np.float32], *, stride_mm: int) -> float:
    """Return the area under the ROC curve of a map's blocks; NaN where all or none hold emphysema."""
    lung = lung_of_blocks(mapped.cut.lungs.map, stride_mm)
    lost = lung_of_blocks(mapped.emphysema, stride_mm)
    shown = np.isfinite(values)
    return _ranked((lost[shown] / lung[shown] >= LEAST_SHARE).astype(np.float64), values[shown])


def inserted_questions(
    samples: Sequence[Sequence[Sample]],
    systems: Mapping[str, People],
    inserted: Mapping[str, People],
    truth: Truth,
    pooling: Pooling,
) -> list[Question]:
    """Ask of real scans that were given `insertions`, scan by scan in `samples`, by what held-out people taught.

    `systems` are embeddings of held-out people, `inserted` those of all `samples` in their order. Which patches
    hold it is asked of a head that can be asked of a patch (`severity_head`). Intervals are over insertions: how
    other patients would do is not in them.
    """
    flat, here = [sample for scan in samples for sample in scan], _truth_of(samples)
    ill = np.flatnonzero(here.severity > 0)
    kinds, amounts, places = {}, {}, {}
    for name, people in systems.items():
        there, head = inserted[name], severity_head(people, truth.severity)
        fitted = [fit_regions(people, truth.pattern[:, :, k], pooling, seed=SEED) for k in range(len(KINDS))]
        kinds[name] = np.stack([each(there) for each in fitted], axis=2)
        pooled, found = fit_all(people, truth.severity, "regression", pooling, seed=SEED)
        amounts[name] = found(pooled(there))
        places[name] = np.array(
            [_ranked(_holds(flat[i]), head.of_each(there.embeddings[i][flat[i].valid])) for i in ill]
        )
    return [
        Question("inserted_subtype", here.pattern, kinds),
        Question("inserted_severity", here.severity, amounts),
        Question("inserted_place", np.zeros(len(ill)), places),
    ]


def _truth_of(samples: Sequence[Sequence[Sample]]) -> Truth:
    plan = [asked for _ in samples for asked in insertions()]
    return Truth(
        severity=np.sqrt([100.0 * asked.fraction for asked in plan]),
        kind=np.array([KINDS.index(each.kind) if each.fraction else NOBODY for each in plan], dtype=float),
        regions=np.stack([sample.regions for scan in samples for sample in scan]),
        fate=None,
        hazard=np.zeros(len(plan)),
        sharp=np.zeros(len(plan)),
    )


def _holds(sample: Sample) -> Numbers:
    return np.asarray(sample.share[sample.valid] >= LEAST_SHARE, dtype=np.float64)


def _ranked(observed: Numbers, predicted: NDArray[np.floating]) -> float:
    try:
        return ranked(observed, predicted.astype(np.float64))
    except ValueError:
        return float("nan")
