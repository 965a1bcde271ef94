"""Inputs with known answers: a worker runs them before it takes work. Leaves out how they were made."""

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import LOCATION_SIZE, PATCH_SIZE


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Inputs with known answers: patches (n, 32, 32, 32) int16 HU, locations (n, 3), embeddings (n, rep_dim)."""

    patches: NDArray[np.int16]
    locations: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Return the content of `golden.npz`; the same vectors give the same bytes."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, patches=self.patches, locations=self.locations, embeddings=self.embeddings
        )
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, *, rep_dim: int) -> "Golden":
        """Read the content of `golden.npz`. Raises ValueError, with what a sentence about the file goes on with."""
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                golden = cls(stored["patches"], stored["locations"], stored["embeddings"])
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as fault:
            raise ValueError(" does not hold patches, locations and embeddings") from fault
        n = len(golden.patches)
        expected: dict[str, tuple[NDArray[np.generic], tuple[int, ...], type[np.generic]]] = {
            "patches": (golden.patches, (n, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE), np.int16),
            "locations": (golden.locations, (n, LOCATION_SIZE), np.float32),
            "embeddings": (golden.embeddings, (n, rep_dim), np.float32),
        }
        for name, (array, shape, dtype) in expected.items():
            if n == 0 or array.shape != shape or array.dtype != dtype:
                found = f"{array.shape} {array.dtype}"
                raise ValueError(f": {name} is {found}, {shape} {np.dtype(dtype)} is needed")
        return golden
