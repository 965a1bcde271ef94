"""Packs the relative relocations of shared libraries: 50 MB of a worker's image are less than one.

A pointer that only has to be moved to where its library was loaded takes 24 bytes of table in most wheels, and a
bit in DT_RELR, which glibc reads since 2.36 and linkers write by `-z pack-relative-relocs` (decision 0092). What
becomes free of the file, or is read by no loader, such as symbols for debuggers, is cut out by pages; no address of
a library changes. One that has not what it takes is left as it is: x86-64, one table of relocations, a note whose
program header can become that of what lies behind the cut.

    python pack_relocations.py FOLDER    every library with LEAST_BYTES of such relocations
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path

PAGE = 4096
_WORD = 8
LEAST_BYTES = 64 * 1024
VERSION = b"GLIBC_ABI_DT_RELR"  # glibc refuses DT_RELR without a need for it
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_DYNAMIC = struct.Struct("<qQ")
_RELA = struct.Struct("<QQq")
_NEED, _VERSION = struct.Struct("<HHIII"), struct.Struct("<IHHII")  # Elf64_Verneed, Elf64_Vernaux
_LOAD, _DYNAMIC_PART, _NOTE, _HEADERS = 1, 2, 4, 6  # p_type; the last has to come first
_SHARED, _X86_64 = 3, 62
_READABLE = 4
_LIBC = b"libc.so.6\0"
_RELATIVE = 8  # R_X86_64_RELATIVE
_NULL, _STRTAB, _STRSZ, _RELA_TABLE, _RELASZ = 0, 5, 10, 7, 8
_RELRSZ, _RELR, _RELRENT = 35, 36, 37
_RELACOUNT, _VERNEED, _VERNEEDNUM = 0x6FFFFFF9, 0x6FFFFFFE, 0x6FFFFFFF


class NotPacked(Exception):
    """A library is left as it is; the text says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header, in the order of its fields."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    in_file: int
    in_memory: int
    alignment: int

    def to_bytes(self) -> bytes:
        """Return it as ELF lays it out."""
        return _PROGRAM.pack(
            self.kind, self.flags, self.offset, self.address,
            self.physical, self.in_file, self.in_memory, self.alignment,
        )  # fmt: skip


class Library:
    """The bytes of a shared library, read and written by the addresses that it is loaded at."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        if not content.startswith(b"\x7fELF\x02\x01"):
            raise NotPacked("it is no library of 64 bits")
        self.header = list(_HEADER.unpack_from(content))
        if self.header[1:3] != [_SHARED, _X86_64]:
            raise NotPacked("it is no library for x86-64")
        start, count = self.header[5], self.header[10]
        self.segments = [
            Segment(*_PROGRAM.unpack_from(content, start + _PROGRAM.size * n)) for n in range(count)
        ]
        (dynamic,) = (part for part in self.segments if part.kind == _DYNAMIC_PART)
        entries = _DYNAMIC.iter_unpack(content[dynamic.offset : dynamic.offset + dynamic.in_file])
        self._entries = list(takewhile(lambda entry: entry[0] != _NULL, entries))
        self.tags = dict(self._entries)  # of those that there is one of

    def at(self, address: int, size: int) -> int:
        """Return where in the file `size` bytes of an address lie."""
        for part in self.segments:
            if part.kind == _LOAD and part.address <= address <= part.address + part.in_file - size:
                return part.offset + address - part.address
        raise NotPacked("it relocates what is not in the file")

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes of an address."""
        place = self.at(address, size)
        return bytes(self.content[place : place + size])

    def write(self, address: int, content: bytes) -> None:
        """Put bytes at an address."""
        place = self.at(address, len(content))
        self.content[place : place + len(content)] = content

    def retagged(self, changes: dict[int, int]) -> bytes:
        """Return the dynamic section with tags changed and added."""
        kept = [(tag, changes.get(tag, value)) for tag, value in self._entries if tag != _RELACOUNT]
        kept += [(tag, value) for tag, value in changes.items() if tag not in self.tags]
        return b"".join(_DYNAMIC.pack(*entry) for entry in (*kept, (_NULL, 0)))

    def move_tags(self, address: int, size: int) -> None:
        """Say that the dynamic section is elsewhere, where nobody writes."""
        self.segments = [
            replace(
                part, flags=_READABLE, offset=self.at(address, size), address=address, physical=address,
                in_file=size, in_memory=size,
            )
            if part.kind == _DYNAMIC_PART
            else part
            for part in self.segments
        ]  # fmt: skip


