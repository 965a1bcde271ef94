"""A folder in which studies lie until they are complete; what was acknowledged is in it, synced, whatever dies.

Files are kept under digests of their UIDs, in a folder a study. A study is taken out of reach by one rename, so
that an image that comes at that moment begins the next version. One process holds a room, by a lock that the
kernel lets go with it; the next one goes on with what lies there. When a study is complete: `completeness`.
"""

import fcntl
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from dras_service.failpoints import hit
from dras_service.header import SERIES, SOP_INSTANCE, Header
from dras_service.store.errors import translated
from dras_service.store.incoming import sync_folder

_ORIGIN = "origin.json"
_OPEN, _BROKEN = "open-", "broken-"
_IMAGE = "*.dcm"


class Origin(BaseModel):
    """Where a study came from and what is to become of it: a route of the door it came in by."""

    model_config = ConfigDict(frozen=True)

    study_uid: str
    route: str
    tenant: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """A study as it lies in the room."""

    folder: Path
    origin: Origin

    def images(self) -> list[Path]:
        """Return the images there are, in an order that does not depend on how they came."""
        return sorted(self.folder.glob(_IMAGE))

    @property
    def last_at(self) -> float:
        """When the last image came, in seconds since the epoch."""
        return self.folder.stat().st_mtime

    @property
    def first_at(self) -> float:
        """When the first one came."""
        return (self.folder / _ORIGIN).stat().st_mtime

    @property
    def is_broken(self) -> bool:
        """Whether an association that brought some of it was cut off, and none has ended well since."""
        return any(self.folder.glob(f"{_BROKEN}*"))


class Room:
    """Takes images in. Raises StorageFull where the disk is full."""

    def __init__(self, root: Path, name: str) -> None:
        """Hold the first room of this name that nobody holds, and what a dead process left in it."""
        self.folder, self._lock = _hold(root, name)
        self.arriving = self.folder / "arriving"
        self._studies = self.folder / "studies"
        self._taken = self.folder / "taken"
        self._moving = threading.Lock()  # of images into studies, and of studies out of reach
        self._ending = threading.Lock()  # one end of an association at a time
        self._synced: set[Path] = set()  # studies whose own entry is on the disk
        shutil.rmtree(self.arriving, ignore_errors=True)  # was never acknowledged
        for place in (self.arriving, self._studies, self._taken):
            place.mkdir(exist_ok=True)
        for made in (self.folder, root, root.parent):
            sync_folder(made)
        for marker in self._studies.glob(f"*/{_OPEN}*"):  # it was cut off when that process died
            _mark(marker, marker.name.removeprefix(_OPEN))

    def close(self) -> None:
        """Let go of the room."""
        os.close(self._lock)

    def keep(self, arrived: Path, header: Header, origin: Origin, *, link: str | None = None) -> None:
        """Keep an image that lies complete in `arriving`, for good: this returns when it is synced.

        `link` names the association that brings it; `linked` says how that ended. An image with the UID of one that
        is there replaces it.
        """
        with translated(), ExitStack() as opened:
            with arrived.open("rb") as file:
                os.fsync(file.fileno())
            with self._moving:
                folder = self._folder_of(origin)
                if link is not None:
                    (folder / f"{_OPEN}{link}").touch()
                descriptor = os.open(
                    folder, os.O_RDONLY
                )  # stays the study's when it is taken before it is synced
                opened.callback(os.close, descriptor)
                hit("gather_image.before")
                arrived.rename(folder / image_name(header))
                hit("gather_image.after")
            os.fsync(descriptor)

    def sweep_arriving(self, *, before: float) -> None:
        """Remove what began to arrive and has not moved since a time, in seconds since the epoch: it was cut off.

        By when its entry changed: a file that is moved in keeps the time at which it was written.
        """
        for path in self.arriving.glob(_IMAGE):
            with suppress(FileNotFoundError):  # kept at this moment
                if path.stat().st_ctime < before:
                    path.unlink()

    def linked(self, link: str, *, ended_well: bool) -> None:
        """Note how an association ended that brought images.

        A good end outweighs a bad one, of this or of earlier associations: the end of a connection may be seen
        before the release that it follows, or at the same moment by another thread.
        """
        with self._ending:
            if not ended_well:
                for marker in self._studies.glob(f"*/{_OPEN}{link}"):
                    _mark(marker, link)
                return
            for marker in [
                *self._studies.glob(f"*/{_OPEN}{link}"),
                *self._studies.glob(f"*/{_BROKEN}{link}"),
            ]:
                for mark in [marker, *marker.parent.glob(f"{_BROKEN}*")]:
                    mark.unlink(missing_ok=True)

    def waiting(self) -> Iterator[Gathered]:
        """Yield the studies that are not taken yet."""
        yield from _read(self._studies)

    def taken(self) -> Iterator[Gathered]:
        """Yield the studies that were taken and are not done."""
        yield from _read(self._taken)

    def take(self, gathered: Gathered) -> Gathered:
        """Put a study out of reach of further images."""
        target = self._taken / f"{gathered.folder.name}-{uuid.uuid4().hex[:8]}"
        with self._moving:
            hit("take_study.before")
            gathered.folder.rename(target)
            hit("take_study.after")
            self._synced.discard(gathered.folder)
        sync_folder(self._taken)
        return Gathered(target, gathered.origin)

    def done(self, taken: Gathered) -> None:
        """Forget a study: it is kept elsewhere now."""
        shutil.rmtree(taken.folder, ignore_errors=True)

    def _folder_of(self, origin: Origin) -> Path:
        """Return a study's folder, begun where there is none and its entry synced. The caller holds `_moving`."""
        folder = self._studies / _digest(origin.tenant, origin.route, origin.study_uid)
        if not folder.exists():
            fresh = self._studies / f".{folder.name}"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            with (fresh / _ORIGIN).open("w") as file:
                file.write(origin.model_dump_json())
                file.flush()
                os.fsync(file.fileno())
            hit("begin_study.before")
            fresh.rename(folder)
            hit("begin_study.after")
        if folder not in self._synced:
            sync_folder(self._studies)
            self._synced.add(folder)
        return folder


def image_name(header: Header) -> str:
    """Return the name under which an image lies in its study: of one instance always the same."""
    return f"{_digest(header[SERIES], header[SOP_INSTANCE])}.dcm"


def _hold(root: Path, name: str) -> tuple[Path, int]:
    root.mkdir(parents=True, exist_ok=True)
    number = 0
    while True:
        folder = root / f"{name}-{number}"
        folder.mkdir(exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            number += 1
            continue
        return folder, lock


def _read(place: Path) -> Iterator[Gathered]:
    for folder in sorted(place.iterdir()):
        if folder.name.startswith("."):
            continue
        try:
            yield Gathered(folder, Origin.model_validate_json((folder / _ORIGIN).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            continue  # being taken or removed at this moment


def _mark(marker: Path, link: str) -> None:
    """Mark the study of an open association as cut off."""
    with suppress(FileNotFoundError):  # taken meanwhile
        marker.with_name(f"{_BROKEN}{link}").touch()
        marker.unlink()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
