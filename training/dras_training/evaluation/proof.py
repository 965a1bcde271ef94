"""The whole of an evaluation: material, systems and questions brought together into figures that a document shows.

What is asked of the figures is the business of `claims`, how they look that of `document`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.bundle import Bundle
from dras_model.imaging.atlas import Atlas
from dras_model.results.errors import StudyRefused
from dras_training.downstream.people import People
from dras_training.downstream.poolings import Pooling
from dras_training.downstream.survival import concordance
from dras_training.evaluation import robustness
from dras_training.evaluation.claims import SUBTYPE, claims_of_agreement, claims_of_questions
from dras_training.evaluation.localisation import dense_question, inserted_questions, to_map
from dras_training.evaluation.material import (
    CHANGES,
    KINDS,
    REGIONS,
    SHIFT,
    Kept,
    Sample,
    drawn_twice,
    of_study,
    people_of,
    with_insertions,
)
from dras_training.evaluation.questions import Question, Truth, ask, ask_by_few
from dras_training.evaluation.regional import mean_auc
from dras_training.evaluation.systems import (
    DENSITY,
    UNTRAINED,
    Kind,
    System,
    encode_people,
    encode_samples,
    low_attenuation,
)
from dras_training.people import Person
from dras_training.recipe import Phantoms
from dras_training.store import PatchStore
from dras_training.telling import to_nobody

KERNEL_PAIR = "kernel, a real patient"

Heard = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is judged, on whom, and how much of it: every `step`-th location, and numbers of people and scans.

    Agreement has a pair at every location, so that it takes fewer of them: every `pair_step`-th.
    """

    bundles: Mapping[str, Bundle]  # the first is judged, the others are ablations
    control: str | None = None  # of `bundles`: for ablations that were trained less than the first
    untrained: Bundle
    atlas: Atlas
    store: PatchStore
    cohort: Phantoms
    kept: Path
    skip: int = 0
    n_people: int = 70
    n_pairs: int = 8
    n_maps: int = 6
    step: int = 6
    pair_step: int = 24
    pooling: Pooling = "moments"
    plain: Pooling = "mean"  # what `pooling` is compared with
    stride_mm: int = 32
    studies: Sequence[Path] = ()
    kernel_pair: tuple[Path, Path] | None = None
    threads: int | None = None

    @property
    def at(self) -> NDArray[np.int64]:
        """The locations that are judged."""
        return np.arange(0, len(self.atlas.corners), self.step)

    @property
    def at_pairs(self) -> NDArray[np.int64]:
        """The locations at which two scans of a person are compared."""
        return np.arange(0, len(self.atlas.corners), self.pair_step)


@dataclass(slots=True)
class _Material:
    """What was found of the plan's material, and what was not, with the reason."""

    people: list[Person]
    rows: list[int]
    pairs: list[dict[str, Sample]]
    scans: dict[str, list[Sample]] = field(default_factory=dict)
    kernel_pair: tuple[Sample, Sample] | None = None
    skipped: list[dict[str, str]] = field(default_factory=list)

    def take(self, study: Path, make: Callable[[], Any]) -> Any:
        """Return what is made of a study; None, and the reason kept, where it is not there or is refused."""
        if not study.exists():
            self.skipped.append({"what": study.name, "reason": "it is not there"})
            return None
        try:
            return make()
        except StudyRefused as refused:
            self.skipped.append({"what": study.name, "reason": str(refused)})
            return None


def evaluate(plan: Plan, heard: Heard = to_nobody) -> dict[str, Any]:
    """Judge the plan's bundles and return all figures, as JSON. Raises SetupRefused, OSError."""
    systems = list(_systems(plan))
    judged = systems[0].name
    material = _gather(plan, heard)
    kept = Kept(plan.kept, plan.at)
    heard("counting emphysema by region")
    truth = Truth.of(material.people, np.stack([kept.regions(person) for person in material.people]))
    encoded = {}
    for system in systems:
        heard(f"encoding people by {system.name}")
        encoded[system.name] = encode_people(system, plan.store, material.rows, plan.atlas, plan.at)
    heard("asking")
    questions = [*ask(truth, encoded, plan.pooling), *ask_by_few(truth, encoded, plan.pooling)]
    questions += _places(plan, material, systems, encoded, truth, heard)
    heard(f"asking by the {plan.plain}")
    plain = ask(truth, encoded, plan.plain)
    against = _against(systems)
    told = [_told(question, systems, against) for question in questions]
    agreements = {} if not material.pairs else _robustness(plan, material, systems)
    return {
        "schema_version": "1.1",
        "judged": judged,
        "systems": [{"name": s.name, "kind": s.kind, "told": s.told} for s in systems],
        "material": _counted(plan, material, truth),
        "questions": told,
        "plain": {question.key: {name: _figure(question, name) for name in encoded} for question in plain},
        "poolings": {"judged": plan.pooling, "plain": plan.plain},
        "regions": _by_region(questions, [judged, DENSITY]),
        "robustness": agreements,
        "claims": [*claims_of_questions(told, systems), *claims_of_agreement(agreements, judged)],
    }


def _systems(plan: Plan) -> Iterator[System]:
    for place, (name, bundle) in enumerate(plan.bundles.items()):
        kind: Kind = "judged" if place == 0 else "control" if name == plan.control else "ablation"
        yield System.of(bundle, name=name, kind=kind, threads=plan.threads, kept=plan.kept)
    yield System.of(plan.untrained, name=UNTRAINED, kind="baseline", threads=plan.threads, kept=plan.kept)
    yield low_attenuation()


