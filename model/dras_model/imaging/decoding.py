"""The stored values of one file, frame by frame: native ones as they lie, compressed ones by one codec each.

Which codecs are installed must not change a voxel, so one is named per syntax (decision 0004). A codec believes
the header of its own stream; that is compared with the file's first, or a few bytes could ask for gigabytes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom._uid_dict import UID_dictionary
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dras_model.imaging.codestream import stream_size
from dras_model.imaging.dicom_file import DicomFile, open_dicom
from dras_model.imaging.dicom_walk import PIXEL_DATA, DamagedFile
from dras_model.imaging.slices import PARSE_FAULTS, Slice
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

Stored: TypeAlias = NDArray[np.integer]
CODECS: Mapping[str, str] = MappingProxyType(
    {
        JPEGLossless: "gdcm",
        JPEGLosslessSV1: "gdcm",
        JPEGLSLossless: "pyjpegls",
        JPEGLSNearLossless: "pyjpegls",
        JPEG2000Lossless: "pylibjpeg",
        JPEG2000: "pylibjpeg",
        HTJ2KLossless: "pylibjpeg",
        HTJ2KLosslessRPCL: "pylibjpeg",
        HTJ2K: "pylibjpeg",
        RLELossless: "pydicom",
    }
)
_BYTES = 2  # of a stored value; `pixels.check_format` has seen to it
_OVERLAY_GROUPS, _OVERLAY_BIT_POSITION = range(0x6000, 0x6020, 2), 0x0102


@contextmanager
def open_pixels(path: Path) -> Iterator[Callable[[Slice], Stored]]:
    """Yield what returns the stored values (rows, columns) of a slice of the file.

    Raises StudyRefused: TRUNCATED, MALFORMED, PIXEL_FORMAT, UNDECODABLE, READER_LIMIT.
    """
    try:
        with open_dicom(path) as file:
            yield _reader(file)
    except DamagedFile as fault:
        raise StudyRefused(Code.TRUNCATED if fault.truncated else Code.MALFORMED, n_files=1) from fault


def _reader(file: DicomFile | None) -> Callable[[Slice], Stored]:
    if file is None or PIXEL_DATA not in file.elements:
        raise DamagedFile("changed while it was read", truncated=True)
    return _native(file) if file.elements[PIXEL_DATA].fragments is None else _encapsulated(file)


def _native(file: DicomFile) -> Callable[[Slice], Stored]:
    pixels = file.elements[PIXEL_DATA]
    order = ">" if file.encoding.big else "<"
    has_overlay = any(
        tag & 0xFFFF == _OVERLAY_BIT_POSITION and tag >> 16 in _OVERLAY_GROUPS for tag in file.elements
    )

    def stored(item: Slice) -> Stored:
        size = item.rows * item.columns * _BYTES
        if pixels.length < size * item.n_frames:
            raise DamagedFile("fewer pixels than rows and columns", truncated=True)
        if pixels.length >= size * item.n_frames + item.columns * _BYTES:
            raise StudyRefused(
                Code.PIXEL_FORMAT,
                keyword="The length of PixelData",
                found=pixels.length,
                allowed=size * item.n_frames,
            )
        start = pixels.start + item.frame * size
        content = file.content[start : start + size]
        values = np.frombuffer(content, f"{order}{'i' if item.signed else 'u'}{_BYTES}")
        values = values.reshape(item.rows, item.columns)
        return _without_overlay(values, item) if has_overlay else values

    return stored


def _without_overlay(values: Stored, item: Slice) -> Stored:
    """Drop the bits above BitsStored, where old files keep writing (PS3.3 C.9.2, retired in 2004)."""
    unused = 8 * _BYTES - item.bits_stored
    native = values.astype(values.dtype.newbyteorder("="))
    return np.right_shift(np.left_shift(native, unused), unused)


def _encapsulated(file: DicomFile) -> Callable[[Slice], Stored]:
    places: list[list[tuple[int, int]]] = []

    def stored(item: Slice) -> Stored:
        if not places:
            places.extend(file.frames(item.n_frames))
        frame = b"".join(file.content[start : start + length] for start, length in places[item.frame])
        found = stream_size(frame)
        if found not in (None, (item.rows, item.columns)):
            raise StudyRefused(
                Code.PIXEL_FORMAT,
                keyword="Rows and Columns of the compressed stream",
                found=str(found),
                allowed=str((item.rows, item.columns)),
            )
        try:
            return _decode(frame, file.syntax, item)
        except (*PARSE_FAULTS, RuntimeError) as fault:
            name = UID(file.syntax).name if file.syntax in UID_dictionary else "unknown"
            raise StudyRefused(Code.UNDECODABLE, n_files=1, syntax=name) from fault

    return stored


def _decode(frame: bytes, syntax: str, item: Slice) -> Stored:
    if syntax not in CODECS:
        raise NotImplementedError("no codec for this syntax")
    options: dict[str, Any] = {
        "number_of_frames": 1,
        "rows": item.rows,
        "columns": item.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 8 * _BYTES,
        "bits_stored": item.bits_stored,
        "pixel_representation": int(item.signed),
        "pixel_keyword": "PixelData",
    }
    values, _ = get_decoder(UID(syntax)).as_array(
        encapsulate([frame]), index=0, raw=True, decoding_plugin=CODECS[syntax], **options
    )
    return values
