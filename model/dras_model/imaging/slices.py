"""One DICOM file becomes its slices: what the header says, checked, without the pixels.

A classic CT object holds one slice, an enhanced one (PS3.3 A.38) as many as it has frames; behind
this module both look the same. Patient data is not read into a `Slice`, but for a digest that tells
whether two files name the same patient.
"""

import hashlib
import math
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pydicom.config
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
)

from dras_model.results.study import Acquisition

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_ENHANCED = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
# Syntaxes that are lossy whatever the header says; JPEG 2000 (.91) and HTJ2K may be either.
_LOSSY_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless})
MOST_FRAMES = 10_000
# What pydicom is known to raise on damaged bytes; its own errors do not cover them.
PARSE_FAULTS = (
    EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError, RecursionError,
    OverflowError, MemoryError, struct.error, zlib.error, BytesLengthException,
)  # fmt: skip

Vector = NDArray[np.float64]


class DamagedFile(Exception):
    """A file that is empty, cannot be read, or says that it is DICOM and is not whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One axial image: where it lies and how its stored values become HU.

    `position`, `row` and `column` are (3,) LPS as in PS3.3 C.7.6.2, None where missing or no numbers;
    `spacing_mm` is (between rows, between columns). `slope` is None where the rescale is missing.
    `n_frames` is what the file declares, `n_described` what its functional groups describe.
    """

    path: Path
    frame: int
    uid: str
    series_uid: str
    patient_key: str
    modality: str
    image_type: tuple[str, ...]
    acquisition_key: str
    rows: int
    columns: int
    n_frames: int
    n_described: int
    position: Vector | None
    row: Vector | None
    column: Vector | None
    spacing_mm: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    rescale_type: str
    padding: tuple[int, int] | None
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    samples_per_pixel: int
    lossy: bool
    is_ct: bool
    acquisition: Acquisition


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom from warning of odd values (character sets, UIDs): it would quote them, in logs too.

    For the thread that starts others: both settings belong to the whole process.
    """
    settings = pydicom.config.settings
    before = settings.reading_validation_mode
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings.reading_validation_mode = pydicom.config.IGNORE
        try:
            yield
        finally:
            settings.reading_validation_mode = before


def is_dicom(path: Path) -> bool:
    """Whether a file says by its magic that it is DICOM (PS3.10 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_slices(path: Path) -> list[Slice]:
    """Read the header of one file; empty where it is no DICOM image. Raises DamagedFile."""
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DamagedFile("empty")
            file.seek(0)
            dataset = pydicom.dcmread(file, stop_before_pixels=True)
            # Reading stops in front of the pixel data; a deflated file has been read to its end.
            meta = dataset.file_meta
            deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
            is_ct = CT_CLASSES & {meta.get("MediaStorageSOPClassUID"), dataset.get("SOPClassUID")}
            if is_ct and not deflated and not file.read(1):
                raise DamagedFile("cut short in the header")
            if "SOPClassUID" not in dataset and "Modality" not in dataset and "Rows" not in dataset:
                return []
            return _frames(path, dataset)
    except InvalidDicomError:
        return []
    except OSError as fault:
        raise DamagedFile("unreadable") from fault
    except PARSE_FAULTS as fault:
        raise DamagedFile("malformed") from fault


def _frames(path: Path, dataset: Dataset) -> list[Slice]:
    if dataset.get("SOPClassUID") not in _ENHANCED:
        return [_slice(path, 0, [dataset], n_described=1)]
    shared = _item(dataset, "SharedFunctionalGroupsSequence")
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()]
    frames = groups[:MOST_FRAMES]
    return [
        _slice(path, index, [*_groups(frame), *_groups(shared), dataset], n_described=len(frames))
        for index, frame in enumerate(frames)
    ]


def _groups(item: Dataset | None) -> list[Dataset]:
    """Return the functional groups of one item, each a dataset with the attributes of its macro."""
    if item is None:
        return []
    return [element.value[0] for element in item if element.VR == "SQ" and element.value]


