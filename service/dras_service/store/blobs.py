"""Studies and outputs as files in one folder, durable before anything speaks of them.

Whatever arrives is written under `incoming`, synced, and renamed to its place: a study to an address
made from its content, outputs to an address of one attempt at one job. Leaves out object stores.
"""

import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dras_service.store.errors import translated
from dras_service.store.incoming import Incoming, sync_folder
from dras_service.store.rows import Artifact, Claim, Outputs, StoredStudy

_CHUNK = 1 << 20
_MEDIA_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".png": "image/png",
    ".npz": "application/x-npz",
    ".nii.gz": "application/gzip",
}


class BlobStore:
    """A folder of blobs. Any method that writes raises StorageFull where the disk is full."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._studies = root / "studies"
        self._outputs = root / "outputs"

    def prepare(self) -> None:
        """Create the folders that are not there yet."""
        for folder in (self._incoming, self._studies, self._outputs):
            folder.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Write and remove one byte; OSError where that cannot be done."""
        probe = self._incoming / f"probe-{uuid.uuid4().hex}"
        with translated():
            probe.write_bytes(b"\0")
            probe.unlink()

    # Studies

    @contextmanager
    def receive(self) -> Iterator[Incoming]:
        """Open a place for an upload; unless it is kept by `keep_study`, nothing of it stays."""
        with self._room(f"upload-{uuid.uuid4().hex}") as folder, Incoming(folder) as incoming:
            yield incoming

    def keep_study(self, incoming: Incoming) -> StoredStudy:
        """Move a complete upload to the address of its content; the same content is kept once."""
        with translated():
            arrived, stored = incoming.seal()
            target = self.study_path(stored.key)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                # A folder that appears in between makes the rename fail; the content is the same.
                try:
                    arrived.rename(target)
                except OSError:
                    if not target.exists():
                        raise
            sync_folder(target.parent)
            sync_folder(self._studies)
        return stored

    def study_path(self, key: str) -> Path:
        """Return where the study at `key` lies."""
        return self._studies / key[:2] / key

    def discard_study(self, key: str) -> None:
        """Remove a study that no job was made for."""
        _remove(self.study_path(key))

    # Outputs

    @contextmanager
    def workspace(self, claim: Claim) -> Iterator[Path]:
        """Open an empty folder for one attempt at a job; it is gone afterwards."""
        for remnant in self._incoming.glob(f"job-{claim.job_id}-*"):
            _remove(remnant)
        with self._room(f"job-{claim.job_id}-{claim.fence}") as folder:
            yield folder

    def keep_outputs(self, folder: Path, claim: Claim) -> Outputs:
        """Move a folder of finished files to the address of this attempt, and index them."""
        with translated():
            artifacts = tuple(_index(path) for path in sorted(folder.iterdir()) if path.is_file())
            sync_folder(folder)
            key = f"{claim.job_id}-{claim.fence}"
            folder.rename(self._outputs / key)
            sync_folder(self._outputs)
        return Outputs(key, artifacts)

    def discard_other_outputs(self, claim: Claim) -> None:
        """Remove what earlier attempts at the job, dead before their commit, left behind."""
        for remnant in self._outputs.glob(f"{claim.job_id}-*"):
            if remnant.name != f"{claim.job_id}-{claim.fence}":
                _remove(remnant)

    def discard_outputs(self, outputs: Outputs) -> None:
        """Remove outputs that were not committed."""
        _remove(self._outputs / outputs.key)

    def output_path(self, outputs: Outputs, file: Artifact) -> Path:
        """Return where one file of a result lies; the name comes from the index, never from a request."""
        return self._outputs / outputs.key / file.name

    # Remnants

    def sweep_incoming(self, *, older_than_s: float) -> int:
        """Remove what processes that died left under `incoming`; return how many."""
        limit = time.time() - older_than_s
        remnants = [path for path in self._incoming.iterdir() if _last_change(path) < limit]
        for remnant in remnants:
            _remove(remnant)
        return len(remnants)

    @contextmanager
    def _room(self, name: str) -> Iterator[Path]:
        room = self._incoming / name
        with translated():
            room.mkdir()
        try:
            yield room
        finally:
            _remove(room)


def _index(path: Path) -> Artifact:
    """Hash one finished file and see it to the disk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        os.fsync(file.fileno())
        size_bytes = file.tell()
    suffix = next((suffix for suffix in _MEDIA_TYPES if path.name.endswith(suffix)), "")
    media_type = _MEDIA_TYPES.get(suffix, "application/octet-stream")
    return Artifact(path.name, media_type, size_bytes, digest.hexdigest())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _last_change(path: Path) -> float:
    """Return when anything in `path` last changed; now, where it vanishes meanwhile."""
    try:
        inside = path.iterdir() if path.is_dir() else iter(())
        return max([path.stat().st_mtime, *(child.stat().st_mtime for child in inside)])
    except FileNotFoundError:
        return time.time()
