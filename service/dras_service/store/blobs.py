"""Studies, outputs and drafts, durable before anything speaks of them.

Whatever arrives is written under `incoming`, synced, and put on a shelf: a study at an address made from its
tenant and its content, outputs and drafts at an address of one attempt at one job. There it is whole or not at
all. Leaves out what a shelf is: `shelves`, `objects`.
"""

import hashlib
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from dras_service.failpoints import hit
from dras_service.store.errors import translated
from dras_service.store.incoming import Incoming, sync_folder
from dras_service.store.rows import Artifact, Claim, Outputs, StoredStudy
from dras_service.store.schema import DEFAULT_TENANT
from dras_service.store.shelves import FolderShelf, Held, Shelf, last_change

_CHUNK = 1 << 20
_ADDRESS = re.compile(r"[0-9a-f]{64}(\.[a-z.]+)?")
_TRASH = "trash-"
_STUDIES, _OUTPUTS, _DRAFTS = "studies", "outputs", "drafts"
_DEPTHS = {_STUDIES: 4, _OUTPUTS: 2, _DRAFTS: 2}  # parts of an address
_MEDIA_TYPES = {
    ".json": "application/json",
    ".csv": "text/csv",
    ".png": "image/png",
    ".npz": "application/x-npz",
    ".nii.gz": "application/gzip",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".html": "text/html; charset=utf-8",
    ".dcm": "application/dicom",
    ".zip": "application/zip",
}


class KeptStudy(NamedTuple):
    """A study at rest; not new where the same content of the same tenant was there."""

    stored: StoredStudy
    is_new: bool