def _item(dataset: Dataset, keyword: str) -> Dataset | None:
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def _slice(path: Path, frame: int, levels: Sequence[Dataset], *, n_described: int) -> Slice:
    """Make a slice; an attribute is taken from the first level that has it: frame, shared, file."""
    root = levels[-1]
    cosines = _numbers(_first(levels, "ImageOrientationPatient"), 6)
    spacing = _numbers(_first(levels, "PixelSpacing"), 2)
    image_type = _first(levels, "FrameType") or _first(levels, "ImageType")
    return Slice(
        path=path,
        frame=frame,
        uid=_text(root.get("SOPInstanceUID")),
        series_uid=_text(root.get("SeriesInstanceUID")),
        patient_key=_digest(_text(root.get("PatientID"))),
        modality=_text(root.get("Modality")).upper(),
        image_type=_values(image_type),
        acquisition_key="/".join(
            _text(_first(levels, keyword)) for keyword in ("AcquisitionNumber", "TemporalPositionIndex")
        ),
        rows=_whole(root.get("Rows")),
        columns=_whole(root.get("Columns")),
        n_frames=_whole(root.get("NumberOfFrames")) or 1,
        n_described=n_described,
        position=_numbers(_first(levels, "ImagePositionPatient"), 3),
        row=None if cosines is None else cosines[:3],
        column=None if cosines is None else cosines[3:],
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=_number(_first(levels, "RescaleSlope")),
        intercept=_number(_first(levels, "RescaleIntercept")),
        rescale_type=_text(_first(levels, "RescaleType")).upper(),
        padding=_padding(root),
        photometric=_text(root.get("PhotometricInterpretation")),
        bits_allocated=_whole(root.get("BitsAllocated")),
        bits_stored=_whole(root.get("BitsStored")),
        high_bit=_whole(root.get("HighBit")),
        samples_per_pixel=_whole(root.get("SamplesPerPixel")) or 1,
        lossy=_is_lossy(root),
        is_ct=_is_ct(root),
        acquisition=_acquisition(levels),
    )


def _is_ct(root: Dataset) -> bool:
    """CT by SOP class; CT by modality where the class is a stranger's (old converters write such)."""
    if root.get("SOPClassUID") in CT_CLASSES:
        return _text(root.get("Modality")).upper() in {"CT", ""}
    return "SOPClassUID" not in root and _text(root.get("Modality")).upper() == "CT"


def _is_lossy(root: Dataset) -> bool:
    syntax = root.file_meta.get("TransferSyntaxUID") if hasattr(root, "file_meta") else None
    return _text(root.get("LossyImageCompression")) == "01" or syntax in _LOSSY_SYNTAXES


def _acquisition(levels: Sequence[Dataset]) -> Acquisition:
    # An empty agent is "unknown" (type 2); an enhanced object names it in a sequence (C.7.6.4b).
    agent = _text(_first(levels, "ContrastBolusAgent")) or _first(levels, "ContrastBolusAgentSequence")
    kernel = _first(levels, "ConvolutionKernel")
    return Acquisition(
        manufacturer=_text(levels[-1].get("Manufacturer")) or None,
        model=_text(levels[-1].get("ManufacturerModelName")) or None,
        kernel="\\".join(map(str, kernel)) if isinstance(kernel, MultiValue) else _text(kernel) or None,
        kvp=_number(_first(levels, "KVP")),
        slice_thickness_mm=_number(_first(levels, "SliceThickness")),
        contrast_agent=True if agent else None,
        patient_position=_text(levels[-1].get("PatientPosition")) or None,
    )


def _padding(root: Dataset) -> tuple[int, int] | None:
    """Range of stored values that mean "no data" (PS3.3 C.7.5.1.1.2), in the sign of the pixels."""
    value = _number(root.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = _number(root.get("PixelPaddingRangeLimit"))
    ends = sorted((_signed(int(value), root), _signed(int(value if limit is None else limit), root)))
    return ends[0], ends[1]


def _signed(value: int, root: Dataset) -> int:
    """Read a padding value in the sign of the pixels, whatever its own: 63536 is -2000, and back."""
    value %= 1 << 16
    return value - (1 << 16) if root.get("PixelRepresentation") == 1 and value > 0x7FFF else value


def _digest(patient_id: str) -> str:
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16] if patient_id else ""


def _first(levels: Sequence[Dataset], keyword: str) -> object:
    for level in levels:
        if keyword in level:
            return level.get(keyword)
    return None


def _values(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, MultiValue) else [value]
    return tuple(_text(part).upper() for part in parts)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip().strip("\0")


def _whole(value: object) -> int:
    number = _number(value)
    return 0 if number is None or abs(number) > 1e12 else int(number)


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _numbers(value: object, count: int) -> Vector | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        return None
    numbers = [_number(part) for part in value]
    found = [number for number in numbers if number is not None]
    return np.array(found, dtype=np.float64) if len(found) == count else None
