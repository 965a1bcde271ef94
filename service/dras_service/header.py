"""The few values of a DICOM file that decide where it goes, read without a DICOM library.

Whoever takes files in (gateway, listener) must know study and image before anything else is done with them, and
decodes nothing: bytes from outside are parsed in full only by the confined reader of a worker. This walk looks at
the top level alone, skips every sequence by its length or delimiters, and stops before the pixels or after a
megabyte. Explicit and implicit VR, both byte orders, deflated (PS3.5 7.1, A.5; PS3.10 7.1).
"""

import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

MOST_BYTES = 1 << 20
SOP_CLASS, SOP_INSTANCE = 0x00080016, 0x00080018
STUDY, SERIES = 0x0020000D, 0x0020000E
PATIENT_ID = 0x00100020
STUDY_DATE = 0x00080020
SERIES_NUMBER, INSTANCE_NUMBER = 0x00200011, 0x00200013
TAGS: Mapping[str, int] = MappingProxyType(
    {
        "Modality": 0x00080060,
        "Manufacturer": 0x00080070,
        "InstitutionName": 0x00080080,
        "StationName": 0x00081010,
        "StudyDescription": 0x00081030,
        "SeriesDescription": 0x0008103E,
        "ManufacturerModelName": 0x00081090,
        "BodyPartExamined": 0x00180015,
        "ProtocolName": 0x00181030,
    }
)
_WANTED = frozenset(
    {SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, PATIENT_ID, STUDY_DATE, SERIES_NUMBER, INSTANCE_NUMBER}
    | set(TAGS.values())
)
_LAST = max(_WANTED)
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_DEFLATED, _BIG, _IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"
_MOST_DEPTH = 32


class NotDicom(ValueError):
    """A file without the form of DICOM, or that is cut short before what is looked for."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself. Text is what the bytes are in ASCII; other characters are replaced."""

    transfer_syntax: str
    values: Mapping[int, str]

    def __getitem__(self, tag: int) -> str:
        """Return a value, empty where there is none."""
        return self.values.get(tag, "")

    def text(self, keyword: str) -> str:
        """Return the value of a keyword of TAGS."""
        return self[TAGS[keyword]]


def read_header(path: Path) -> Header:
    """Read the header of a file in the form of PS3.10. Raises NotDicom, OSError."""
    with path.open("rb") as file:
        return parse_header(file.read(MOST_BYTES))


def parse_header(content: bytes) -> Header:
    """Read the header of the first bytes of a file. Raises NotDicom."""
    if content[128:132] != b"DICM":
        raise NotDicom("no DICOM file")
    try:
        meta, start = _meta(content)
        syntax = meta.get(0x00020010, "")
        body = content[start:]
        if syntax == _DEFLATED:
            body = zlib.decompressobj(-zlib.MAX_WBITS).decompress(body, MOST_BYTES)
        return Header(syntax, _Walk(body, syntax).values(_WANTED))
    except (struct.error, zlib.error) as error:
        raise NotDicom("cut short") from error


def is_uid(text: str) -> bool:
    """Whether a text has the form of a UID (PS3.5 9.1), leading zeros let pass as many systems write them."""
    return 0 < len(text) <= 64 and all(part.isascii() and part.isdigit() for part in text.split("."))


def _meta(content: bytes) -> tuple[dict[int, str], int]:
    """Return the file meta group, explicit VR little endian always, and where it ends."""
    walk = _Walk(content, "", start=132)
    found: dict[int, str] = {}
    end = 132
    for tag, value, after in walk.elements():
        if tag >> 16 != 0x0002:
            break
        found[tag], end = _text(value), after
    return found, end


class _Walk:
    """One pass over a top level."""

    def __init__(self, content: bytes, syntax: str, *, start: int = 0) -> None:
        self._content = content
        self._implicit = syntax == _IMPLICIT
        order = ">" if syntax == _BIG else "<"
        self._tag = struct.Struct(f"{order}HH")
        self._short = struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}L")
        self._start = start

    def values(self, wanted: Collection[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        try:
            for tag, value, _ in self.elements():
                if tag > _LAST:
                    break
                if tag in wanted:
                    found.setdefault(tag, _text(value))
        except (struct.error, NotDicom):
            if not {SOP_INSTANCE, STUDY} <= found.keys():
                raise
        return found

    def elements(self) -> Iterator[tuple[int, bytes, int]]:
        """Yield tag, value and the place behind it; the value of a sequence is empty."""
        place = self._start
        while place + 8 <= len(self._content):
            tag, length, start, is_sequence = self._head(place)
            if length == _UNDEFINED:
                if tag == 0x7FE00010:
                    return
                place = self._skip(start, depth=0)
                yield tag, b"", place
                continue
            place = start + length
            if place > len(self._content) and tag <= _LAST:
                raise NotDicom("cut short")
            yield tag, b"" if is_sequence else self._content[start:place], place

    def _head(self, place: int) -> tuple[int, int, int, bool]:
        group, number = self._tag.unpack_from(self._content, place)
        tag = group << 16 | number
        vr = self._content[place + 4 : place + 6]
        if self._implicit or tag in (_ITEM, _ITEM_END, _SEQUENCE_END) or not (vr.isalpha() and vr.isupper()):
            return tag, self._long.unpack_from(self._content, place + 4)[0], place + 8, False
        if vr in _LONG:
            return tag, self._long.unpack_from(self._content, place + 8)[0], place + 12, vr == b"SQ"
        return tag, self._short.unpack_from(self._content, place + 6)[0], place + 8, False

    def _skip(self, place: int, *, depth: int) -> int:
        """Return the place behind a sequence, or an item, of undefined length."""
        if depth > _MOST_DEPTH:
            raise NotDicom("nested too deep")
        while place + 8 <= len(self._content):
            tag, length, start, _ = self._head(place)
            if tag in (_SEQUENCE_END, _ITEM_END):
                return start
            place = self._skip(start, depth=depth + 1) if length == _UNDEFINED else start + length
        raise NotDicom("cut short")


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")
