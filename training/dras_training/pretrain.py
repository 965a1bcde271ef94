"""The loop: from a store and a recipe to a run folder with its log and its checkpoint.

The same call begins a training, goes on with one that was stopped in any way, does nothing for one that is done.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from dras_model.encoder.network import EncoderNetwork
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training import checkpoint
from dras_training.annealing import learning_rate, n_steps
from dras_training.loading import LoadedBatch, batches
from dras_training.logs import Log, Told
from dras_training.method import MEASURES, Method
from dras_training.processes import Group
from dras_training.recipe import Optimisation, Recipe
from dras_training.sampling import Schedule, nearest_locations
from dras_training.store import PatchStore, not_writable
from dras_training.telling import to_nobody

RECIPE = "recipe.json"


@dataclass(eq=False)
class Training:
    """A training between two steps."""

    recipe: Recipe
    method: Method
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    group: Group
    step: int = 0

    @classmethod
    def begin(cls, recipe: Recipe, store: PatchStore, atlas: Atlas, group: Group) -> "Training":
        """Set up step 0. Raises SetupRefused (STORE_INVALID, RECIPE_INVALID)."""
        schedule = plan(recipe, store, atlas)
        parts = group.world * recipe.optimisation.accumulate * recipe.normalisation.group
        if recipe.optimisation.batch % parts:
            batch = recipe.optimisation.batch
            reason = f"a batch of {batch} is no multiple of {parts}, as {group.world} processes need"
            raise SetupRefused(Code.RECIPE_INVALID, name=recipe.name, reason=reason)
        method = Method(recipe, atlas).to(group.device)
        return cls(recipe, method, _optimiser(recipe.optimisation, method), schedule, group)

    @property
    def total(self) -> int:
        """How many steps there are in all."""
        return n_steps(self.recipe.optimisation, self.schedule.steps_per_epoch)

    @property
    def rate(self) -> float:
        """The learning rate of the step to come."""
        return learning_rate(
            self.recipe.optimisation, self.step, steps_per_epoch=self.schedule.steps_per_epoch
        )

    def take(self, batch: LoadedBatch, query: DistributedDataParallel | EncoderNetwork) -> Tensor:
        """Take one step; returns its MEASURES, of this process."""
        for settings in self.optimiser.param_groups:
            settings["lr"] = self.rate
        self.optimiser.zero_grad(set_to_none=True)
        measured = self.method.step(batch, self.group, query=query)
        self.optimiser.step()
        self.method.commit_statistics()
        self.step += 1
        return measured


def _optimiser(chosen: Optimisation, method: Method) -> torch.optim.Optimizer:
    parameters, decay = list(method.query.parameters()), chosen.weight_decay
    if chosen.optimiser == "adamw":
        betas = (chosen.momentum, 0.999)
        return torch.optim.AdamW(parameters, chosen.learning_rate, betas=betas, weight_decay=decay)
    return torch.optim.SGD(parameters, chosen.learning_rate, momentum=chosen.momentum, weight_decay=decay)


def plan(recipe: Recipe, store: PatchStore, atlas: Atlas) -> Schedule:
    """Return the batches of a training. Raises SetupRefused STORE_INVALID where the store has too few subjects."""
    schedule = Schedule(
        valid=store.valid,
        neighbours=nearest_locations(atlas, recipe.contrast.neighbours),
        locations=np.arange(0, len(atlas.corners), recipe.data.location_step),
        batch=recipe.optimisation.batch,
        seed=recipe.optimisation.seed,
        people=store.people,
        other_scan=recipe.contrast.other_scan,
    )
    if schedule.steps_per_epoch == 0:
        n, batch = len(np.unique(store.people)), recipe.optimisation.batch
        reason = f"no location has the {batch} people of a batch; the store holds {n}"
        raise SetupRefused(Code.STORE_INVALID, name=store.path.name, reason=reason)
    return schedule


def pretrain(
    recipe: Recipe,
    store: PatchStore,
    atlas: Atlas,
    run: Path,
    *,
    group: Group | None = None,
    until: int | None = None,
    told: Told = to_nobody,
) -> Training:
    """Train in the folder `run` up to step `until` (default: the end), from its checkpoint where it has one.

    Raises SetupRefused: STORE_INVALID, RECIPE_INVALID, RESUME_IMPOSSIBLE, OUTPUT_NOT_WRITABLE, TRAINING_DIVERGED.
    """
    group = group or Group()
    training = Training.begin(recipe, store, atlas, group)
    known = checkpoint.identity(recipe, atlas_sha256=atlas.sha256, store_sha256=store.sha256)
    if (run / checkpoint.CHECKPOINT).exists():
        training.step = checkpoint.restore(
            checkpoint.load(run, identity=known), training.method, training.optimiser
        )
    else:
        checkpoint.seed_generators(recipe.optimisation.seed)
    stop = training.total if until is None else min(until, training.total)
    if training.step >= stop:
        return training
    _begin_folder(run, recipe, group)
    log = Log(run, step=training.step, total=training.total, told=told) if group.leads else None
    try:
        _steps(training, store, stop, run=run, known=known, log=log)
    finally:
        if log is not None:
            log.close()
    return training


def _steps(
    training: Training,
    store: PatchStore,
    stop: int,
    *,
    run: Path,
    known: dict[str, str],
    log: Log | None,
) -> None:
    group, timing = training.group, training.recipe.run
    query = _wrapped(training.method.query, group)
    interval = _Interval(group)
    loaded = batches(
        store,
        training.schedule,
        steps=(training.step, stop),
        workers=timing.workers,
        rank=group.rank,
        world=group.world,
        pinned=group.device.type == "cuda",
    )
    for _ in range(training.step, stop):
        rate, batch = training.rate, interval.waited_for(loaded)
        interval.add(training.take(batch, query))
        step, ends = training.step, training.step == stop
        saves = ends or step % timing.checkpoint_steps == 0
        if saves or step % timing.log_steps == 0:
            line = interval.line(training, rate)
            if log is not None:
                log.write(step, line)
        if saves and group.leads:
            checkpoint.save(run, step, training.method, training.optimiser, identity=known)
        if saves:
            group.wait()


class _Interval:
    """Sums between two lines of the log, on the device: reading them would make every step wait."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._reset()

    def _reset(self) -> None:
        self._sums = torch.zeros(len(MEASURES), device=self._group.device)
        self._n, self._waited, self._began = 0, 0.0, time.monotonic()

    def waited_for(self, loaded: "object") -> LoadedBatch:
        """Take the next batch, noting how long it was not there."""
        began = time.monotonic()
        batch: LoadedBatch = next(loaded)  # type: ignore[call-overload]
        self._waited += time.monotonic() - began
        return batch

    def add(self, measured: Tensor) -> None:
        """Add what a step measured."""
        self._sums += measured
        self._n += 1

    def line(self, training: Training, rate: float) -> dict[str, float]:
        """Return the interval's line and begin the next. Raises SetupRefused TRAINING_DIVERGED."""
        means = (self._group.averaged(self._sums) / self._n).tolist()
        if not all(np.isfinite(means)):
            raise SetupRefused(Code.TRAINING_DIVERGED, step=training.step, learning_rate=rate)
        took = time.monotonic() - self._began
        patches = self._n * training.recipe.optimisation.batch * (2 + training.recipe.contrast.neighbours)
        line = {
            "epoch": training.step / training.schedule.steps_per_epoch,
            "time": time.time(),
            "learning_rate": rate,
            **dict(zip(MEASURES, means, strict=True)),
            "patches_per_s": patches / took,
            "waited": self._waited / took,
        }
        self._reset()
        return line


def _wrapped(network: EncoderNetwork, group: Group) -> DistributedDataParallel | EncoderNetwork:
    if group.world == 1:
        return network
    devices = [group.device] if group.device.type == "cuda" else None
    # The running statistics are brought together by `commit_statistics`, of all processes.
    return DistributedDataParallel(network, device_ids=devices, broadcast_buffers=False)


def _begin_folder(run: Path, recipe: Recipe, group: Group) -> None:
    if group.leads:
        try:
            run.mkdir(parents=True, exist_ok=True)
            (run / RECIPE).write_text(recipe.model_dump_json(indent=1) + "\n", "utf-8")
        except OSError as fault:
            raise not_writable(run, fault) from fault
    group.wait()
