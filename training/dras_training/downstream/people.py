"""Embeddings of a cohort: of results of `dras extract`, or of the patches of a store.

Everything downstream reads the same file, so that a cohort is encoded once. Outcomes are `outcomes`'s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.outputs.cohort import study_names
from dras_model.outputs.folder import new_file
from dras_model.outputs.npz import ArchiveError, read_npz, write_npz
from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.store import PatchStore
from dras_training.telling import to_nobody

SUFFIX = ".npz"
Heard = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """One row a person: `embeddings` (people, locations, components) float32 and which are `valid`.

    `corners` (locations, 3) are x, y and z in voxels of the atlas; `encoder` is the SHA-256 of the graph.
    """

    names: tuple[str, ...]
    embeddings: NDArray[np.float32]
    valid: NDArray[np.bool_]
    corners: NDArray[np.int64]
    encoder: str

    def __len__(self) -> int:
        return len(self.names)

    def chosen(self, rows: Sequence[int]) -> "People":
        """Return some of the people."""
        names = tuple(self.names[row] for row in rows)
        return People(names, self.embeddings[list(rows)], self.valid[list(rows)], self.corners, self.encoder)

    def write(self, path: Path) -> None:
        """Write the file that `read_people` reads. Raises SetupRefused OUTPUT_NOT_WRITABLE."""
        arrays = {
            "names": np.array(self.names),
            "embeddings": self.embeddings,
            "valid": self.valid,
            "corners": self.corners,
            "encoder": np.array(self.encoder),
        }
        with new_file(path, overwrite=True) as draft:
            write_npz(draft, arrays, compressed=False)


def read_people(sources: Sequence[Path]) -> People:
    """Read one file of `People.write`, or folders of `dras extract`, each a person by its name.

    Raises SetupRefused COHORT_INVALID, StudyRefused where a result is damaged.
    """
    if len(sources) == 1 and sources[0].suffix == SUFFIX:
        return _read_file(sources[0])
    stored = [StoredResult.read(path) for path in sources]
    if not stored:
        raise SetupRefused(Code.COHORT_INVALID, name="", reason="no result is named")
    encoders = {each.result.provenance.weights.encoder_sha256 for each in stored}
    if len(encoders) > 1:
        reason = f"it mixes the embeddings of {len(encoders)} encoders"
        raise SetupRefused(Code.COHORT_INVALID, name=sources[0].name, reason=reason)
    features = [each.features for each in stored]
    if any(not np.array_equal(each.corners, features[0].corners) for each in features):
        raise SetupRefused(Code.COHORT_INVALID, name=sources[0].name, reason="it mixes atlases")
    return People(
        names=tuple(study_names(sources)),
        embeddings=np.stack([each.embeddings for each in features]),
        valid=np.stack([each.valid for each in features]),
        corners=features[0].corners,
        encoder=encoders.pop(),
    )


def encode_store(
    store: PatchStore, bundle: Bundle, atlas: Atlas, *, threads: int | None = None, heard: Heard = to_nobody
) -> People:
    """Encode every patch of a store as serving does. Raises SetupRefused."""
    bundle.require_atlas(atlas)
    encoder, records = Encoder.open(bundle, threads=threads), store.stored
    everywhere = range(len(atlas.corners))
    embeddings = np.empty((len(records), len(atlas.corners), encoder.rep_dim), dtype=np.float32)
    for subject, row in enumerate(embeddings):
        row[:] = encoder.encode(store.read(everywhere, (subject,))[0], atlas.locations)
        heard(subject + 1, len(records))
    return People(
        names=tuple(record.subject for record in records),
        embeddings=embeddings,
        valid=store.valid,
        corners=atlas.corners,
        encoder=bundle.provenance_of(encoder.form.file).encoder_sha256,
    )


def _read_file(path: Path) -> People:
    try:
        arrays = read_npz(path)
        people = People(
            names=tuple(str(name) for name in arrays["names"]),
            embeddings=np.asarray(arrays["embeddings"], dtype=np.float32),
            valid=np.asarray(arrays["valid"], dtype=np.bool_),
            corners=np.asarray(arrays["corners"], dtype=np.int64),
            encoder=str(arrays["encoder"]),
        )
    except (ArchiveError, OSError) as fault:
        raise SetupRefused(Code.COHORT_INVALID, name=path.name, reason=str(fault)) from fault
    except KeyError as fault:
        raise SetupRefused(Code.COHORT_INVALID, name=path.name, reason=f"it lacks {fault}") from fault
    if people.embeddings.shape[:2] != people.valid.shape or len(people) != len(people.valid):
        raise SetupRefused(Code.COHORT_INVALID, name=path.name, reason="its arrays have other shapes")
    return people
