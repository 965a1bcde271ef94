"""What a compressed frame says of itself, read without decoding it: its size, and whether anything was lost."""

import struct

from dras_model.imaging.dicom_walk import DamagedFile

_SIZ = b"\xff\x4f\xff\x51"  # opens a JPEG 2000 codestream (ITU-T T.800 A.5.1)
_BOXES = (
    b"\0\0\0\x0cjP  ",
    b"\r\n\x87\n",
)  # opens a file that holds one (T.800 I.5.1), the box's head left out
# Frame headers of JPEG and JPEG-LS (T.81 B.2.2, T.87 C.2.2); C4, C8 and CC are something else.
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_COD, _TRANSFORMATION_AT, _IRREVERSIBLE = b"\xff\x52", 13, 0  # coding style (T.800 A.6.1)
HEADER_BYTES = 4096  # of a stream; the headers that are looked for open it


def stream_size(frame: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) as the stream itself has them; None of RLE, which does not say.

    Raises DamagedFile for a JPEG or JPEG 2000 stream without them.
    """
    try:
        if (place := _codestream(frame)) >= 0:
            right, bottom, left, top = struct.unpack_from(">4L", frame, place + 8)
            return bottom - top, right - left
        if not frame.startswith(b"\xff\xd8"):
            return None
        place = 2
        while (marker := frame[place + 1]) not in _FRAME_HEADERS:
            # A fill byte (T.81 B.1.1.2) stands alone; every other segment before the frame has a length.
            place += 1 if marker == 0xFF else 2 + struct.unpack_from(">H", frame, place + 2)[0]
        rows, columns = struct.unpack_from(">2H", frame, place + 5)
    except (struct.error, IndexError) as fault:
        raise DamagedFile("a stream without its size") from fault
    return rows, columns


def is_irreversible(header: bytes) -> bool:
    """Whether a JPEG 2000 stream was made by the transformation that loses (T.800 A.6.1); false of all others."""
    place = _codestream(header)
    place = header.find(_COD, place) if place >= 0 else -1
    return (
        0 <= place < len(header) - _TRANSFORMATION_AT and header[place + _TRANSFORMATION_AT] == _IRREVERSIBLE
    )


def _codestream(frame: bytes) -> int:
    """Return where a JPEG 2000 codestream begins, -1 where there is none.

    It is looked for where a stream opens as one only: in JPEG-LS and RLE its four bytes turn up by chance, in about
    one of 2**30 places of JPEG-LS, where a study has 10**8.
    """
    if frame.startswith(_SIZ):
        return 0
    return frame.find(_SIZ) if frame.startswith(_BOXES) else -1
