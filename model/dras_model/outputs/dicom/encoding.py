"""Items of sequences as bytes: what many frames have in common is encoded once.

pydicom encodes a thousand frames' functional groups in half a second, element by element, though most of each
is the same. It writes an element that it holds as bytes as it is, when the data set around it says that it
was read in the syntax it is written in. Explicit VR Little Endian only; leaves out text, whose bytes depend
on a character set.
"""

import struct
from collections.abc import Iterable

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import BaseTag

_ITEM = struct.Struct("<HHL")
_SEQUENCE = struct.Struct("<HH2s2xL")
_UNSIGNED_LONGS = struct.Struct("<HH2sH")


def encoded(dataset: Dataset) -> bytes:
    """Return the elements of a data set without text (PS3.5 7.1.2)."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def sequence(tag: int, *items: bytes) -> bytes:
    """Return a sequence of items, which are elements already encoded in the order of their tags (PS3.5 7.5)."""
    value = _items(items)
    return _SEQUENCE.pack(tag >> 16, tag & 0xFFFF, b"SQ", len(value)) + value


def unsigned_longs(tag: int, *values: int) -> bytes:
    """Return an element of VR UL."""
    head = _UNSIGNED_LONGS.pack(tag >> 16, tag & 0xFFFF, b"UL", 4 * len(values))
    return head + struct.pack(f"<{len(values)}L", *values)


def put_sequence(dataset: Dataset, tag: int, items: Iterable[bytes]) -> None:
    """Put a sequence into the root data set of a file that is to be written in this syntax."""
    value = _items(items)
    dataset[tag] = RawDataElement(BaseTag(tag), "SQ", len(value), value, 0, False, True)
    dataset.set_original_encoding(False, True, convert_encodings(dataset.SpecificCharacterSet))


def _items(items: Iterable[bytes]) -> bytes:
    return b"".join(part for item in items for part in (_ITEM.pack(0xFFFE, 0xE000, len(item)), item))
