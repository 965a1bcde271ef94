"""Where blobs rest: the interface, and a folder of this machine.

A shelf takes what is complete and synced, a file or a folder of files, to an address; it is there whole or not at
all, and it never changes. Leaves out what the addresses mean (`blobs`) and object stores (`objects`).
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeAlias

from dras_service.failpoints import hit
from dras_service.store.incoming import sync_folder

Held: TypeAlias = AbstractContextManager[Path]  # a path that stays until the context is closed


class Shelf(Protocol):
    """Keeps blobs by address, `/` between its parts. `step` names a failpoint.

    Every method raises StoreUnavailable where the shelf cannot be reached, those that write StorageFull.
    """

    def prepare(self) -> None:
        """Make what is needed on this machine."""

    def check(self) -> None:
        """Write and remove a byte."""

    def put(self, arrived: Path, address: str, *, step: str) -> bool:
        """Keep what lies at `arrived`, which is gone then; False where something is there already, which stays."""

    def has(self, address: str) -> bool:
        """Whether something is there."""

    def path(self, address: str) -> Path:
        """Return where it lies on this machine, fetched first where it lies elsewhere.

        FileNotFoundError where it is known that there is nothing.
        """

    def held(self, address: str) -> Held:
        """Open its `path`, which stays until it is closed."""

    def remove(self, address: str, *, trash: Path, step: str) -> None:
        """Take it from its place, at once; what takes time is left at `trash`. May be repeated."""

    def addresses(self, folder: str, *, older_than_s: float | None = None) -> Iterator[str]:
        """Yield what is there below `folder`, or what of it came longer ago than that."""


class FolderShelf:
    """Blobs in a folder: kept and taken by one rename each."""

    def __init__(self, root: Path, *, depths: dict[str, int]) -> None:
        """`depths` says how many parts an address has, by its first."""
        self._root = root
        self._depths = depths
        self._durable: set[Path] = set()  # folders that are on the disk, as far as we have seen to it

    def prepare(self) -> None:
        """Create the folders that are not there yet."""
        for folder in self._depths:
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        """Do nothing: what arrives is written to the same disk."""

    def put(self, arrived: Path, address: str, *, step: str) -> bool:
        """Rename it to its place and see the folders that lead there to the disk."""
        target = self._root / address
        if not target.parent.is_dir():
            self._durable.difference_update(folder for folder in target.parents if not folder.is_dir())
            target.parent.mkdir(parents=True, exist_ok=True)
        is_new = not target.exists()
        hit(f"{step}.before")
        if is_new:
            # A folder that appears in between makes the rename fail; the content is the same.
            try:
                arrived.rename(target)
            except OSError:
                if not target.exists():
                    raise
                is_new = False
        hit(f"{step}.after")
        sync_folder(target.parent)
        self._see_to_disk(target.parent)
        return is_new

    def _see_to_disk(self, folder: Path) -> None:
        """Sync what leads to a folder, once a process: whoever made it may not have come to that yet."""
        if folder.parent == self._root or folder in self._durable:
            return
        sync_folder(folder.parent)
        self._see_to_disk(folder.parent)
        self._durable.add(folder)

    def has(self, address: str) -> bool:
        """Whether something is there."""
        return self.path(address).exists()

    def path(self, address: str) -> Path:
        """Return where it lies, or would."""
        return self._root / address

    @contextmanager
    def held(self, address: str) -> Iterator[Path]:
        """Open its path: only a purge takes it away."""
        yield self.path(address)

    def remove(self, address: str, *, trash: Path, step: str) -> None:
        """Rename it to `trash`."""
        path = self._root / address
        hit(f"{step}.before")
        with suppress(FileNotFoundError):
            path.rename(trash)
            sync_folder(path.parent)
        hit(f"{step}.after")

    def addresses(self, folder: str, *, older_than_s: float | None = None) -> Iterator[str]:
        """Yield what is there, or what of it came longer ago than that."""
        limit = None if older_than_s is None else time.time() - older_than_s
        for path in (self._root / folder).glob("/".join("*" * (self._depths[folder] - 1))):
            if limit is None or last_change(path) < limit:
                yield path.relative_to(self._root).as_posix()


def last_change(path: Path) -> float:
    """Return when anything in `path` last changed; now, where it vanishes meanwhile."""
    try:
        inside = path.iterdir() if path.is_dir() else iter(())
        return max([path.stat().st_mtime, *(child.stat().st_mtime for child in inside)])
    except FileNotFoundError:
        return time.time()
