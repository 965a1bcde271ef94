"""What can be said of a zip at the door, from its directory alone: nothing is inflated here.

An archive that no reader would take is refused before a job is made of it: overlapping members (which CPython
before 3.11.8 inflates one over the other), encryption, unknown methods, truncation, sizes that cannot be, and
numbers beyond the limits, read from the end record before the directory is. Members' names are not looked at:
they are never paths. Leaves out what only inflating shows, sums and true sizes, and tars, which have no
directory: the confined reader counts those while it reads.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dras_service.api.problems import ProblemCode
from dras_service.gateway.problems import ProblemRaised

_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"  # APPNOTE 4.3.7, 4.3.12
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"  # APPNOTE 4.3.16, 4.3.14, 4.3.15
_END_BYTES, _CENTRAL_BYTES, _LOCAL_BYTES = 22, 46, 30
_MOST_COMMENT = 0xFFFF
_IN_ZIP64 = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13  # APPNOTE 4.4.4: any, strong, masked headers
_MOST_DEFLATED = 1032  # bytes that one byte of deflate can become, which is why a greater ratio is a lie
_HONEST_RATIO = 200  # air of one value and nothing else reaches it; CT stays below 10
_HONEST_BYTES = 1 << 30  # below it, no ratio does harm
_DIRECTORY_BYTES = 1024  # for each file; an entry has 46 and its name
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may say it holds."""

    n_files: int
    n_bytes: int


class _Entry(NamedTuple):
    offset: int
    packed: int
    unpacked: int
    is_folder: bool


class _Directory(NamedTuple):
    n_entries: int
    offset: int
    size: int
    prefix: int  # bytes before the archive, of a program that unpacks it


def check_archive(path: Path, limits: ArchiveLimits) -> None:
    """Refuse a zip that is damaged, hostile or too large; any other file passes.

    Raises ProblemRaised: ARCHIVE_INVALID, ARCHIVE_TOO_LARGE, TOO_MANY_FILES, EMPTY_UPLOAD.
    """
    with path.open("rb") as file:
        head = file.read(512)
        if head[257:262] == b"ustar":  # the end of a tar may be that of a zip in it
            return
        try:
            directory = _find_directory(file)
            if directory is None:
                if head.startswith(_LOCAL):
                    raise _invalid("truncated")
                return
            _check_entries(file, directory, limits)
        except struct.error as error:
            raise _invalid("damaged") from error