def pack(content: bytes) -> bytes:
    """Return a library with its relative relocations packed. Raises NotPacked."""
    library = Library(content)
    if _RELR in library.tags or not {_RELA_TABLE, _RELASZ, _VERNEED} <= library.tags.keys():
        raise NotPacked("its relocations are packed already, or of another kind")
    table, size = library.tags[_RELA_TABLE], library.tags[_RELASZ]
    moved, others = {}, []
    for place, kind, addend in _RELA.iter_unpack(library.read(table, size)):
        if kind == _RELATIVE and place % _WORD == 0:
            moved[place] = addend
        else:
            others.append((place, kind, addend))
    if len(moved) * _RELA.size < LEAST_BYTES:
        raise NotPacked("it has few")
    for place, addend in moved.items():  # from now on the word itself says where it points to
        library.write(place, struct.pack("<q", addend))
    rest = b"".join(_RELA.pack(*each) for each in others)
    words = list(bitmaps(sorted(moved)))
    packed = struct.pack(f"<{len(words)}Q", *words)
    names = library.read(library.tags[_STRTAB], library.tags[_STRSZ]) + VERSION + b"\0"
    needs = _with_need(library, name=library.tags[_STRSZ])
    at_packed = table + len(rest)
    at_needs = at_packed + len(packed)
    at_tags = at_needs + len(needs)
    tags = {
        _RELASZ: len(rest), _RELR: at_packed, _RELRSZ: len(packed), _RELRENT: _WORD,
        _STRTAB: 0, _STRSZ: len(names), _VERNEED: at_needs,
    }  # fmt: skip
    at_names = at_tags + len(library.retagged(tags))
    dynamic = library.retagged(tags | {_STRTAB: at_names})
    new = rest + packed + needs + dynamic + names
    if len(new) > size:
        raise NotPacked("it would not become smaller")
    library.write(table, new)
    library.move_tags(at_tags, len(dynamic))
    begin, end = -(-(table + len(new)) // PAGE) * PAGE, (table + size) // PAGE * PAGE
    if begin >= end:
        raise NotPacked("it has no page to spare")
    return _closed(library, _split(library.segments, begin, end))


def bitmaps(places: list[int]) -> Iterator[int]:
    """Yield the words of DT_RELR for ascending addresses: one is even, and odd bitmaps of the 63 words after it."""
    n = 0
    while n < len(places):
        yield places[n]
        base, bits = places[n] + _WORD, 1
        n += 1
        while bits:
            bits = 0
            while n < len(places) and places[n] < base + 63 * _WORD:
                bits |= 2 << (places[n] - base) // _WORD
                n += 1
            if bits:
                yield bits | 1
            base += 63 * _WORD


def _with_need(library: Library, *, name: int) -> bytes:
    """Return the table of needed versions with VERSION of libc added; its name stands at `name` of the strings."""
    needs = list(_needs(library))
    number = max(fields[2] & 0x7FFF for _, versions in needs for fields in versions) + 1
    for file, versions in needs:
        if library.read(library.tags[_STRTAB] + file, len(_LIBC)) == _LIBC:
            versions.append((_hashed(VERSION), 0, number, name))
            break
    else:
        raise NotPacked("it needs no version of libc")
    table = b""
    for n, (file, versions) in enumerate(needs):
        size = _NEED.size + _VERSION.size * len(versions)
        table += _NEED.pack(1, len(versions), file, _NEED.size, size if n + 1 < len(needs) else 0)
        for m, fields in enumerate(versions):
            table += _VERSION.pack(*fields, _VERSION.size if m + 1 < len(versions) else 0)
    return table


def _needs(library: Library) -> Iterator[tuple[int, list[tuple[int, ...]]]]:
    """Yield what is needed of which library: the place of its name; hash, flags, number, name of each version."""
    at = library.tags[_VERNEED]
    for _ in range(library.tags[_VERNEEDNUM]):
        _, count, file, first, following = _NEED.unpack(library.read(at, _NEED.size))
        versions, one = [], at + first
        for _ in range(count):
            *fields, step = _VERSION.unpack(library.read(one, _VERSION.size))
            versions.append(tuple(fields))
            one += step
        yield file, versions
        at += following


def _hashed(name: bytes) -> int:
    """Hash of a name as the System V ABI has it."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def _split(segments: list[Segment], begin: int, end: int) -> list[Segment]:
    """Return as many segments, those to load in the order of addresses: a note becomes what is behind the range."""
    notes = [part for part in segments if part.kind == _NOTE]
    if not notes:
        raise NotPacked("it has no note to give up")
    (whole,) = (
        part
        for part in segments
        if part.kind == _LOAD and part.address <= begin < part.address + part.in_file
    )
    before, skipped = begin - whole.address, end - whole.address
    parts = [
        replace(whole, in_file=before, in_memory=before),
        replace(
            whole, offset=whole.offset + skipped, address=end, physical=end,
            in_file=whole.in_file - skipped, in_memory=whole.in_memory - skipped,
        ),
    ]  # fmt: skip
    others = [part for part in segments if part not in (whole, notes[0])]
    loaded = sorted([*parts, *(part for part in others if part.kind == _LOAD)], key=lambda part: part.address)
    ahead = [part for part in others if part.kind == _HEADERS]
    return [*ahead, *loaded, *(part for part in others if part.kind not in {_LOAD, _HEADERS})]


def _closed(library: Library, segments: list[Segment]) -> bytes:
    """Return the file without the pages that no segment loads, and without section headers."""
    loaded = sorted((part for part in segments if part.kind == _LOAD), key=lambda part: part.offset)
    gaps = []
    for before, after in pairwise(loaded):
        begin, end = -(-(before.offset + before.in_file) // PAGE) * PAGE, after.offset // PAGE * PAGE
        if begin < end:
            gaps.append((begin, end))

    def moved(place: int) -> int:
        return place - sum(end - begin for begin, end in gaps if end <= place)

    header = list(library.header)
    header[5:7], header[11:14] = (moved(header[5]), 0), (0, 0, 0)
    segments = [
        replace(part, offset=moved(part.offset), alignment=PAGE if part.kind == _LOAD else part.alignment)
        for part in segments
    ]
    edges = [0, *(edge for gap in gaps for edge in gap), loaded[-1].offset + loaded[-1].in_file]
    content = bytearray().join(
        library.content[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)
    )
    _HEADER.pack_into(content, 0, *header)
    table = b"".join(part.to_bytes() for part in segments)
    content[header[5] : header[5] + len(table)] = table
    return bytes(content)


def main(folder: Path) -> None:
    """Pack every library of a folder, and say what it gave."""
    before = after = 0
    for path in sorted(folder.rglob("*.so*")):
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        try:
            packed = pack(content)
        except NotPacked:
            continue
        path.write_bytes(packed)
        before, after = before + len(content), after + len(packed)
    sys.stdout.write(f"relocations packed: {before / 1e6:.0f} MB are {after / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
