"""The encoder trained on for an outcome: patches of a person, their mean, a linear head.

A person's vector is the mean of the valid patches at some locations of the atlas, spread over it; a step sees some
of the people at some of the locations, and puts each patch where the mean of all locations would be, or it would
learn which locations it saw. The head begins as the probe does, fitted to the embeddings as they are, and is fitted
so again to what the steps have made of them: a course of rate 0 is the probe. How many labels it takes is the
question of `efficiency`.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dras_model.encoder.heads import EVERYWHERE, pool
from dras_model.encoder.network import EncoderNetwork, normalise
from dras_model.encoder.weights import EncoderWeights
from dras_model.imaging.atlas import Atlas
from dras_training.downstream import tuning
from dras_training.downstream.fitting import Fit, FitKind, fit
from dras_training.downstream.judging import Numbers
from dras_training.downstream.outcomes import Outcome
from dras_training.downstream.people import People
from dras_training.downstream.probe import targets_of
from dras_training.downstream.tuning import Start
from dras_training.store import PatchStore

AT_ONCE = 64  # patches that are encoded together where nothing is learnt
_FLAT = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How an encoder is trained on; a step has `people` at `places` of the `locations` that a vector is made of."""

    locations: int = 16
    steps: int = 100
    people: int = 8
    places: int = 8
    rate: float = 1e-4
    scratch_rate: float = 1e-3
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """An encoder after its course, and a head a target, each of the vector (components,)."""

    network: EncoderNetwork
    heads: tuple[Fit, ...]


def people_of(store: PatchStore, atlas: Atlas) -> People:
    """Return the people of a store without embeddings, which are to be learnt."""
    names = tuple(record.subject for record in store.stored)
    nothing = np.empty((len(names), len(atlas.corners), 0), dtype=np.float32)
    return People(names, nothing, store.valid, atlas.corners, "")


