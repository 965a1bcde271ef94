"""Fixed batches from the patches of one study or of several: filled across studies, and taken apart again.

Copies rows and nothing else; what a batch is run on is the business of `runtime`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import LOCATION_SIZE, PATCH_SIZE


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """What of one study goes through the encoder: patches (n, 32, 32, 32) int16 HU at locations (n, 3) float32.

    ValueError for other shapes or types: a caller within the house is wrong, not a study.
    """

    patches: NDArray[np.int16]
    locations: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.patches)
        cubes, places = (n, *[PATCH_SIZE] * 3), (n, LOCATION_SIZE)
        if self.patches.shape != cubes or self.patches.dtype != np.int16:
            raise ValueError(f"patches are {cubes} int16, found {self.patches.shape} {self.patches.dtype}")
        if self.locations.shape != places or self.locations.dtype != np.float32:
            found = f"{self.locations.shape} {self.locations.dtype}"
            raise ValueError(f"locations are {places} float32, found {found}")


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of a batch and the rows of a study that lie there."""

    study: int
    of_study: slice
    of_batch: slice


def plan(lengths: Sequence[int], *, batch: int) -> list[list[Piece]]:
    """Lay the rows of all studies end to end and cut them into batches; only the last may be short."""
    batches: list[list[Piece]] = []
    filled = batch
    for study, length in enumerate(lengths):
        taken = 0
        while taken < length:
            if filled == batch:
                batches.append([])
                filled = 0
            n = min(length - taken, batch - filled)
            batches[-1].append(Piece(study, slice(taken, taken + n), slice(filled, filled + n)))
            taken += n
            filled += n
    return batches


def gather(
    studies: Sequence[Study], pieces: Sequence[Piece], *, batch: int
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Return the patches (batch, 32, 32, 32) and locations (batch, 3) of one batch, filled up with zeros."""
    patches = list(_filled([studies[piece.study].patches[piece.of_study] for piece in pieces], batch))
    locations = list(_filled([studies[piece.study].locations[piece.of_study] for piece in pieces], batch))
    return np.concatenate(patches), np.concatenate(locations)


def scatter(
    embeddings: NDArray[np.float32], pieces: Sequence[Piece], into: Sequence[NDArray[np.float32]]
) -> None:
    """Write the rows of one batch to the studies they belong to."""
    for piece in pieces:
        into[piece.study][piece.of_study] = embeddings[piece.of_batch]


def _filled(parts: Sequence[NDArray[Any]], batch: int) -> Iterator[NDArray[Any]]:
    yield from parts
    missing = batch - sum(len(part) for part in parts)
    if missing:
        yield np.zeros((missing, *parts[0].shape[1:]), dtype=parts[0].dtype)