class BlobStore:
    """Rooms in a folder of this machine, and a shelf where what is complete rests, by default in the same folder.

    Any method that writes raises StorageFull where the disk or the shelf is full.
    """

    def __init__(self, root: Path, shelf: Shelf | None = None) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._shelf = shelf or FolderShelf(root, depths=_DEPTHS)

    def prepare(self) -> None:
        """Create the folders that are not there yet, and move studies from before there were tenants."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        self._shelf.prepare()
        for study in (self._root / _STUDIES).glob("??/*"):
            if _ADDRESS.fullmatch(study.name):
                target = self._root / _study_address(f"{DEFAULT_TENANT}/{study.name}")
                target.parent.mkdir(parents=True, exist_ok=True)
                hit("adopt_study.before")
                study.rename(target)
                hit("adopt_study.after")

    def check(self) -> None:
        """Write and remove one byte; OSError or StoreError where that cannot be done."""
        probe = self._incoming / f"probe-{uuid.uuid4().hex}"
        with translated():
            probe.write_bytes(b"\0")
            probe.unlink()
        self._shelf.check()

    # Studies

    @contextmanager
    def receive(self) -> Iterator[Incoming]:
        """Open a place for an upload; unless it is kept by `keep_study`, nothing of it stays."""
        with self._room(f"upload-{uuid.uuid4().hex}") as folder, Incoming(folder) as incoming:
            yield incoming

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Open an empty folder for what is needed for a moment; it is gone afterwards."""
        with self._room(f"scratch-{uuid.uuid4().hex}") as folder:
            yield folder

    def keep_study(self, incoming: Incoming, *, tenant: str) -> KeptStudy:
        """Move a complete upload to the address of its content; the same content is kept once a tenant.

        May be repeated where the study was not new and is gone since.
        """
        with translated():
            arrived, stored = incoming.seal(tenant)
            is_new = self._shelf.put(arrived, _study_address(stored.key), step="keep_study")
        return KeptStudy(stored, is_new)

    def study_path(self, key: str) -> Path:
        """Return where the study at `key` lies on this machine, fetched where it rests elsewhere."""
        return self._shelf.path(_study_address(key))

    def study(self, key: str) -> Held:
        """Open the study at `key`: its path, which stays until it is closed."""
        return self._shelf.held(_study_address(key))

    def has_study(self, key: str) -> bool:
        """Whether the study at `key` is there."""
        return self._shelf.has(_study_address(key))

    def remove_study(self, key: str) -> None:
        """Take a study from its place, at once; `empty_trash` gives its room back."""
        self._throw_away(_study_address(key), "remove_study")

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
            self._shelf.put(folder, f"{_OUTPUTS}/{key}", step="keep_outputs")
        return Outputs(key, artifacts)

    def discard_other_outputs(self, claim: Claim) -> None:
        """Remove what earlier attempts at the job, dead before their commit, left behind."""
        for fence in range(1, claim.fence):
            if self._shelf.has(f"{_OUTPUTS}/{claim.job_id}-{fence}"):
                self.remove_outputs(f"{claim.job_id}-{fence}")
        self.empty_trash()

    def remove_outputs(self, key: str) -> None:
        """Take outputs from their place, at once; `empty_trash` gives their room back."""
        self._throw_away(f"{_OUTPUTS}/{key}", "remove_outputs")

    def output_path(self, outputs: Outputs, file: Artifact) -> Path:
        """Return where one file of a result lies; the name comes from the index, never from a request."""
        return self._shelf.path(f"{_OUTPUTS}/{outputs.key}") / file.name

    def outputs(self, key: str) -> Held:
        """Open the folder of the outputs at `key`, which stays until it is closed."""
        return self._shelf.held(f"{_OUTPUTS}/{key}")

    # Drafts: what one stage of a job leaves for the next

    def keep_draft(self, folder: Path, claim: Claim) -> str:
        """Move what a stage has made to the address of this attempt; return its key."""
        with translated():
            for path in folder.rglob("*"):
                if path.is_file():
                    _sync(path)
                else:
                    sync_folder(path)
            sync_folder(folder)
            key = f"{claim.job_id}-{claim.fence}"
            self._shelf.put(folder, f"{_DRAFTS}/{key}", step="keep_draft")
        return key

    def draft(self, key: str) -> Held:
        """Open the draft at `key`: its path, which stays until it is closed."""
        return self._shelf.held(f"{_DRAFTS}/{key}")

    def has_draft(self, key: str) -> bool:
        """Whether the draft at `key` is there."""
        return self._shelf.has(f"{_DRAFTS}/{key}")

    def remove_draft(self, key: str) -> None:
        """Take a draft from its place, at once; `empty_trash` gives its room back."""
        self._throw_away(f"{_DRAFTS}/{key}", "remove_draft")

    def draft_keys(self, *, older_than_s: float | None = None) -> Iterator[str]:
        """Yield the keys of the drafts there are, or of those that came longer ago than that."""
        yield from map(_last_part, self._shelf.addresses(_DRAFTS, older_than_s=older_than_s))

    # Remnants

    def study_keys(self, *, older_than_s: float) -> Iterator[str]:
        """Yield the keys of the studies there are that came longer ago than that."""
        for address in self._shelf.addresses(_STUDIES, older_than_s=older_than_s):
            _, tenant, _, name = address.split("/")
            yield f"{tenant}/{name}"

    def output_keys(self, *, older_than_s: float | None = None) -> Iterator[str]:
        """Yield the keys of the outputs there are, or of those that came longer ago than that."""
        yield from map(_last_part, self._shelf.addresses(_OUTPUTS, older_than_s=older_than_s))

    def empty_trash(self) -> None:
        """Remove what was taken from its place."""
        for thrown in self._incoming.glob(f"{_TRASH}*"):
            _remove(thrown)

    def sweep_incoming(self, *, older_than_s: float) -> int:
        """Remove what processes that died left under `incoming`; return how many."""
        limit = time.time() - older_than_s
        remnants = [path for path in self._incoming.iterdir() if last_change(path) < limit]
        for remnant in remnants:
            _remove(remnant)
        return len(remnants)

    def _throw_away(self, address: str, step: str) -> None:
        self._shelf.remove(address, trash=self._incoming / f"{_TRASH}{uuid.uuid4().hex}", step=step)

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


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _study_address(key: str) -> str:
    """Return where a study rests: not more than a 256th of a tenant's in one folder."""
    tenant, _, name = key.partition("/")
    return f"{_STUDIES}/{tenant}/{name[:2]}/{name}"


def _last_part(address: str) -> str:
    return address.rpartition("/")[2]
