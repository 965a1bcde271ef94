"""Who is held against whom: bundles, untrained weights and LAA-950 alone, all in the place of an encoder.

LAA-950 is given to the same models as embeddings are, so that nothing but the features differs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.manifest import Trained
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_training.downstream.dense import Encodes
from dras_training.downstream.people import People
from dras_training.evaluation.material import Sample
from dras_training.store import PatchStore

LOW_HU, AERATED_HU = -950, -500
DENSITY, UNTRAINED = "LAA-950", "untrained"
Kind: TypeAlias = Literal["judged", "control", "ablation", "baseline"]


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """Something that makes embeddings, what it is called and is, and how many `steps` it was trained."""

    name: str
    kind: Kind
    encoder: Encodes
    told: str
    steps: int | None = None

    @classmethod
    def of(cls, bundle: Bundle, *, name: str, kind: Kind, threads: int | None, kept: Path) -> "System":
        """Open a bundle, whose embeddings are kept in a folder. Raises SetupRefused."""
        training = bundle.manifest.training
        experts = bundle.manifest.encoder.num_experts
        told = f"{bundle.manifest.name}: {training.summary}, {experts} experts, bundle {bundle.sha256[:12]}"
        encoder = Encoder.open(bundle, threads=threads)
        remembering = Remembering(encoder, kept / "embeddings" / bundle.sha256[:16])
        steps = training.steps if isinstance(training, Trained) else None
        return cls(name, kind, remembering, told, steps=steps)


@dataclass(frozen=True, slots=True, eq=False)
class Remembering:
    """An encoder that computes what it has not computed before; its folder belongs to one bundle."""

    encoder: Encodes
    folder: Path

    def encode(self, patches: NDArray[np.int16], locations: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return the embeddings (n, width) of patches (n, 32, 32, 32) HU at locations (n, 3). Raises OSError."""
        asked = hashlib.sha256(patches.tobytes())
        asked.update(locations.tobytes())
        path = self.folder / f"{asked.hexdigest()[:32]}.npy"
        try:
            known: NDArray[np.float32] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            known = self.encoder.encode(patches, locations)
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}")
            np.save(draft, known, allow_pickle=False)
            draft.replace(path)
        return known


class LowAttenuation:
    """In the place of an encoder: the share of aerated voxels at or below -950 HU, and its root."""

    def encode(self, patches: NDArray[np.int16], _locations: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return both (n, 2) of patches (n, 32, 32, 32) HU."""
        low = np.count_nonzero(patches <= LOW_HU, axis=(1, 2, 3))
        aerated = np.count_nonzero(patches <= AERATED_HU, axis=(1, 2, 3))
        share = low / np.maximum(aerated, 1)
        return np.stack([share, np.sqrt(share)], axis=1).astype(np.float32)


def low_attenuation() -> System:
    """Return LAA-950 as a system."""
    told = f"share of voxels at or below {LOW_HU} HU among those at or below {AERATED_HU} HU, and its root"
    return System(DENSITY, "baseline", LowAttenuation(), told)


def encode_people(
    system: System, store: PatchStore, rows: Sequence[int], atlas: Atlas, at: NDArray[np.int64]
) -> People:
    """Return the embeddings of subjects of a store at the locations `at`."""
    embeddings = [
        system.encoder.encode(store.read(at.tolist(), (row,))[0], atlas.locations[at]) for row in rows
    ]
    names = tuple(store.stored[row].subject for row in rows)
    valid = store.valid[list(rows)][:, at]
    return People(names, np.stack(embeddings), valid, atlas.corners[at], system.name)


def encode_samples(system: System, samples: Sequence[Sample], atlas: Atlas, at: NDArray[np.int64]) -> People:
    """Return the embeddings of samples, which were taken at the locations `at`."""
    embeddings = [system.encoder.encode(sample.patches, atlas.locations[at]) for sample in samples]
    names = tuple(str(n) for n in range(len(samples)))
    valid = np.stack([sample.valid for sample in samples])
    return People(names, np.stack(embeddings), valid, atlas.corners[at], system.name)
