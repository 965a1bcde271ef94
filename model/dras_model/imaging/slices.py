"""One DICOM file becomes its slices: what the header says, checked, without the pixels.

A classic CT object holds one slice, an enhanced one (PS3.3 A.38) as many as it has frames; behind
this module both look the same. Patient data is not read into a `Slice`, but for a digest that tells
whether two files name the same patient.
"""

import hashlib
import io
import re
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
from pydicom.errors import BytesLengthException
from pydicom.uid import (
    EnhancedCTImageStorage,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
    LegacyConvertedEnhancedCTImageStorage,
)

from dras_model.imaging.acquisition import read_acquisition
from dras_model.imaging.attributes import first, number, numbers, text, values, whole
from dras_model.imaging.codestream import HEADER_BYTES, is_irreversible
from dras_model.imaging.dicom_file import CT_CLASSES, DicomFile, open_dicom
from dras_model.imaging.dicom_walk import PIXEL_DATA, DamagedFile
from dras_model.results.study import Acquisition

_ENHANCED = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
# Syntaxes that are lossy whatever the header says; JPEG 2000 (.91) and HTJ2K may be either.
_LOSSY_SYNTAXES = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless})
MOST_FRAMES = 10_000
_FIRST_OF_PIXELS = 0x7FE00008  # (7FE0,0008) and on: float, double and integer pixels
# What pydicom is known to raise on damaged bytes; its own errors do not cover them.
PARSE_FAULTS = (
    EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError, RecursionError,
    OverflowError, MemoryError, struct.error, zlib.error, BytesLengthException,
)  # fmt: skip

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One axial image: where it lies and how its stored values become HU.

    `position`, `row` and `column` are (3,) LPS as in PS3.3 C.7.6.2, None where missing or no numbers;
    `spacing_mm` is (between rows, between columns). `slope` is None where it is no number. Without
    any rescale it is `rescale_assumed` that the stored values are HU, which their histogram must show.
    `n_frames` is what the file declares, `n_described` what its functional groups describe. `burned_in` says
    that the pixels show writing; `oddities` are those of the file.
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
    rescale_assumed: bool
    rescale_type: str
    padding: tuple[int, int] | None
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    high_bit: int
    samples_per_pixel: int
    lossy: bool
    is_ct: bool
    acquisition: Acquisition
    burned_in: bool
    oddities: frozenset[str]


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
    """Whether a file says by its magic that it is DICOM (PS3.10 7.1); one that cannot be read says nothing."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_slices(path: Path) -> list[Slice]:
    """Read the header of one file; empty where it is no DICOM image.

    Raises DamagedFile; StudyRefused READER_LIMIT.
    """
    with open_dicom(path) as file:
        if file is None:
            return []
        try:
            dataset = _attributes(file)
            if (
                CT_CLASSES & {file.media_class, dataset.get("SOPClassUID")}
                and PIXEL_DATA not in file.elements
            ):
                raise DamagedFile("cut short before its pixels", truncated=True)
            if "SOPClassUID" not in dataset and "Modality" not in dataset and "Rows" not in dataset:
                return []
            return _frames(path, dataset, file)
        except PARSE_FAULTS as fault:
            raise DamagedFile("malformed") from fault


def read_attributes(path: Path) -> Dataset:
    """Read every attribute in front of the pixels of a file. Raises DamagedFile."""
    with open_dicom(path) as file:
        if file is None:
            raise DamagedFile("no DICOM")
        try:
            return _attributes(file)
        except PARSE_FAULTS as fault:
            raise DamagedFile("malformed") from fault


def uid_of(given: str) -> str:
    """A UID (PS3.5 9.1); what is none is replaced by one made of it (PS3.5 B.2), for results name it."""
    if not given or re.fullmatch("[0-9.]{1,64}", given):
        return given
    return f"2.25.{int.from_bytes(hashlib.sha256(given.encode(errors='replace')).digest()[:16], 'big')}"


def _attributes(file: DicomFile) -> Dataset:
    """Parse the attributes in front of the pixels."""
    stream = io.BytesIO(file.content) if isinstance(file.content, bytes) else file.content
    stream.seek(file.start)
    return pydicom.filereader.read_dataset(
        stream,  # type: ignore[arg-type]  # a mapped file reads, seeks and tells
        file.encoding.implicit,
        not file.encoding.big,
        stop_when=lambda tag, _vr, _length: tag >= _FIRST_OF_PIXELS,
    )


def _frames(path: Path, dataset: Dataset, file: DicomFile) -> list[Slice]:
    if dataset.get("SOPClassUID") not in _ENHANCED:
        return [_slice(path, 0, [dataset], file=file, n_described=1)]
    shared = _item(dataset, "SharedFunctionalGroupsSequence")
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or [Dataset()]
    frames = groups[:MOST_FRAMES]
    return [
        _slice(path, index, [*_groups(frame), *_groups(shared), dataset], file=file, n_described=len(frames))
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


def _slice(path: Path, frame: int, levels: Sequence[Dataset], *, file: DicomFile, n_described: int) -> Slice:
    """Make a slice; an attribute is taken from the first level that has it: frame, shared, file."""
    root = levels[-1]
    cosines = numbers(first(levels, "ImageOrientationPatient"), 6)
    spacing = numbers(first(levels, "PixelSpacing"), 2)
    image_type = first(levels, "FrameType") or first(levels, "ImageType")
    assumed = not any(text(first(levels, keyword)) for keyword in ("RescaleSlope", "RescaleIntercept"))
    return Slice(
        path=path,
        frame=frame,
        uid=text(root.get("SOPInstanceUID")),
        series_uid=uid_of(text(root.get("SeriesInstanceUID"))),
        patient_key=_digest(text(root.get("PatientID"))),
        modality=_code_string(root.get("Modality")),
        image_type=values(image_type),
        acquisition_key="/".join(
            text(first(levels, keyword)) for keyword in ("AcquisitionNumber", "TemporalPositionIndex")
        ),
        rows=whole(root.get("Rows")),
        columns=whole(root.get("Columns")),
        n_frames=whole(root.get("NumberOfFrames")) or 1,
        n_described=n_described,
        position=numbers(first(levels, "ImagePositionPatient"), 3),
        row=None if cosines is None else cosines[:3],
        column=None if cosines is None else cosines[3:],
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=1.0 if assumed else number(first(levels, "RescaleSlope")),
        intercept=0.0 if assumed else number(first(levels, "RescaleIntercept")),
        rescale_assumed=assumed,
        rescale_type=text(first(levels, "RescaleType")).upper(),
        padding=_padding(root),
        photometric=_code_string(root.get("PhotometricInterpretation")),
        bits_allocated=whole(root.get("BitsAllocated")),
        bits_stored=whole(root.get("BitsStored")),
        signed=root.get("PixelRepresentation") == 1,
        high_bit=whole(root.get("HighBit")),
        samples_per_pixel=whole(root.get("SamplesPerPixel")) or 1,
        lossy=_is_lossy(root, file),
        is_ct=_is_ct(root),
        acquisition=read_acquisition(levels),
        burned_in=text(root.get("BurnedInAnnotation")).upper() == "YES",
        oddities=file.oddities,
    )


def _is_ct(root: Dataset) -> bool:
    """CT by SOP class; CT by modality where the class is a stranger's (old converters write such)."""
    if root.get("SOPClassUID") in CT_CLASSES:
        return text(root.get("Modality")).upper() in {"CT", ""}
    return "SOPClassUID" not in root and text(root.get("Modality")).upper() == "CT"


