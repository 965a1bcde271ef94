"""How many labels it takes: the encoder trained on from its weights, from scratch, and a probe of it as it is.

Who is judged on is settled before anything else, and is the same for every number of labels, draw and beginning. In
a draw, fewer labels are some of the more. What a training said of those people is written down as soon as it is
known, so that a curve that was stopped goes on.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.heads import Interval
from dras_model.encoder.network import EncoderNetwork
from dras_model.encoder.weights import EncoderWeights
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream import judging
from dras_training.downstream.finetune import Patients, Tuned, answers_of
from dras_training.downstream.fitting import folds
from dras_training.downstream.judging import Measure, Numbers
from dras_training.downstream.outcomes import Outcome, Table, rows_of
from dras_training.downstream.tuning import Start
from dras_training.store import not_writable
from dras_training.telling import to_nobody

Arm: TypeAlias = Literal["pretrained", "scratch", "frozen"]
ARMS: tuple[Arm, ...] = ("pretrained", "scratch", "frozen")
JUDGED_ON = 4  # one part of so many, where the table does not say who
TRIALS, QUESTION = "trials.jsonl", "question.json"

Heard = Callable[[float, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows of an outcome: who is judged on, and who may be learnt from."""

    judged: NDArray[np.int64]
    learners: NDArray[np.int64]

    @classmethod
    def drawn(cls, outcome: Outcome, *, seed: int) -> "Split":
        """Hold a quarter of the people out; classes are spread evenly."""
        kind: Any = "regression" if outcome.kind == "regression" else "probability"
        judged = np.sort(folds(outcome.values, kind, n=JUDGED_ON, seed=seed)[0])
        return cls(judged, np.setdiff1d(np.arange(len(outcome.values)), judged))

    @classmethod
    def told(cls, outcome: Outcome, table: Table, column: str) -> "Split":
        """Hold those out who have a 1 in a column of the table. Raises SetupRefused TABLE_INVALID."""
        held = table.numbers(column)[rows_of(table, outcome.people)]
        if not np.isin(held, (0.0, 1.0)).all():
            raise table.refused(f"its column {column} holds other things than 0 and 1")
        judged, learners = np.flatnonzero(held == 1.0), np.flatnonzero(held == 0.0)
        for rows in (judged, learners):
            seen = outcome.values[rows]
            if len(np.unique(seen)) < max(2, len(outcome.classes)):
                raise table.refused(
                    f"its column {column} leaves one part without two values, or without a class"
                )
        return cls(judged, learners)

    def order(self, outcome: Outcome, *, seed: int, draw: int) -> NDArray[np.int64]:
        """Return the learners in the order in which a draw takes them: one of each class, then as they come."""
        generator = np.random.Generator(np.random.PCG64([seed, draw, 0xF7]))
        order = generator.permutation(self.learners)
        if outcome.kind == "regression":
            return order
        _, first = np.unique(outcome.values[order], return_index=True)
        return np.concatenate([order[np.sort(first)], np.delete(order, first)])

    def sizes(self, outcome: Outcome, percents: Sequence[float]) -> list[int]:
        """Return how many labels each point has: at least two, and one of each class."""
        least, n = max(2, len(outcome.classes)), len(self.learners)
        return sorted({min(n, max(least, round(percent / 100.0 * n))) for percent in percents})


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """What one training said of the people who are judged on: `answers` (people, targets)."""

    arm: Arm
    n_labels: int
    draw: int
    answers: Numbers

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps({**asdict(self), "answers": self.answers.tolist()}) + "\n"


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a curve, over all draws; `lead` is how far the encoder trained on is ahead of this arm."""

    arm: Arm
    n_labels: int
    percent: float
    measure: str
    performance: Interval
    lead: Interval | None

    def told(self) -> dict[str, Any]:
        """Return it as JSON."""
        lead = None if self.lead is None else self.lead.model_dump()
        own = {
            "arm": self.arm,
            "n_labels": self.n_labels,
            "percent": round(self.percent, 2),
            "measure": self.measure,
        }
        return own | self.performance.model_dump() | {"lead": lead}


class Journal:
    """The trials of a curve in the folder `place`. Raises SetupRefused: OUTPUT_NOT_WRITABLE, RESUME_IMPOSSIBLE."""

    def __init__(self, place: Path, question: dict[str, Any]) -> None:
        self._path, text = place / TRIALS, json.dumps(question, indent=1, ensure_ascii=False) + "\n"
        try:
            place.mkdir(parents=True, exist_ok=True)
            asked = place / QUESTION
            if asked.exists() and asked.read_text("utf-8") != text:
                raise SetupRefused(
                    Code.RESUME_IMPOSSIBLE, name=place.name, reason="it answers another question"
                )
            asked.write_text(text, "utf-8")
            whole = self._path.read_bytes() if self._path.exists() else b""
            kept = whole[
                : whole.rfind(b"\n") + 1
            ]  # a line without its end is a training that was not finished
            self._path.write_bytes(kept)
        except OSError as fault:
            raise not_writable(place, fault) from fault
        self.trials = [_parsed(line) for line in kept.splitlines()]

    def find(self, arm: Arm, n_labels: int, draw: int) -> Trial | None:
        """Return the trial that is known, if it is."""
        wanted = (arm, n_labels, draw)
        return next((t for t in self.trials if (t.arm, t.n_labels, t.draw) == wanted), None)

    def add(self, trial: Trial) -> None:
        """Write a trial down."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(trial.line())
        except OSError as fault:
            raise not_writable(self._path, fault) from fault
        self.trials.append(trial)