def _find_directory(file: BinaryIO) -> _Directory | None:
    """Read the end record; None where there is none, which is to say that the file is no zip."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END_BYTES - _MOST_COMMENT)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END)
    while at >= 0:
        if len(tail) - at >= _END_BYTES:
            fields = struct.unpack_from("<4H2LH", tail, at + 4)
            if at + _END_BYTES + fields[-1] == len(tail):
                break
        at = tail.rfind(_END, 0, at)
    else:
        return None
    disk, first_disk, here, n_entries, n_bytes, offset, _ = fields
    end = start + at
    if _IN_ZIP64 in (n_bytes, offset) or n_entries == 0xFFFF:
        found = _find_zip64(file, end)
        if found is not None:
            end, n_entries, n_bytes, offset = found
    if disk or first_disk or here not in (n_entries, 0xFFFF):
        raise _invalid("one of several volumes")
    prefix = end - n_bytes - offset
    return _Directory(n_entries, offset + prefix, n_bytes, prefix)


def _find_zip64(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """Return where the zip64 end record is, and its entries, bytes and offset; None where there is none."""
    if end < 20 + 56:
        return None
    file.seek(end - 20)
    locator = file.read(20)
    if not locator.startswith(_LOCATOR_64):
        return None
    # Ours is right before its locator, as every reader expects that has to allow for a prefix.
    file.seek(end - 20 - 56)
    record = file.read(56)
    if not record.startswith(_END_64):
        raise _invalid("damaged")
    _, n_entries, n_bytes, offset = struct.unpack_from("<4Q", record, 24)
    return end - 20 - 56, n_entries, n_bytes, offset


def _check_entries(file: BinaryIO, directory: _Directory, limits: ArchiveLimits) -> None:
    if directory.n_entries > limits.n_files:
        raise ProblemRaised(ProblemCode.TOO_MANY_FILES, limit_files=limits.n_files)
    if directory.size > max(1 << 20, _DIRECTORY_BYTES * limits.n_files):
        raise ProblemRaised(ProblemCode.TOO_MANY_FILES, limit_files=limits.n_files)
    if directory.prefix < 0:
        raise _invalid("damaged")
    entries: list[_Entry] = []
    n_bytes = 0
    for entry in _entries(file, directory):
        entries.append(entry)
        n_bytes += entry.unpacked
        if len(entries) > limits.n_files:
            raise ProblemRaised(ProblemCode.TOO_MANY_FILES, limit_files=limits.n_files)
        if n_bytes > limits.n_bytes:
            raise ProblemRaised(ProblemCode.ARCHIVE_TOO_LARGE, limit=limits.n_bytes, unit="bytes")
    if n_bytes > max(_HONEST_BYTES, _HONEST_RATIO * sum(entry.packed for entry in entries)):
        raise _invalid(f"packed more than {_HONEST_RATIO} times")
    if not any(entry.unpacked for entry in entries if not entry.is_folder):
        raise ProblemRaised(ProblemCode.EMPTY_UPLOAD)
    _check_places(file, directory, entries)


def _entries(file: BinaryIO, directory: _Directory) -> Iterator[_Entry]:
    """Yield the members that the directory lists, reading a block at a time."""
    file.seek(directory.offset)
    left, pending = directory.size, b""
    while left or pending:
        if len(pending) < _CENTRAL_BYTES + 3 * 0xFFFF and left:
            block = file.read(min(left, max(_BLOCK, _CENTRAL_BYTES + 3 * 0xFFFF)))
            if not block:
                raise _invalid("truncated")
            left -= len(block)
            pending += block
        if not pending.startswith(_CENTRAL):
            raise _invalid("damaged")
        flags, method = struct.unpack_from("<HH", pending, 8)
        packed, unpacked, n_name, n_extra, n_comment = struct.unpack_from("<2L3H", pending, 20)
        offset = struct.unpack_from("<L", pending, 42)[0]
        end = _CENTRAL_BYTES + n_name + n_extra + n_comment
        if end > len(pending):
            raise _invalid("damaged")
        if flags & _ENCRYPTED:
            raise _invalid("encrypted")
        if method not in (_STORED, _DEFLATED):
            raise _invalid("packed by another method than deflate")
        name = pending[_CENTRAL_BYTES : _CENTRAL_BYTES + n_name]
        extra = pending[_CENTRAL_BYTES + n_name : _CENTRAL_BYTES + n_name + n_extra]
        unpacked, packed, offset = _wide(extra, unpacked, packed, offset)
        if unpacked > (packed if method == _STORED else _MOST_DEFLATED * packed):
            raise _invalid("damaged: a member cannot be as large as it says")
        yield _Entry(offset + directory.prefix, packed, unpacked, name.endswith(b"/"))
        pending = pending[end:]


def _wide(extra: bytes, *narrow: int) -> list[int]:
    """Replace numbers that did not fit by those of the zip64 field, in its order (APPNOTE 4.5.3)."""
    if _IN_ZIP64 not in narrow:
        return list(narrow)
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{min(size, 24) // 8}Q", extra, at + 4))
            wide = [next(values, -1) if number == _IN_ZIP64 else number for number in narrow]
            if -1 in wide:
                raise _invalid("damaged")
            return wide
        at += 4 + size
    return list(narrow)


def _check_places(file: BinaryIO, directory: _Directory, entries: list[_Entry]) -> None:
    """Check that each member lies behind the one before it and ends before the directory."""
    end = 0
    for entry in sorted(entries):
        if entry.offset < end:
            raise _invalid("damaged: members overlap")
        file.seek(entry.offset)
        header = file.read(_LOCAL_BYTES)
        if not header.startswith(_LOCAL):
            raise _invalid("damaged")
        n_name, n_extra = struct.unpack_from("<2H", header, 26)
        end = entry.offset + _LOCAL_BYTES + n_name + n_extra + entry.packed
    if end > directory.offset:
        raise _invalid("damaged: members overlap")


def _invalid(fault: str) -> ProblemRaised:
    return ProblemRaised(ProblemCode.ARCHIVE_INVALID, fault=fault)
