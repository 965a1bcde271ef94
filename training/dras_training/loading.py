"""Brings the patches of each step from the store, ahead of the step that needs them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dras_training.sampling import BatchKey, Schedule
from dras_training.store import PatchStore

_AHEAD = 4  # batches that each loader process keeps ready


class LoadedBatch(NamedTuple):
    """A batch's key and this process' share of its patches, int16.

    `patches` (n, 1 + R, 32, 32, 32) are the query's centre and neighbours, `centres` (n, 32, 32, 32) the key's.
    """

    key: BatchKey
    patches: Tensor
    centres: Tensor


class _Patches(Dataset[LoadedBatch]):
    """Reads what a key asks for; it has no location of its own that could be forgotten."""

    def __init__(self, store: PatchStore, *, rank: int, world: int) -> None:
        self._store, self._rank, self._world = store, rank, world

    def __getitem__(self, key: BatchKey) -> LoadedBatch:
        mine = share_of(len(key.subjects), rank=self._rank, world=self._world)
        patches = torch.from_numpy(self._store.read((key.location, *key.neighbours), key.subjects[mine]))
        if key.keys == key.subjects:
            return LoadedBatch(key, patches, patches[:, 0])
        return LoadedBatch(
            key, patches, torch.from_numpy(self._store.read((key.location,), key.keys[mine])[:, 0])
        )


class _Keys:
    """The keys of the steps that are left, as a sampler; a loader in another process gets them one by one."""

    def __init__(self, schedule: Schedule, start: int, stop: int) -> None:
        self._schedule, self._steps = schedule, (start, stop)

    def __iter__(self) -> Iterator[BatchKey]:
        return self._schedule.keys(*self._steps)


def share_of(n: int, *, rank: int, world: int) -> slice:
    """Return the rows of a batch of `n` that belong to one of `world` processes."""
    each = n // world
    return slice(rank * each, (rank + 1) * each)


def batches(
    store: PatchStore,
    schedule: Schedule,
    *,
    steps: tuple[int, int],
    workers: int,
    rank: int = 0,
    world: int = 1,
    pinned: bool = False,
) -> Iterator[LoadedBatch]:
    """Yield the batches of steps `steps[0]` to `steps[1]` - 1 in order, read by `workers` processes."""
    ahead: dict[str, Any] = {"prefetch_factor": _AHEAD} if workers else {}
    loader: DataLoader[LoadedBatch] = DataLoader(
        _Patches(store, rank=rank, world=world),
        sampler=_Keys(schedule, *steps),
        batch_size=None,
        num_workers=workers,
        pin_memory=pinned,
        generator=torch.Generator(),  # else it draws from the shared one, once more after every stop
        **ahead,
    )
    return iter(loader)
