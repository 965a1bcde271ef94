"""De-identification at the door: of a CT image only what is listed here stays (PS3.15 Annex E, Basic Profile).

A list of what is kept, where the profile lists what goes: an attribute nobody has thought of is gone. Elements are
copied as bytes, pixels are not looked at; UIDs, patient and device are replaced by salted digests, so that images
of one series, study and patient stay together and nothing leads back without this installation's salt. Sequences,
private attributes, dates, descriptions and free text go. Enhanced images keep their geometry in sequences and are
refused. Text burned into pixels is not seen; an image that says it has some is refused by the reader.
"""

import hashlib
import hmac
import struct
import uuid
from pathlib import Path
from typing import BinaryIO

from dras_model.imaging.dicom_file import DicomFile, open_dicom
from dras_model.imaging.dicom_walk import DamagedFile, Element, Encoding
from dras_model.results.errors import StudyRefused
from dras_service.header import Header, NotDicom, read_header

METHOD = "dras: PS3.15 Basic Profile by a list of what is kept"
_PIXELS = 0x7FE00010
_INSTANCE = 0x00080018
_CONTRAST = 0x00180010
# Of a UUID made of the name of this program (PS3.5 B.2).
IMPLEMENTATION = f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, 'dras').int}"
_UID_TAGS = frozenset((0x00080018, 0x0020000D, 0x0020000E, 0x00200052))
# What a result rests on (docs/dicom-conformance.md, Attributes), and what makes the file an image.
KEPT = frozenset(
    (
        0x00080008, 0x00080016, 0x00080060, 0x00080070, 0x00081090, 0x00180022, 0x00180050,
        0x00180060, 0x00181120, 0x00181150, 0x00181151, 0x00181152, 0x00181160, 0x00181210, 0x00185100,
        0x00189345, 0x00189315, 0x00200011, 0x00200012, 0x00200013, 0x00200032, 0x00200037, 0x00200100,
        0x00201040, 0x00280002, 0x00280004, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101,
        0x00280102, 0x00280103, 0x00280120, 0x00280121, 0x00280301, 0x00281052, 0x00281053, 0x00281054,
        0x00282110, _PIXELS,
    )
)  # fmt: skip
_CT = "1.2.840.10008.5.1.4.1.1.2"
_EXPLICIT, _DEFLATED = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
_LONG_VRS = (b"OB", b"OW", b"OF", b"UN", b"UT", b"UC", b"UR")
_REPLACED = dict.fromkeys(_UID_TAGS, b"UI") | {0x00100010: b"PN", 0x00100020: b"LO", 0x00181000: b"LO"}
_SAID = {0x00120062: (b"CS", b"YES"), 0x00120063: (b"LO", METHOD.encode())}
# Type 2 of the modules of patient and study (PS3.3 C.7): there, and empty.
_EMPTY = {0x00080020: b"DA", 0x00080030: b"TM", 0x00080050: b"SH", 0x00080090: b"PN", 0x00100030: b"DA",
          0x00100040: b"CS", 0x00200010: b"SH"}  # fmt: skip


class Deidentifier:
    """Rewrites images under the salt of one installation."""

    def __init__(self, salt: bytes) -> None:
        self._salt = salt

    def rewrite(self, path: Path) -> Header:
        """Replace a file by what of it may stay; return its header. Raises NotDicom, OSError."""
        fresh = path.with_suffix(".fresh")
        try:
            with open_dicom(path) as file:
                if file is None or file.media_class != _CT:
                    raise NotDicom("no image that can be de-identified")
                with fresh.open("wb") as out:
                    self._write(out, file)
            fresh.replace(path)
        except (DamagedFile, StudyRefused) as error:
            raise NotDicom("damaged") from error
        finally:
            fresh.unlink(missing_ok=True)
        return read_header(path)

    def _write(self, out: BinaryIO, file: DicomFile) -> None:
        encoding = file.encoding
        written = {tag: _element(encoding, tag, vr, b"") for tag, vr in _EMPTY.items()}
        written |= {tag: _element(encoding, tag, vr, value) for tag, (vr, value) in _SAID.items()}
        for tag, element in file.elements.items():
            if tag in _REPLACED:
                value = bytes(file.content[element.start : element.start + element.length]).strip(b" \0")
                written[tag] = _element(encoding, tag, _REPLACED[tag], self._stand_in(tag, value))
            elif tag == _CONTRAST and element.length:
                written[tag] = _element(
                    encoding, tag, b"LO", b"CONTRAST"
                )  # free text, of which the score needs no more
            elif tag in KEPT:
                written[tag] = _copied(file, tag, element)
        syntax = _EXPLICIT if file.syntax == _DEFLATED else file.syntax
        instance = self._stand_in(_INSTANCE, file.content[slice(*_place(file, _INSTANCE))].strip(b" \0"))
        out.write(_meta(syntax, instance))
        for tag in sorted(written):
            out.write(written[tag])

    def _stand_in(self, tag: int, value: bytes) -> bytes:
        """Return what stands for an identifying value: of one value always the same."""
        if not value:
            return b""
        kind = b"uid" if tag in _UID_TAGS else b"person" if tag >> 16 == 0x0010 else b"device"
        digest = hmac.new(self._salt, kind + b"\0" + value, hashlib.sha256)
        if tag in _UID_TAGS:
            return f"2.25.{uuid.UUID(bytes=digest.digest()[:16], version=5).int}".encode()
        return digest.hexdigest()[:16].encode()


def _place(file: DicomFile, tag: int) -> tuple[int, int]:
    element = file.elements.get(tag)
    if element is None:
        raise NotDicom("no SOP Instance UID")
    return element.start, element.start + element.length


def _copied(file: DicomFile, tag: int, element: Element) -> bytes:
    """Return an element with its head as it stands; one of undefined length with the delimiter behind it."""
    head = element.start - 8
    order = ">" if file.encoding.big else "<"
    named = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    long_head = element.start - 12
    is_long = not file.encoding.implicit and file.content[long_head + 4 : long_head + 6] in _LONG_VRS
    if is_long and file.content[long_head : long_head + 4] == named:
        head = long_head
    end = element.start + element.length + (0 if element.fragments is None else 8)
    return bytes(file.content[head:end])


def _element(encoding: Encoding, tag: int, vr: bytes, value: bytes) -> bytes:
    """Return a short element of text (PS3.5 7.1)."""
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    order = ">" if encoding.big else "<"
    head = struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)
    if encoding.implicit:
        return head + struct.pack(f"{order}L", len(value)) + value
    return head + vr + struct.pack(f"{order}H", len(value)) + value


def _meta(syntax: str, instance: bytes) -> bytes:
    """Return preamble and file meta group (PS3.10 7.1)."""
    plain = Encoding(implicit=False, big=False)
    group = b"".join(
        (
            struct.pack("<HH2s2xL2s", 0x0002, 0x0001, b"OB", 2, b"\0\1"),
            _element(plain, 0x00020002, b"UI", _CT.encode()),
            _element(plain, 0x00020003, b"UI", instance),
            _element(plain, 0x00020010, b"UI", syntax.encode()),
            _element(plain, 0x00020012, b"UI", IMPLEMENTATION.encode()),
        )
    )
    length = struct.pack("<HH2sHL", 0x0002, 0x0000, b"UL", 4, len(group))
    return b"\0" * 128 + b"DICM" + length + group
