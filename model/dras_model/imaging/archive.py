"""A zip or tar is unpacked under limits, wholly or not at all: what is damaged never becomes half a study.

Names inside an archive are never used as paths: members are written under numbers. Everything is counted
while it is inflated, headers included, and nothing an archive says of its own size is believed.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeAlias, cast

from dras_model.imaging.nifti import is_nifti
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused

COMPRESSED = "compressed, but no tar"
_CHUNK = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_HEADER_BYTES = 1 << 20  # for the headers of one tar member, long names and PAX records included
_HEADER_BYTES_REGAINED = 4096  # with each member; a header with a usual PAX record has 1.5 to 2 kB
_DIRECTORY_BYTES = 1024  # for each file a zip may hold; an entry has 46 and its name
_ENTRY = b"PK\x01\x02"  # opens each entry of a zip's directory (APPNOTE 4.3.12)
_COMPRESSED: dict[bytes, Callable[[Path], IO[bytes]]] = {
    b"\x1f\x8b": cast("Callable[[Path], IO[bytes]]", gzip.open),
    b"BZh": cast("Callable[[Path], IO[bytes]]", bz2.open),
    b"\xfd7zXZ\0": cast("Callable[[Path], IO[bytes]]", lzma.open),
}
# What zipfile, tarfile and the decompressors answer damage with. NotImplementedError, an unknown method,
# and RecursionError, a chain of long names, are RuntimeErrors.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    ArithmeticError,
    LookupError,
    RuntimeError,
    MemoryError,
)

Chunks: TypeAlias = Iterator[bytes]


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold at most; bytes are counted while inflating, not read from headers."""

    n_files: int = 20_000
    n_bytes: int = 16 << 30


Members: TypeAlias = Callable[[Path, ArchiveLimits], Iterator[Chunks]]


def open_members(path: Path) -> Members | None:
    """Return what reads the members of the archive at `path`, None where it is no archive.

    Reads its first block and its end only. Raises StudyRefused ARCHIVE_INVALID for compressed data that are
    neither tar nor NIfTI; OSError where the file cannot be read.
    """
    if path.name.lower().endswith((".nii.gz", ".nii")):
        return None
    with path.open("rb") as file:
        head = file.read(_BLOCK)
    if _decompressor(head) is not None:
        try:
            with _inflated(path) as stream:
                head = stream.read(_BLOCK)
        except _DAMAGE as error:
            raise _invalid("damaged") from error
        if not _opens_tar(head) and not is_nifti(path):
            raise _invalid(COMPRESSED)
    if _opens_tar(head):  # before zip, whose mark at the end may be that of a tar's last member
        return _untar
    try:
        return _unzip if zipfile.is_zipfile(path) else None
    except zipfile.BadZipFile as error:
        raise _invalid("one of several volumes") from error


def unpack(members: Members, path: Path, folder: Path, *, limits: ArchiveLimits) -> None:
    """Write the members of the archive at `path` to `folder` as 000000, 000001, ...

    Raises StudyRefused: ARCHIVE_INVALID, ARCHIVE_TOO_LARGE; SetupRefused OUTPUT_NOT_WRITABLE.
    """
    for _ in each_member(members, path, folder, limits=limits):
        pass


def each_member(
    members: Members, path: Path, folder: Path, *, limits: ArchiveLimits, only: Container[int] | None = None
) -> Iterator[tuple[int, Path]]:
    """Write one member after another to `folder`, made if absent, and yield its number and its file.

    `only` names the numbers that are wanted; of a zip the others are not inflated. Raises as `unpack` does.
    """
    n_bytes = 0
    reading = iter(enumerate(members(path, limits)))
    while True:
        try:
            step = next(reading, None)
            if step is None:
                return
            number, chunks = step
            if only is not None and number not in only:
                continue
            file = folder / f"{number:06d}"
            with _Target(file) as target:
                for chunk in chunks:
                    n_bytes += len(chunk)
                    _require(n_bytes, limits.n_bytes, "bytes")
                    target.write(chunk)
        except _DAMAGE as error:
            raise _invalid("damaged or an unknown method") from error
        yield number, file