def _gather(plan: Plan, heard: Heard) -> _Material:
    kept, kept_pairs = Kept(plan.kept, plan.at), Kept(plan.kept, plan.at_pairs)
    rows, people = people_of(plan.store, plan.cohort, skip=plan.skip, most=plan.n_people)
    pairs = []
    for person in people[: plan.n_pairs]:
        heard(f"drawing {person.name} twice")
        pairs.append(drawn_twice(person, plan.atlas, kept_pairs))
    found = _Material(people, rows, pairs)
    for study in plan.studies:
        heard(f"putting emphysema into {study.name}")
        scans = found.take(study, lambda study=study: with_insertions(study, plan.atlas, kept))  # type: ignore[misc]
        if scans is not None:
            found.scans[study.name] = scans
    if plan.kernel_pair is not None:
        both = [found.take(s, lambda s=s: of_study(s, plan.atlas, kept_pairs)) for s in plan.kernel_pair]  # type: ignore[misc]
        found.kernel_pair = None if None in both else (both[0], both[1])
    return found


def _places(
    plan: Plan,
    material: _Material,
    systems: Sequence[System],
    encoded: Mapping[str, People],
    truth: Truth,
    heard: Heard,
) -> Iterator[Question]:
    if plan.n_maps:
        heard("drawing people for dense maps")
        mapped = to_map(material.people, plan.n_maps, plan.atlas)
        heard("sliding heads over lungs")
        yield dense_question(
            mapped,
            {system.name: system for system in systems},
            encoded,
            severity=truth.severity,
            atlas=plan.atlas,
            stride_mm=plan.stride_mm,
        )
    if material.scans:
        heard("encoding real lungs with emphysema")
        flat = [sample for scan in material.scans.values() for sample in scan]
        inserted = {system.name: encode_samples(system, flat, plan.atlas, plan.at) for system in systems}
        yield from inserted_questions(list(material.scans.values()), encoded, inserted, truth, plan.pooling)


def _against(systems: Sequence[System]) -> dict[str, str]:
    """Return what each other system is held against: what is judged, or the control of an ablation.

    An ablation that was trained as long as what is judged is held against that, like against like.
    """
    judged = systems[0]
    control = next((system for system in systems if system.kind == "control"), judged)

    def opponent(system: System) -> System:
        as_long = system.steps is not None and system.steps == judged.steps
        return judged if as_long or system.kind != "ablation" else control

    return {system.name: opponent(system).name for system in systems[1:]}


def _told(question: Question, systems: Sequence[System], against: Mapping[str, str]) -> dict[str, Any]:
    """Return a question's figures, and how much better than each other system the one it is held against is."""
    return {
        "key": question.key,
        "title": question.form.title,
        "measure": question.form.measure,
        "chance": question.form.chance,
        "n": len(question.observed),
        "figures": {system.name: _figure(question, system.name) for system in systems},
        "differences": {
            other: {"of": better, **question.difference(better, other).model_dump()}
            for other, better in against.items()
        },
    }


def _figure(question: Question, system: str) -> dict[str, float]:
    return question.figure(system).model_dump()


def _by_region(questions: Sequence[Question], names: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the AUC of each kind in each region, by system; None where a class is missing."""
    asked = next(question for question in questions if question.key == SUBTYPE)

    def area(name: str, region: int, kind: int) -> float | None:
        cell = np.s_[:, region, kind]
        try:
            return mean_auc(asked.observed[cell], asked.answers[name][cell])
        except ValueError:
            return None

    return {
        name: {
            kind.value: {region.value: area(name, r, k) for r, region in enumerate(REGIONS)}
            for k, kind in enumerate(KINDS)
        }
        for name in names
    }


def _robustness(plan: Plan, material: _Material, systems: Sequence[System]) -> dict[str, dict[str, Any]]:
    """Return the agreement of each change in each system."""
    found: dict[str, dict[str, Any]] = {change: {} for change in (*CHANGES, SHIFT)}
    if material.kernel_pair is not None:
        found[KERNEL_PAIR] = {}
    for system in systems:
        base = encode_samples(system, [pair["base"] for pair in material.pairs], plan.atlas, plan.at_pairs)
        for change in (*CHANGES, SHIFT):
            samples = [pair[change] for pair in material.pairs]
            other = encode_samples(system, samples, plan.atlas, plan.at_pairs)
            found[change][system.name] = asdict(robustness.agreement(base, other))
        if material.kernel_pair is not None:
            one, other = (
                encode_samples(system, [sample], plan.atlas, plan.at_pairs) for sample in material.kernel_pair
            )
            found[KERNEL_PAIR][system.name] = asdict(robustness.agreement(one, other))
    return found


def _counted(plan: Plan, material: _Material, truth: Truth) -> dict[str, Any]:
    return {
        "people": len(material.people),
        "sick": int((truth.severity > 0).sum()),
        "of_each_kind": {kind.value: int((truth.kind == k).sum()) for k, kind in enumerate(KINDS)},
        "regions_with_emphysema": int(truth.present.sum()),
        "deaths": int(truth.fate["event"].sum()),
        "c_index_of_the_true_hazard": concordance(truth.deaths, truth.hazard),
        "locations": len(plan.at),
        "locations_of_pairs": len(plan.at_pairs),
        "drawn_twice": len(material.pairs),
        "mapped": plan.n_maps,
        "stride_mm": plan.stride_mm,
        "scans": list(material.scans),
        "insertions": sum(len(scan) - 1 for scan in material.scans.values()),
        "skipped": material.skipped,
    }