class Curve:
    """All trainings of a question, and what is made of them."""

    def __init__(
        self,
        patients: Patients,
        weights: EncoderWeights,
        split: Split,
        *,
        percents: Sequence[float],
        draws: int,
    ) -> None:
        self.patients, self.weights, self.split, self.draws = patients, weights, split, draws
        self.sizes = split.sizes(patients.outcome, percents)
        self._begun: dict[tuple[Start, int], tuple[EncoderNetwork, NDArray[np.float32]]] = {}

    def question(self) -> dict[str, Any]:
        """Return what all trials of a journal have in common."""
        outcome, split, patients = self.patients.outcome, self.split, self.patients
        told = [outcome.people.names, outcome.values.tolist(), split.judged.tolist()]
        return {
            "outcome": outcome.name,
            "kind": outcome.kind,
            "course": asdict(patients.course),
            "people_sha256": hashlib.sha256(json.dumps(told).encode()).hexdigest(),
            "store_sha256": patients.store.sha256,
            "weights_sha256": hashlib.sha256(self.weights.to_bytes()).hexdigest(),
        }

    def run(self, journal: Journal, *, heard: Heard = to_nobody) -> None:
        """Take every training that the journal does not know."""
        wanted = [(size, draw, arm) for size in self.sizes for draw in range(self.draws) for arm in ARMS]
        for done, (size, draw, arm) in enumerate(wanted):
            if journal.find(arm, size, draw) is None:
                journal.add(Trial(arm, size, draw, self._answers(arm, size, draw)))
            heard((done + 1) / len(wanted), f"{arm}, {size} labels, draw {draw + 1} of {self.draws}")

    def tuned(self, arm: Arm, size: int, draw: int) -> Tuned:
        """Take one training and return the encoder with its heads; the same each time."""
        patients, course = self.patients, self.patients.course
        labelled = self.split.order(patients.outcome, seed=course.seed, draw=draw)[:size]
        network, embedded = self._before("scratch" if arm == "scratch" else "pretrained", draw)
        heads = patients.probe(patients.pooled(embedded[labelled], labelled), labelled)
        if arm == "frozen":
            return Tuned(network, heads)
        rate = course.scratch_rate if arm == "scratch" else course.rate
        learners = self.split.learners
        levels = patients.levels(embedded[learners], learners)
        return patients.tune(deepcopy(network), heads, labelled, levels=levels, rate=rate, seed=draw)

    def points(self, journal: Journal) -> Iterator[Point]:
        """Yield the points of all curves, the fewest labels first."""
        measure, name = measure_of(self.patients.outcome)
        observed = self.patients.targets[self.split.judged]
        for size in self.sizes:
            answers = np.stack([self._stacked(journal, arm, size) for arm in ARMS])
            reached, leads = over_draws(measure, observed, answers)
            percent = 100.0 * size / len(self.split.learners)
            for arm, performance, lead in zip(ARMS, reached, leads, strict=True):
                yield Point(arm, size, percent, name, performance, None if arm == ARMS[0] else lead)

    def _before(self, start: Start, draw: int) -> tuple[EncoderNetwork, NDArray[np.float32]]:
        """Return an encoder before its course and its embeddings of everybody; kept, as all sizes begin there."""
        key = (start, draw if start == "scratch" else 0)
        if key not in self._begun:
            patients = self.patients
            seed = patients.course.seed + draw
            network = patients.begin(start, self.weights, self.split.learners, seed=seed)
            everybody = np.arange(len(patients.targets))
            self._begun[key] = network, patients.embeddings(network, everybody)
        return self._begun[key]

    def _answers(self, arm: Arm, size: int, draw: int) -> Numbers:
        tuned, judged = self.tuned(arm, size, draw), self.split.judged
        if arm == "frozen":
            embedded = self._before("pretrained", draw)[1]
            return answers_of(tuned.heads, self.patients.pooled(embedded[judged], judged))
        return self.patients.answers(tuned, judged)

    def _stacked(self, journal: Journal, arm: Arm, size: int) -> Numbers:
        found = [journal.find(arm, size, draw) for draw in range(self.draws)]
        return np.stack([trial.answers for trial in found if trial is not None])


