"""Which subjects, at which location, in which step: a pure function of seed and step.

The location is part of what is asked of a loader, so that no process can be at another one than the step. Nothing
has to be remembered to go on from a step, and no number of loader processes changes the order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import Atlas


@dataclass(frozen=True, slots=True)
class BatchKey:
    """One batch: `subjects` at `location`, and the locations nearest to it.

    A subject is one scan; `keys` are the subjects that keys are made of, `people` whose scans both are, row by row.
    """

    step: int
    location: int
    neighbours: tuple[int, ...]
    subjects: tuple[int, ...]
    keys: tuple[int, ...]
    people: tuple[int, ...]


@dataclass(eq=False)
class Schedule:
    """Batches of one location each, all locations mixed within an epoch.

    In an epoch every location is visited with everybody who has it and its neighbours, but for the rest that fills
    no batch: another one in every epoch. A location that has no batch of people at all is left out.
    Nobody is twice in a batch. Which scan is taken is drawn, and so is, with a probability of `other_scan`, another
    scan of the same person for the key.
    """

    valid: NDArray[np.bool_]  # (subjects, locations)
    neighbours: NDArray[np.int64]  # (locations, R)
    locations: NDArray[np.int64]  # that are trained on
    batch: int
    seed: int
    people: NDArray[np.int64] | None = None  # (subjects,), whose scan each is; nobody's second one by default
    other_scan: float = 0.0
    _plan: tuple[int, NDArray[np.int64]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._whole = self.valid & self.valid[:, self.neighbours].all(axis=2)
        whose = np.arange(len(self.valid)) if self.people is None else self.people
        self._scans: dict[int, list[int]] = {}
        for subject, who in enumerate(whose.tolist()):
            self._scans.setdefault(who, []).append(subject)
        self._eligible = {int(at): np.unique(whose[self._whole[:, at]]) for at in self.locations}
        visits = {at: len(people) // self.batch for at, people in self._eligible.items()}
        self._visits = np.array([(at, i) for at, n in visits.items() for i in range(n)], dtype=np.int64)
        self.left_out = [at for at, n in visits.items() if n == 0]

    @property
    def steps_per_epoch(self) -> int:
        """How many batches an epoch has; 0 where no location has enough subjects."""
        return len(self._visits)

    def key(self, step: int) -> BatchKey:
        """Return the batch of `step`, counted from the beginning of the training."""
        epoch, place = divmod(step, self.steps_per_epoch)
        location, visit = (int(i) for i in self._order(epoch)[place])
        drawn = self._generator(epoch, location).permutation(self._eligible[location])
        people = tuple(drawn[visit * self.batch : (visit + 1) * self.batch].tolist())
        near = tuple(int(i) for i in self.neighbours[location])
        generator = self._generator(epoch, location, visit)
        subjects, keys = zip(*(self._drawn(who, location, generator) for who in people), strict=True)
        return BatchKey(step, location, near, subjects, keys, people)

    def keys(self, start: int, stop: int) -> Iterator[BatchKey]:
        """Yield the batches of steps `start` to `stop` - 1."""
        return map(self.key, range(start, stop))

    def _drawn(self, who: int, location: int, generator: np.random.Generator) -> tuple[int, int]:
        """Draw a scan of a person that has the location and its neighbours, and one that has the location."""
        own = self._scans[who]
        scan = int(generator.choice([i for i in own if self._whole[i, location]]))
        others = [i for i in own if self.valid[i, location] and i != scan]
        wanted, choice = generator.random() < self.other_scan, generator.random()
        return scan, others[int(choice * len(others))] if wanted and others else scan

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if self._plan is None or self._plan[0] != epoch:
            self._plan = (epoch, self._generator(epoch).permutation(self._visits))
        return self._plan[1]

    def _generator(self, *words: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64([self.seed, *words]))


def nearest_locations(atlas: Atlas, n: int) -> NDArray[np.int64]:
    """Return the `n` other locations nearest to each (locations, n), by the distance of corners on the atlas.

    Of equally near ones the first in the atlas' order.
    """
    corners = atlas.corners.astype(np.float64)
    squared = ((corners[:, np.newaxis] - corners[np.newaxis]) ** 2).sum(axis=2)
    np.fill_diagonal(squared, -1.0)
    nearest: NDArray[np.int64] = np.argsort(squared, axis=1, kind="stable")[:, 1 : n + 1]
    return nearest
