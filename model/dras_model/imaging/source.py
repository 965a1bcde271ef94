"""A path becomes a flat list of files: a folder is walked, a zip or tar is unpacked under limits.

Names inside an archive are never used as paths: members are written under numbers. Archives inside
an archive stay closed. What the files mean is `series`' and `nifti`'s business.
"""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold at most; bytes are counted while inflating, not read from headers."""

    n_files: int = 20_000
    n_bytes: int = 16 << 30


@contextmanager
def open_source(path: Path, *, limits: ArchiveLimits | None = None) -> Iterator[list[Path]]:
    """Yield the regular files of a folder, an archive or a single file, sorted by name.

    An archive is unpacked to a temporary folder that lives as long as the context.
    Raises StudyRefused: NOT_FOUND, ARCHIVE_INVALID, ARCHIVE_TOO_LARGE.
    """
    if path.is_dir():
        yield sorted(file for file in path.rglob("*") if file.is_file())
    elif not path.is_file():
        raise StudyRefused(Code.NOT_FOUND, path=str(path))
    elif zipfile.is_zipfile(path) or _is_tar(path):
        with tempfile.TemporaryDirectory(prefix="dras-source-") as folder:
            yield _unpack(path, Path(folder), limits or ArchiveLimits())
    else:
        yield [path]


def _is_tar(path: Path) -> bool:
    """Whether `path` is a tar with at least one member; tarfile alone takes zeros for an empty tar."""
    if path.name.endswith((".nii.gz", ".nii")):
        return False
    try:
        with tarfile.open(path) as tar:
            return tar.next() is not None
    except (tarfile.TarError, EOFError, OSError, zlib.error):
        return False


def _unpack(path: Path, folder: Path, limits: ArchiveLimits) -> list[Path]:
    unpack = _unzip if zipfile.is_zipfile(path) else _untar
    budget = _Budget(limits)
    try:
        for member in unpack(path):
            with (folder / f"{budget.n_files:06d}").open("wb") as target:
                budget.spend(member, target)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        raise StudyRefused(Code.ARCHIVE_INVALID, fault="damaged or an unknown method") from error
    except RuntimeError as error:  # zipfile's answer to an encrypted member
        raise StudyRefused(Code.ARCHIVE_INVALID, fault="encrypted") from error
    return sorted(folder.iterdir())


class _Budget:
    """Counts files and real bytes while members are written."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self.limits = limits
        self.n_files = 0
        self.n_bytes = 0

    def spend(self, member: IO[bytes], target: IO[bytes]) -> None:
        self.n_files += 1
        if self.n_files > self.limits.n_files:
            raise StudyRefused(Code.ARCHIVE_TOO_LARGE, limit=self.limits.n_files, unit="files")
        while chunk := member.read(_CHUNK):
            self.n_bytes += len(chunk)
            if self.n_bytes > self.limits.n_bytes:
                raise StudyRefused(Code.ARCHIVE_TOO_LARGE, limit=self.limits.n_bytes, unit="bytes")
            target.write(chunk)


def _unzip(path: Path) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if not info.is_dir()]
        end = 0
        for info in sorted(members, key=lambda info: info.header_offset):
            # CPython before 3.11.8 inflates overlapping members, a 48 kB archive becomes 1 GB.
            if info.header_offset < end:
                raise zipfile.BadZipFile("members overlap")
            end = info.header_offset + info.compress_size
        for info in members:
            with archive.open(info) as member:
                yield member


def _untar(path: Path) -> Iterator[IO[bytes]]:
    with tarfile.open(path) as archive:
        for info in archive:
            member = archive.extractfile(info) if info.isfile() else None
            if member is not None:
                with member:
                    yield member