def _is_lossy(root: Dataset, file: DicomFile) -> bool:
    """Lossy by attribute, by syntax or, of JPEG 2000 that may be either, by the first frame's stream."""
    if text(root.get("LossyImageCompression")) == "01" or file.syntax in _LOSSY_SYNTAXES:
        return True
    pixels = file.elements.get(PIXEL_DATA)
    if pixels is None or pixels.fragments is None:
        return False
    return any(
        is_irreversible(file.content[start : start + HEADER_BYTES]) for start, _ in pixels.fragments[:2]
    )


def _padding(root: Dataset) -> tuple[int, int] | None:
    """Range of stored values that mean "no data" (PS3.3 C.7.5.1.1.2), in the sign of the pixels."""
    value = number(root.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = number(root.get("PixelPaddingRangeLimit"))
    ends = sorted((_signed(int(value), root), _signed(int(value if limit is None else limit), root)))
    return ends[0], ends[1]


def _signed(value: int, root: Dataset) -> int:
    """Read a padding value in the sign of the pixels, whatever its own: 63536 is -2000, and back."""
    value %= 1 << 16
    return value - (1 << 16) if root.get("PixelRepresentation") == 1 and value > 0x7FFF else value


def _digest(patient_id: str) -> str:
    return hashlib.sha256(patient_id.encode()).hexdigest()[:16] if patient_id else ""


def _code_string(value: object) -> str:
    """A code string (PS3.5 6.2), "?" where it is none: sentences name it, and a name is no code."""
    code = text(value).upper()
    return code if re.fullmatch("[A-Z0-9_ ]{0,16}", code) else "?"
