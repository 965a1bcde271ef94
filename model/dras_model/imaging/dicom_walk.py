"""Every length of a DICOM data set is followed to the end of the file, and no value is looked at (PS3.5 7).

pydicom takes a value that is cut short as it is, and follows nested sequences until the interpreter gives up.
Here a length that leads beyond the file is a cut file, and one that contradicts its surroundings a malformed one.
"""

from dataclasses import dataclass
from mmap import mmap
from struct import Struct, error
from typing import TypeAlias

from pydicom.datadict import dictionary_has_tag, dictionary_VR

Content: TypeAlias = bytes | mmap

PIXEL_DATA = 0x7FE00010
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_STRUCTURE = 0xFFFE  # group of the three
UNDEFINED = 0xFFFFFFFF
MOST_DEPTH = 32  # of sequences in sequences; the deepest of the standard have 7
MOST_FRAGMENTS = 1 << 20
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL",
     b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)  # fmt: skip
KNOWN_VRS = _LONG_VRS | _SHORT_VRS


class DamagedFile(Exception):
    """A file that is empty, cannot be read, or says that it is DICOM and is not whole."""

    def __init__(self, why: str, *, truncated: bool = False) -> None:
        super().__init__(why)
        self.truncated = truncated


@dataclass(frozen=True, slots=True)
class Element:
    """Where a value lies: `length` bytes from `start` on. Of encapsulated pixels, where each fragment does."""

    start: int
    length: int
    fragments: tuple[tuple[int, int], ...] | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written (PS3.5 7.1): with or without their VR, and in which byte order."""

    implicit: bool
    big: bool


def walk(content: Content, start: int, encoding: Encoding) -> dict[int, Element]:
    """Return the elements of the top level by tag. Raises DamagedFile."""
    try:
        return _Walk(content, encoding.big).top(start, encoding.implicit)
    except error as fault:  # fewer bytes than the head of an element has
        raise DamagedFile("cut short in the head of an element", truncated=True) from fault


def looks_implicit(content: Content, start: int) -> bool:
    """Whether the element at `start` has no VR."""
    return content[start + 4 : start + 6] not in KNOWN_VRS


class _Walk:
    """One pass over a data set; the byte order is that of the whole file."""

    def __init__(self, content: Content, big: bool) -> None:
        order = ">" if big else "<"
        self.content = content
        self.size = len(content)
        self.tag = Struct(f"{order}HH")
        self.short = Struct(f"{order}H")
        self.long = Struct(f"{order}L")

    def top(self, place: int, implicit: bool) -> dict[int, Element]:
        found: dict[int, Element] = {}
        while place < self.size:
            if PIXEL_DATA in found and self.zeros(place):
                break  # filled up to the size of a block
            tag, element, place = self.element(place, self.size, implicit, depth=0)
            found.setdefault(tag, element)
        return found

    def element(self, place: int, end: int, implicit: bool, *, depth: int) -> tuple[int, Element, int]:
        """Return the tag, the value's place, and where the next element begins."""
        group, number = self.tag.unpack_from(self.content, place)
        tag = group << 16 | number
        if group == _STRUCTURE:
            raise DamagedFile("a delimiter without what it ends")
        vr = b"" if implicit else self.content[place + 4 : place + 6]
        if not (vr.isalpha() and vr.isupper()):  # some writers change to implicit VR within a data set
            vr, length, start = b"", self.long.unpack_from(self.content, place + 4)[0], place + 8
        elif vr in _LONG_VRS:
            length, start = self.long.unpack_from(self.content, place + 8)[0], place + 12
        else:
            length, start = self.short.unpack_from(self.content, place + 6)[0], place + 8
        if length != UNDEFINED:
            after = self.within(start, length, end)
            if self.holds_items(tag, vr, start, length):
                self.sequence(start, after, implicit, depth=depth + 1)
            return tag, Element(start, length), after
        if tag == PIXEL_DATA or vr in _LONG_VRS - {b"SQ", b"UN"}:
            fragments, after = self.fragments(start)
            return tag, Element(start, after - 8 - start, fragments), after
        return tag, Element(start, UNDEFINED), self.sequence(start, None, implicit, depth=depth + 1)

    def holds_items(self, tag: int, vr: bytes, start: int, length: int) -> bool:
        if vr:
            return vr == b"SQ" and length > 0
        if length < 8 or self.read_tag(start) != ITEM:
            return False
        return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"

    def sequence(self, place: int, end: int | None, implicit: bool, *, depth: int) -> int:
        """Follow items up to `end`, or to the delimiter where the length is undefined."""
        if depth > MOST_DEPTH:
            raise DamagedFile("sequences nested too deep")
        while end is None or place < end:
            tag, length = self.read_tag(place), self.long.unpack_from(self.content, place + 4)[0]
            place += 8
            if tag == SEQUENCE_END and end is None:
                return place
            if tag != ITEM:
                raise DamagedFile("something else than an item in a sequence")
            if length == UNDEFINED:
                place = self.item(place, None, implicit, depth=depth)
            else:
                place = self.item(place, self.within(place, length, end), implicit, depth=depth)
        return place

    def item(self, place: int, end: int | None, implicit: bool, *, depth: int) -> int:
        """Follow an item's elements up to `end`, or to the delimiter where the length is undefined."""
        limit = self.size if end is None else end
        while end is None or place < end:
            if end is None and self.read_tag(place) == ITEM_END:
                return place + 8
            _, _, place = self.element(place, limit, implicit, depth=depth)
        return place

    def fragments(self, place: int) -> tuple[tuple[tuple[int, int], ...], int]:
        """Return where each fragment of encapsulated pixels lies (PS3.5 A.4), and where they end."""
        found: list[tuple[int, int]] = []
        while True:
            tag, length = self.read_tag(place), self.long.unpack_from(self.content, place + 4)[0]
            place += 8
            if tag == SEQUENCE_END:
                return tuple(found), place
            if tag != ITEM or length == UNDEFINED:
                raise DamagedFile("something else than a fragment among the pixels")
            if len(found) == MOST_FRAGMENTS:
                raise DamagedFile("too many fragments")
            found.append((place, length))
            place = self.within(place, length, None)

    def zeros(self, place: int) -> bool:
        if any(self.content[place : place + 8]):  # or the rest is copied for each element of many
            return False
        rest = self.content[place:]
        return rest.count(0) == len(rest)

    def read_tag(self, place: int) -> int:
        group, number = self.tag.unpack_from(self.content, place)
        return int(group << 16 | number)

    def within(self, start: int, length: int, end: int | None) -> int:
        """Return where a value ends, which is within the file and whatever holds it (PS3.5 7.1.1: even)."""
        after = start + length
        if after > self.size:
            raise DamagedFile("cut short, or a length beyond the file", truncated=True)
        if length % 2:
            raise DamagedFile("a value of odd length")
        if end is not None and after > end:
            raise DamagedFile("a value longer than what holds it")
        return after
