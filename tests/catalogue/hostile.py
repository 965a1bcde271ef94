"""Files made to harm who reads them."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pydicom
from pydicom.encaps import encapsulate

from catalogue.inputs import Make
from dras_model.imaging.dicom_file import MOST_INFLATED
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series


def deflate_bomb(content: bytes) -> bytes:
    """Let the data set inflate to more than any slice has: full flushes can be repeated."""
    end = 132 + 12 + struct.unpack_from("<L", content, 140)[0]
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    opening = packer.compress(b"\x09\0\x10\0OB\0\0" + struct.pack("<L", 1 << 31)) + packer.flush(
        zlib.Z_FULL_FLUSH
    )
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return content[:end] + opening + block * ((MOST_INFLATED >> 20) + 8) + packer.flush()


def with_stream(edit: Callable[[bytes], bytes], syntax: str) -> Make:
    """A series with one compressed stream changed, the file around it being whole."""

    def make(phantom: Phantom, folder: Path) -> None:
        path = write_series(phantom.volume, folder, SeriesOptions(transfer_syntax=syntax))[5]
        dataset = pydicom.dcmread(path)
        frame = pydicom.encaps.get_frame(dataset.PixelData, 0, number_of_frames=1)
        changed = edit(frame)
        dataset.PixelData = encapsulate([changed + bytes(len(changed) % 2)])
        dataset.save_as(path)

    return make


def without_huffman_table(frame: bytes) -> bytes:
    """Make a JPEG lossless stream at which GDCM calls abort(): its table's marker becomes another one."""
    return frame.replace(b"\xff\xc4", b"\xff\xd0", 1)