def measure_of(outcome: Outcome) -> tuple[Measure, str]:
    """Return how answers (people, targets) are judged, and its name; of classes, the mean of one against all."""
    if outcome.kind == "regression":
        return lambda observed, answers: judging.explained(observed[:, 0], answers[:, 0]), "R²"

    def mean_area(observed: Numbers, answers: Numbers) -> float:
        return float(np.mean([judging.ranked(o, a) for o, a in zip(observed.T, answers.T, strict=True)]))

    return mean_area, "AUC"


def over_draws(
    measure: Measure, observed: Numbers, answers: Numbers, *, seed: int = 0
) -> tuple[list[Interval], list[Interval]]:
    """Return the mean of `measure` over the draws of each arm, and how far the first arm leads over each.

    `answers` are (arms, draws, people, targets). People and draws are both drawn anew, the same for all arms, so
    that an interval holds who was judged on and who was learnt from.
    """
    generator = np.random.Generator(np.random.PCG64([seed, len(observed)]))
    n_draws, n_people = answers.shape[1:3]

    def means(rows: NDArray[np.int64], draws: NDArray[np.int64]) -> list[float]:
        seen = observed[rows]
        return [float(np.mean([measure(seen, arm[draw][rows]) for draw in draws])) for arm in answers]

    found = []
    everybody, every_draw = np.arange(n_people, dtype=np.int64), np.arange(n_draws, dtype=np.int64)
    for _ in range(judging.N_DRAWN):
        rows, draws = generator.choice(everybody, n_people), generator.choice(every_draw, n_draws)
        try:
            found.append(means(rows, draws))
        except ValueError:  # somebody of a class is missing
            continue
    value, drawn = np.array(means(everybody, every_draw)), np.array(found)
    return _intervals(value, drawn), _intervals(value[0] - value, drawn[:, :1] - drawn)


def _intervals(values: Numbers, drawn: Numbers) -> list[Interval]:
    tail = (100.0 - judging.CONFIDENCE) / 2
    bounds = np.percentile(drawn, [tail, 100.0 - tail], axis=0)
    return [
        Interval(value=value, low=low, high=high)
        for value, low, high in zip(values.tolist(), *bounds.tolist(), strict=True)
    ]


def _parsed(line: bytes) -> Trial:
    told = json.loads(line)
    return Trial(told["arm"], told["n_labels"], told["draw"], np.array(told["answers"], dtype=np.float64))
