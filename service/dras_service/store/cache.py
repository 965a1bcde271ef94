"""Copies of blobs that rest elsewhere, on this machine's disk, no more of them than there is room for.

A copy that is in use is locked by whoever uses it, in whichever process; the lock goes with that process. The copy
that was used longest ago leaves first. A copy can be lost at any moment without loss: it is fetched again.
"""

import fcntl
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

_COPIES, _LOCKS, _PARTS = "copies", "locks", "parts"
_N_LOCKS = 256  # addresses share them: one file for each would never be removed


class Cache:
    """Copies below `root`, `most_bytes` of them; more only as far as they are in use at once."""

    def __init__(self, root: Path, *, most_bytes: int) -> None:
        self._root = root
        self._most_bytes = most_bytes

    def prepare(self) -> None:
        """Create the folders."""
        for folder in (_COPIES, _LOCKS, _PARTS):
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def held(self, address: str, fetch: Callable[[Path], None]) -> Iterator[Path]:
        """Open a copy; where there is none, `fetch` makes one at the place it is given."""
        with self._locked(address, fcntl.LOCK_SH):
            copy = self._place(address)
            if not copy.exists():
                with self.part() as part:
                    fetch(part)
                    self._put(part, copy)
            os.utime(copy)
            yield copy

    def take(self, arrived: Path, address: str) -> None:
        """Make what lies at `arrived` a copy; it is gone then."""
        with self._locked(address, fcntl.LOCK_SH):
            self._put(arrived, self._place(address))
        _remove(arrived)

    def drop(self, address: str) -> None:
        """Remove a copy of what is gone."""
        _remove(self._place(address))

    @contextmanager
    def part(self) -> Iterator[Path]:
        """Open a place for what is not complete yet."""
        part = self._root / _PARTS / uuid.uuid4().hex
        try:
            yield part
        finally:
            _remove(part)

    def _place(self, address: str) -> Path:
        return self._root / _COPIES / quote(address, safe="")

    def _put(self, arrived: Path, copy: Path) -> None:
        self._make_room(_size_bytes(arrived))
        with suppress(FileExistsError, OSError):  # another process was faster, with the same content
            if not copy.exists():
                shutil.move(arrived, copy)  # within one file system: at once

    def _make_room(self, needed_bytes: int) -> None:
        """Let copies go that nobody uses, the least recently used first."""
        found = []
        for copy in (self._root / _COPIES).iterdir():
            with suppress(FileNotFoundError):
                found.append((copy.stat().st_mtime, copy.name, _size_bytes(copy)))
        kept_bytes = sum(size for _, _, size in found) + needed_bytes
        for _, name, size in sorted(found):
            if kept_bytes <= self._most_bytes:
                return
            if self._evict(self._root / _COPIES / name):
                kept_bytes -= size

    def _evict(self, copy: Path) -> bool:
        try:
            with self._locked(copy.name, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _remove(copy)
        except BlockingIOError:
            return False
        return True

    @contextmanager
    def _locked(self, address: str, kind: int) -> Iterator[None]:
        number = zlib.crc32(quote(address, safe="%").encode()) % _N_LOCKS
        descriptor = os.open(self._root / _LOCKS / str(number), os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)


def _size_bytes(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
