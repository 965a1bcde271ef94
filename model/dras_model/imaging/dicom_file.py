"""The bytes of one DICOM file, proven whole: preamble, meta group, and every length to the end of the file.

A deflated file is inflated under a limit, of which pydicom has none. A file without preamble or meta group is
let in where its first elements leave no doubt (PS3.10 7). What the attributes say is the business of `slices`.
"""

import mmap
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_has_tag
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from dras_model.imaging.dicom_walk import (
    KNOWN_VRS,
    PIXEL_DATA,
    Content,
    DamagedFile,
    Element,
    Encoding,
    looks_implicit,
    walk,
)
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
MAGIC_AT, MAGIC = 128, b"DICM"  # PS3.10 7.1
# What a system would run, were the file taken for a program: Windows, Linux, macOS, a script.
EXECUTABLE = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"#!")
MOST_INFLATED = 512 << 20  # bytes of one deflated file; a slice of 2048 x 2048 has 8 MB
EXECUTABLE_PREAMBLE = "an executable preamble"
_META_CLASS, _META_SYNTAX = 0x0002, 0x0010
_LONG_IN_META = (b"OB", b"UN")
_SURE_AFTER = 3  # elements in order, each one known, make a file DICOM without its magic


@dataclass(frozen=True, slots=True, eq=False)
class DicomFile:
    """An open file: its data set lies in `content` from `start` on, inflated where it was deflated.

    `syntax` is the transfer syntax, the one that fits where none is named; `oddities` name what departs
    from PS3.10 and was read all the same. `elements` are those of the top level by tag.
    """

    content: Content
    start: int
    encoding: Encoding
    syntax: str
    media_class: str
    oddities: frozenset[str]
    elements: dict[int, Element]

    def frames(self, n_frames: int) -> list[list[tuple[int, int]]]:
        """Return where the fragments of each frame lie, and how long they are (PS3.5 A.4). Raises DamagedFile.

        Fragments are one frame, or one each, or begin where the offset table says.
        """
        pixels = self.elements.get(PIXEL_DATA)
        if pixels is None or not pixels.fragments:
            raise DamagedFile("no pixels", truncated=True)
        (table_at, table_length), *fragments = pixels.fragments
        if n_frames == 1 and fragments:
            return [fragments]
        if len(fragments) == n_frames:
            return [[fragment] for fragment in fragments]
        table = np.frombuffer(self.content, "<u4", table_length // 4, table_at).tolist()
        first = table_at + table_length
        places = {start - 8 - first: number for number, (start, _) in enumerate(fragments)}
        if len(table) != n_frames or not places.keys() >= set(table):
            raise DamagedFile("fragments that belong to no frame")
        cuts = [places[offset] for offset in table] + [len(fragments)]
        return [fragments[a:b] for a, b in pairwise(cuts)]


@contextmanager
def open_dicom(path: Path) -> Iterator[DicomFile | None]:
    """Yield the file, None where it is no DICOM.

    Raises DamagedFile, also where the file cannot be read; StudyRefused READER_LIMIT.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise DamagedFile("empty")
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as fault:
        raise DamagedFile("unreadable") from fault
    with content:
        yield _parse(content)


def _parse(content: Content) -> DicomFile | None:
    oddities = set()
    start = MAGIC_AT + len(MAGIC)
    if content[MAGIC_AT:start] != MAGIC:
        if not _opens_like_dicom(content):
            return None
        start = 0
        oddities.add("no preamble")
    elif content[:4].startswith(EXECUTABLE):
        oddities.add(EXECUTABLE_PREAMBLE)
    meta, start = _read_meta(content, start)
    syntax, media_class = meta.get(_META_SYNTAX, ""), meta.get(_META_CLASS, "")
    if not syntax:
        oddities.add("no transfer syntax" if meta else "no meta group")
    try:
        body: Content = content
        if syntax == DeflatedExplicitVRLittleEndian:
            body, start = _inflate(content, start), 0
        encoding = _encoding(body, start, syntax)
        elements = walk(body, start, encoding)
    except DamagedFile:
        if media_class in UID_dictionary and media_class not in CT_CLASSES:
            return None  # a report or a picture that nobody here wants
        raise
    if syntax and start < len(body) and encoding.implicit != (syntax == ImplicitVRLittleEndian):
        oddities.add("another encoding than its transfer syntax")
    return DicomFile(
        body, start, encoding, syntax or _syntax_of(encoding), media_class, frozenset(oddities), elements
    )


def _read_meta(content: Content, place: int) -> tuple[dict[int, str], int]:
    """Return the values of group 0002 as text, by element, and where the data set begins (PS3.10 7.1)."""
    found: dict[int, str] = {}
    while content[place : place + 2] == b"\x02\0":
        number = int.from_bytes(content[place + 2 : place + 4], "little")
        if content[place + 4 : place + 6] in _LONG_IN_META:
            length, start = int.from_bytes(content[place + 8 : place + 12], "little"), place + 12
        else:
            length, start = int.from_bytes(content[place + 6 : place + 8], "little"), place + 8
        place = start + length
        if place > len(content):
            raise DamagedFile("cut short in the meta group", truncated=True)
        found[number] = content[start:place].decode("ascii", "replace").strip(" \0")
    return found, place


def _inflate(content: Content, start: int) -> bytes:
    """Inflate a data set (PS3.5 A.5) up to a limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(content[start:], MOST_INFLATED)
    except zlib.error as fault:
        raise DamagedFile("damaged deflated data") from fault
    if inflater.eof:
        return body
    if len(body) >= MOST_INFLATED:
        raise StudyRefused(Code.READER_LIMIT, what="memory")
    raise DamagedFile("cut short in deflated data", truncated=True)


def _encoding(content: Content, start: int, syntax: str) -> Encoding:
    """Return how the data set is written, by its syntax and, that being often wrong, by its first element."""
    big = syntax == ExplicitVRBigEndian or (not syntax and content[start : start + 2] == b"\0\x08")
    return Encoding(implicit=looks_implicit(content, start), big=big)


def _syntax_of(encoding: Encoding) -> str:
    if encoding.big:
        return ExplicitVRBigEndian
    return ImplicitVRLittleEndian if encoding.implicit else ExplicitVRLittleEndian


def _opens_like_dicom(content: Content) -> bool:
    """Whether a file without the magic begins with known elements in order: groups 0002, 0008 and on."""
    place, last = 0, 0
    big = content[:2] == b"\0\x08"
    for _ in range(_SURE_AFTER):
        head = content[place : place + 8]
        order: Literal["big", "little"] = "big" if big else "little"
        tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
        if len(head) < 8 or tag <= last or not dictionary_has_tag(tag) or tag >> 16 > 0x0010:
            return False
        short = head[4:6] in KNOWN_VRS
        length = int.from_bytes(head[6:8] if short else head[4:8], order)
        place, last = place + 8 + length, tag
        if length > 1 << 16:
            return False
    return True
