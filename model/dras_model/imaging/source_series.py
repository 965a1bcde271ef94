"""What an object made of a CT series takes over from it: whose it is, and where each of its slices lies.

A derived DICOM object belongs to the patient and the study of its source and names its images, so this, alone
in the product, carries what identifies a patient. It is asked for when such an object is written and is kept
nowhere. It is read from untrusted headers: `describing` makes it in the reading process, and here every part
of it is checked as a stranger's word, character by character.
"""

import calendar
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# Attributes of the Patient, General Study, Patient Study and Frame of Reference modules (PS3.3 C.7.1.1,
# C.7.2.1, C.7.2.2, C.7.4.1) that a derived object of the same study repeats, and the form of each value
# (PS3.5 6.2).
_NAME = r"[^\\=]{0,64}(=[^\\=]{0,64}){0,2}"
_DATE = r"(\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01]))?"
_TIME = r"(([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?)?"
TAKEN_OVER: Mapping[str, str] = MappingProxyType(
    {
        "PatientName": _NAME,
        "PatientID": r"[^\\]{0,64}",
        "IssuerOfPatientID": r"[^\\]{0,64}",
        "PatientBirthDate": _DATE,
        "PatientSex": r"[MFO]?",
        "PatientAge": r"(\d{3}[DWMY])?",
        "PatientIdentityRemoved": r"(YES|NO)?",
        "DeidentificationMethod": r"[^\\]{0,64}",
        "StudyDate": _DATE,
        "StudyTime": _TIME,
        "AccessionNumber": r"[^\\]{0,16}",
        "ReferringPhysicianName": _NAME,
        "StudyID": r"[^\\]{0,16}",
        "StudyDescription": r"[^\\]{0,64}",
        "TimezoneOffsetFromUTC": r"([+-]\d{4})?",
        "PositionReferenceIndicator": r"[^\\]{0,64}",
        "SeriesDate": _DATE,
        "SeriesTime": _TIME,
        "AcquisitionDate": _DATE,
        "AcquisitionTime": _TIME,
    }
)
_UID_FORM = r"^[0-9]+(\.[0-9]+)*$"


def is_of_form(keyword: str, value: str) -> bool:
    """Whether a value is one that TAKEN_OVER allows; a date is one of the calendar."""
    form = TAKEN_OVER.get(keyword)
    if form is None or not value.isprintable() or not re.fullmatch(form, value):
        return False
    return form != _DATE or not value or int(value[6:]) <= _days(int(value[:4]), int(value[4:6]))


def _days(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1] if year else 0


def _taken_over(values: dict[str, str]) -> dict[str, str]:
    if wrong := [keyword for keyword, value in values.items() if not is_of_form(keyword, value)]:
        raise ValueError(f"{wrong[0]} is not taken over, or not like this")
    return values


Uid: TypeAlias = Annotated[str, Field(max_length=64, pattern=_UID_FORM)]
Vector: TypeAlias = tuple[float, float, float]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SourceImage(_Part):
    """One slice that was measured: its instance, its frame in it from 1, and where its first pixel lies."""

    sop_instance_uid: Uid
    frame: int | None = Field(None, ge=1, le=1 << 20, description="None where the instance is one slice")
    position_mm: Vector


class SourceSeries(_Part):
    """The series in the order of its grid, sorted along the slice normal; all slices share one matrix.

    `row` and `column` are the direction cosines of ImageOrientationPatient as it is written, `spacing_mm` is
    (between rows, between columns). `attributes` holds TAKEN_OVER, without what the header lacks.
    """

    attributes: Annotated[dict[str, str], AfterValidator(_taken_over)]
    study_instance_uid: Uid
    series_instance_uid: Uid
    frame_of_reference_uid: Uid
    sop_class_uid: Uid
    rows: int = Field(ge=1, le=1 << 16)
    columns: int = Field(ge=1, le=1 << 16)
    row: Vector
    column: Vector
    spacing_mm: tuple[float, float]
    slice_thickness_mm: float | None = None
    lossy: bool = False
    images: tuple[SourceImage, ...] = Field(min_length=1, max_length=1 << 20)
    input_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the files, as in a provenance")

    @property
    def regular_step_mm(self) -> float | None:
        """Distance of neighbouring slices along the normal, None where it varies by more than a hundredth."""
        if len(self.images) < 2:
            return None
        normal = _cross(self.row, self.column)
        along = [sum(n * p for n, p in zip(normal, image.position_mm, strict=True)) for image in self.images]
        gaps = [after - before for before, after in pairwise(along)]
        mean = math.fsum(gaps) / len(gaps)
        return mean if all(abs(gap - mean) <= 0.01 * mean for gap in gaps) else None


def _cross(a: Vector, b: Vector) -> Vector:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