class _Target:
    """A file to write, whose faults are the temporary folder's and not the archive's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "_Target":
        try:
            self.path.parent.mkdir(exist_ok=True)
            self.file = self.path.open("wb", buffering=0)
        except OSError as error:
            raise self._refused(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.file.close()
        except OSError as error:
            raise self._refused(error) from error

    def write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view:
                view = view[self.file.write(view) :]
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> SetupRefused:
        reason = error.strerror or "writing failed"
        return SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(self.path.parent), reason=reason)


def _invalid(fault: str) -> StudyRefused:
    return StudyRefused(Code.ARCHIVE_INVALID, fault=fault)


def _require(found: int, limit: int, unit: str) -> None:
    if found > limit:
        raise _too_large(limit, unit)


def _too_large(limit: int, unit: str) -> StudyRefused:
    return StudyRefused(Code.ARCHIVE_TOO_LARGE, limit=limit, unit=unit)


class _ZipFileReader(io.FileIO):
    """A zip's bytes; while its directory is read, no more of them than `limits` has files for.

    `zipfile` reads the directory in one piece and makes an object of each entry, whatever their number.
    """

    def __init__(self, path: Path, limits: ArchiveLimits) -> None:
        super().__init__(path)
        self.limits: ArchiveLimits | None = limits

    def read(self, size: int | None = -1, /) -> bytes:
        limits = self.limits
        if limits is None or size is None or size < 0:
            return super().read(size) or b""
        if size > max(_CHUNK, _DIRECTORY_BYTES * limits.n_files):
            raise _too_large(limits.n_files, "files")
        content = super().read(size) or b""
        _require(content.count(_ENTRY), limits.n_files, "files")
        return content


def _unzip(path: Path, limits: ArchiveLimits) -> Iterator[Chunks]:
    with _ZipFileReader(path, limits) as reader, zipfile.ZipFile(reader) as archive:
        reader.limits = None
        entries = archive.infolist()
        _require(len(entries), limits.n_files, "files")
        end = 0
        for info in sorted(entries, key=lambda info: info.header_offset):
            # CPython before 3.11.8 inflates overlapping members, a 48 kB archive becomes 1 GB.
            if info.header_offset < end:
                raise zipfile.BadZipFile("members overlap")
            end = info.header_offset + info.compress_size
        for info in entries:
            if info.is_dir():
                continue
            if info.flag_bits & 1:
                raise _invalid("encrypted")
            # zipfile inflates bzip2 and LZMA without bound: 4 kB it has read may become 4 GB in memory.
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise _invalid("packed by another method than deflate")
            with archive.open(info) as member:
                yield iter(partial(member.read, _CHUNK), b"")


def _decompressor(head: bytes) -> Callable[[Path], IO[bytes]] | None:
    return next((opened for magic, opened in _COMPRESSED.items() if head.startswith(magic)), None)


def _inflated(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        opened = _decompressor(file.read(8))
    return opened(path) if opened else path.open("rb")


def _opens_tar(block: bytes) -> bool:
    """Whether a file's first block is a tar header: by its magic or, older tars have none, its checksum."""
    if block[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


class _TarStream:
    """Inflated bytes of a tar, read forwards only, with a limit to all of them and to headers.

    `tarfile` holds long names and PAX records in memory, whatever their size; while `in_header`, reading
    draws on an allowance that each member restores in part.
    """

    def __init__(self, stream: IO[bytes], limits: ArchiveLimits) -> None:
        self._stream = stream
        self._limits = limits
        self._position = 0
        self._allowance = _HEADER_BYTES
        self.in_header = True
        self.last = b""

    def start_header(self) -> None:
        self.in_header = True
        self._allowance = min(self._allowance + _HEADER_BYTES_REGAINED, _HEADER_BYTES)

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if self.in_header:
            self._allowance -= size
            if self._allowance < 0:
                raise tarfile.ReadError("a header of more than 1 MB")
        self.last = self._stream.read(size)
        self._position += len(self.last)
        _require(self._position, self._limits.n_bytes, "bytes")
        return self.last

    def seek(self, position: int) -> int:
        if position < self._position:
            raise tarfile.ReadError("a member lies before the one that precedes it")
        self.in_header, in_header = False, self.in_header
        while self._position < position and self.read(min(position - self._position, _CHUNK)):
            pass
        self.in_header = in_header
        return self._position


def _untar(path: Path, limits: ArchiveLimits) -> Iterator[Chunks]:
    with _inflated(path) as inflated:
        stream = _TarStream(inflated, limits)
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as archive:
            n_entries = 0
            while (info := archive.next()) is not None:
                n_entries += 1
                _require(n_entries, limits.n_files, "files")
                stream.in_header = False
                member = archive.extractfile(info) if info.isfile() else None
                if member is not None:
                    with member:
                        yield iter(partial(member.read, _CHUNK), b"")
                stream.start_header()
            # tarfile takes any bad header but the first for the end. An end is blocks of zeros and nothing
            # else (POSIX.1-2017 pax, ustar); reading on to it has the decompressor check its sums.
            stream.in_header = False
            rest = stream.last
            if rest != bytes(_BLOCK):
                raise tarfile.ReadError("no end of archive")
            while rest := stream.read(_CHUNK):
                if rest.count(0) != len(rest):
                    raise tarfile.ReadError("more than zeros behind the end of the archive")
