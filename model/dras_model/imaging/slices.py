"""One DICOM file becomes its slices: what the header says, checked, without the pixels.

A classic CT object holds one slice, an enhanced one (PS3.3 A.38) as many as it has frames; behind
this module both look the same. Patient data is not read into a `Slice`, but for a salted key that
tells whether two files name the same patient.
"""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
)

from dras_model.results.study import Acquisition

CT_CLASSES = frozenset({CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
_ENHANCED = frozenset({EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage})
MOST_FRAMES = 10_000

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """One axial image: where it lies and how its stored values become HU.

    `position`, `row` and `column` are (3,) LPS as in PS3.3 C.7.6.2, None where missing or no numbers;
    `spacing_mm` is (between rows, between columns). `slope` is None where the rescale is missing.
    """

    path: Path
    frame: int
    uid: str
    series_uid: str
    study_uid: str
    patient_key: str
    modality: str
    image_type: tuple[str, ...]
    acquisition_key: str
    instance_number: int
    rows: int
    columns: int
    position: Vector | None
    row: Vector | None
    column: Vector | None
    spacing_mm: tuple[float, float] | None
    slope: float | None
    intercept: float | None
    padding: tuple[int, int] | None
    photometric: str
    bits_allocated: int
    samples_per_pixel: int
    lossy: bool
    is_ct: bool
    acquisition: Acquisition


def is_dicom(path: Path) -> bool:
    """Whether a file says by its magic that it is DICOM (PS3.10 7.1)."""
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_slices(path: Path) -> list[Slice]:
    """Read the header of one file; empty where the file is no DICOM image."""
    try:
        with warnings.catch_warnings():
            # pydicom warns of odd values (character sets, UIDs); none of them is used here.
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            if "SOPClassUID" not in dataset and "Modality" not in dataset and "Rows" not in dataset:
                return []
            return _frames(path, dataset)
    except (InvalidDicomError, EOFError, ValueError, KeyError, TypeError, AttributeError, OSError):
        return []
    except (NotImplementedError, RecursionError, OverflowError):
        return []


def _frames(path: Path, dataset: Dataset) -> list[Slice]:
    if dataset.get("SOPClassUID") not in _ENHANCED:
        return [_slice(path, 0, [dataset])]
    shared = _item(dataset, "SharedFunctionalGroupsSequence")
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    return [
        _slice(path, index, [*_groups(frame), *_groups(shared), dataset])
        for index, frame in enumerate(frames[:MOST_FRAMES])
    ]


def _groups(item: Dataset | None) -> list[Dataset]:
    """Return the functional groups of one item, each a dataset with the attributes of its macro."""
    if item is None:
        return []
    return [element.value[0] for element in item if element.VR == "SQ" and element.value]


def _item(dataset: Dataset, keyword: str) -> Dataset | None:
    sequence = dataset.get(keyword)
    return sequence[0] if sequence else None


def _slice(path: Path, frame: int, levels: Sequence[Dataset]) -> Slice:
    """Make a slice; an attribute is taken from the first level that has it: frame, shared, file."""
    root = levels[-1]
    cosines = _numbers(_first(levels, "ImageOrientationPatient"), 6)
    spacing = _numbers(_first(levels, "PixelSpacing"), 2)
    image_type = _first(levels, "FrameType") or _first(levels, "ImageType")
    return Slice(
        path=path,
        frame=frame,
        uid=_text(root.get("SOPInstanceUID")) + (f".{frame}" if len(levels) > 1 else ""),
        series_uid=_text(root.get("SeriesInstanceUID")),
        study_uid=_text(root.get("StudyInstanceUID")),
        patient_key=hashlib.sha256(_text(root.get("PatientID")).encode()).hexdigest()[:16],
        modality=_text(root.get("Modality")).upper(),
        image_type=_values(image_type),
        acquisition_key="/".join(
            _text(_first(levels, keyword)) for keyword in ("AcquisitionNumber", "TemporalPositionIndex")
        ),
        instance_number=int(_number(root.get("InstanceNumber")) or 0),
        rows=int(_number(root.get("Rows")) or 0),
        columns=int(_number(root.get("Columns")) or 0),
        position=_numbers(_first(levels, "ImagePositionPatient"), 3),
        row=None if cosines is None else cosines[:3],
        column=None if cosines is None else cosines[3:],
        spacing_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        slope=_number(_first(levels, "RescaleSlope")),
        intercept=_number(_first(levels, "RescaleIntercept")),
        padding=_padding(root),
        photometric=_text(root.get("PhotometricInterpretation")),
        bits_allocated=int(_number(root.get("BitsAllocated")) or 0),
        samples_per_pixel=int(_number(root.get("SamplesPerPixel")) or 1),
        lossy=_text(root.get("LossyImageCompression")) == "01",
        is_ct=_is_ct(root),
        acquisition=_acquisition(levels),
    )


def _is_ct(root: Dataset) -> bool:
    """CT by SOP class; CT by modality where the class is a stranger's (old converters write such)."""
    if root.get("SOPClassUID") in CT_CLASSES:
        return _text(root.get("Modality")).upper() in {"CT", ""}
    return "SOPClassUID" not in root and _text(root.get("Modality")).upper() == "CT"


def _acquisition(levels: Sequence[Dataset]) -> Acquisition:
    agent = _first(levels, "ContrastBolusAgent")
    kernel = _first(levels, "ConvolutionKernel")
    return Acquisition(
        manufacturer=_text(levels[-1].get("Manufacturer")) or None,
        model=_text(levels[-1].get("ManufacturerModelName")) or None,
        kernel="\\".join(map(str, kernel)) if isinstance(kernel, MultiValue) else _text(kernel) or None,
        kvp=_number(_first(levels, "KVP")),
        slice_thickness_mm=_number(_first(levels, "SliceThickness")),
        contrast_agent=True if _text(agent) else None,  # empty is "unknown" (type 2)
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
    """Read an unsigned 16-bit padding value as the signed number it stands for: 63536 is -2000."""
    if root.get("PixelRepresentation") == 1 and value > 0x7FFF:
        return value - 0x10000
    return value


def _first(levels: Sequence[Dataset], keyword: str) -> object:
    for level in levels:
        if keyword in level:
            return level.get(keyword)
    return None


def _values(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, MultiValue) else [value]
    return tuple(_text(part).upper() for part in parts)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


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