class Patients:
    """The people of an outcome, each as patches of a store; rows are those of the outcome."""

    def __init__(self, store: PatchStore, atlas: Atlas, outcome: Outcome, course: Course) -> None:
        rows = {record.subject: row for row, record in enumerate(store.stored)}
        self.outcome, self.course, self.store, self.atlas = outcome, course, store, atlas
        self.stored = np.array([rows[name] for name in outcome.people.names], dtype=np.int64)
        self.kind: FitKind = "regression" if outcome.kind == "regression" else "probability"
        self.targets = np.stack([values for _, values in targets_of(outcome)], axis=1)
        seen = np.flatnonzero(store.valid[self.stored].any(axis=0))
        spread = np.linspace(0, len(seen) - 1, min(course.locations, len(seen))).round().astype(np.int64)
        self.places = seen[spread]
        self._valid = store.valid[np.ix_(self.stored, self.places)]
        self._locations = torch.from_numpy(atlas.locations).to(course.device)

    def begin(
        self, start: Start, weights: EncoderWeights, unlabelled: NDArray[np.int64], *, seed: int
    ) -> EncoderNetwork:
        """Return an encoder before its course; from scratch it is shown patches of the `unlabelled` people."""
        if start == "pretrained":
            return tuning.pretrained(weights).to(self.course.device)
        network, among = tuning.from_scratch(weights, seed=seed), self.stored[unlabelled]
        tuning.knows_range_of(network, self.store, self.atlas.locations, among=among, seed=seed)
        return network.to(self.course.device)

    @torch.no_grad()
    def embeddings(self, network: EncoderNetwork, who: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the embeddings (people, places, components) as serving makes them."""
        training = network.training
        network.eval()
        embedded = np.empty((len(who), len(self.places), network.config.rep_dim), dtype=np.float32)
        for column, first in product(range(len(self.places)), range(0, len(who), AT_ONCE)):
            rows = slice(first, first + AT_ONCE)
            found = self._embedded(network, who[rows], self.places[[column]])[0]
            embedded[rows, column] = found.cpu().numpy()
        network.train(training)
        return embedded

    def vectors(self, network: EncoderNetwork, who: NDArray[np.int64]) -> Numbers:
        """Return the vectors (people, components) as serving makes them; NaN for somebody without a patch."""
        return self.pooled(self.embeddings(network, who), who)

    def pooled(self, embedded: NDArray[np.float32], who: NDArray[np.int64]) -> Numbers:
        """Return the vectors (people, components) of `embeddings`."""
        everywhere = np.full(len(self.places), EVERYWHERE, dtype=np.int64)
        return pool(embedded, self._valid[who], everywhere)[:, EVERYWHERE]

    def levels(self, embedded: NDArray[np.float32], who: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return how far each place (places, components) is from the mean of all, of some people without labels."""
        counted = self._valid[who][:, :, np.newaxis]
        seen = np.where(counted, embedded, 0.0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
        return np.asarray(seen - seen[counted.any(axis=(0, 2))].mean(axis=0), dtype=np.float32)

    def probe(self, vectors: Numbers, labelled: NDArray[np.int64]) -> tuple[Fit, ...]:
        """Fit a head a target to the `vectors` of the `labelled`."""
        seed = self.course.seed
        return tuple(fit(vectors, self.targets[labelled, k], self.kind, seed=seed) for k in range(self.width))

    @property
    def width(self) -> int:
        """The number of targets."""
        return int(self.targets.shape[1])

    def tune(
        self,
        network: EncoderNetwork,
        heads: tuple[Fit, ...],
        labelled: NDArray[np.int64],
        *,
        levels: NDArray[np.float32],
        rate: float,
        seed: int,
    ) -> Tuned:
        """Train `network`, in the mode it comes in, on the `labelled`. Raises SetupRefused.

        It begins with `heads` and with `levels` (places, components); the heads it ends with are a probe's.
        """
        course, scale = self.course, _Scale.of(self.targets[labelled], self.kind)
        head = scale.as_layer(heads).to(course.device)
        model = nn.ModuleDict({"encoder": network, "head": head})
        optimiser = torch.optim.AdamW(model.parameters(), rate, weight_decay=tuning.DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(course.steps, 1))
        generator = np.random.Generator(np.random.PCG64([course.seed, seed, len(labelled)]))
        for step in range(course.steps):
            columns = generator.permutation(len(self.places))[: course.places]
            who = generator.permutation(labelled)[: course.people]
            who = who[self._valid[np.ix_(who, columns)].any(axis=1)]
            if len(who):
                answers = head(self._means(network, who, columns, levels))
                tuning.take_step(model, self._loss(answers, scale, who), optimiser, step=step)
            schedule.step()
        network.eval()
        return Tuned(network, self.probe(self.vectors(network, labelled), labelled))

    def answers(self, tuned: Tuned, who: NDArray[np.int64]) -> Numbers:
        """Return the answers (people, targets): numbers in their unit, or log odds."""
        return answers_of(tuned.heads, self.vectors(tuned.network, who))

    def _means(
        self,
        network: EncoderNetwork,
        who: NDArray[np.int64],
        columns: NDArray[np.int64],
        levels: NDArray[np.float32],
    ) -> Tensor:
        """Return the mean (people, components) of the valid patches at some of the places, as if at all of them."""
        counted = torch.from_numpy(self._valid[np.ix_(who, columns)].T).to(self._locations).unsqueeze(2)
        embedded = self._embedded(network, who, self.places[columns])
        embedded = embedded - torch.from_numpy(levels[columns]).to(embedded).unsqueeze(1)
        # An invalid patch is left out of the mean, but not of a new encoder's statistics: it is air or soft tissue.
        return (embedded * counted).sum(dim=0) / counted.sum(dim=0)

    def _embedded(self, network: EncoderNetwork, who: NDArray[np.int64], places: NDArray[np.int64]) -> Tensor:
        """Return embeddings (places, people, components)."""
        read = self.store.read(places.tolist(), self.stored[who].tolist())
        patches = torch.from_numpy(read).to(self.course.device).transpose(0, 1).flatten(0, 1)
        images = normalise(patches).to(memory_format=torch.channels_last_3d)
        return network.embed(images, self._locations[places]).view(len(places), len(who), -1)

    def _loss(self, answers: Tensor, scale: "_Scale", who: NDArray[np.int64]) -> Tensor:
        wanted = torch.from_numpy((self.targets[who] - scale.mean) / scale.spread).to(answers)
        if self.kind == "regression":
            return functional.mse_loss(answers, wanted)
        return functional.binary_cross_entropy_with_logits(answers, wanted)


def answers_of(heads: tuple[Fit, ...], vectors: Numbers) -> Numbers:
    """Return what heads say of vectors, (people, targets)."""
    return np.stack([head(vectors) for head in heads], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Scale:
    """What is learnt is (target - mean) / spread, each (targets,); of log odds nothing is changed."""

    mean: Numbers
    spread: Numbers

    @classmethod
    def of(cls, targets: Numbers, kind: FitKind) -> "_Scale":
        n = targets.shape[1]
        if kind != "regression":
            return cls(np.zeros(n), np.ones(n))
        spread = targets.std(axis=0)
        return cls(targets.mean(axis=0), np.where(spread > _FLAT, spread, 1.0))

    def as_layer(self, heads: tuple[Fit, ...]) -> nn.Linear:
        weights = np.stack([head.weights for head in heads])
        apart = np.array([head.intercept - head.weights @ head.centre for head in heads])
        layer = nn.Linear(weights.shape[1], len(heads))
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weights / self.spread[:, np.newaxis]))
            layer.bias.copy_(torch.from_numpy((apart - self.mean) / self.spread))
        return layer
