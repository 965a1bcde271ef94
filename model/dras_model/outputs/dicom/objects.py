"""What the DICOM objects of a result share: identity, patient and study, equipment, references, the file.

An object is a pure function of a result and the headers of its source: UIDs are digests of both, and dates
are those of the source, so that writing twice gives the same bytes under the same UIDs. Nothing here knows
what an object says.
"""

import hashlib
import io
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from dras_model.imaging.source_series import SourceSeries
from dras_model.outputs.dicom.codes import SCHEME, SCHEME_NAME, SCHEME_VERSION
from dras_model.results.study import Region, StudyResult

MANUFACTURER = "dras"
SERIES_NUMBERS = {"sr": 9101, "seg": 9102, "map": 9103, "report": 9104}
UNDATED = "19000101"  # where a source tells no date at all; Content Date may not be empty
_UTF8 = "ISO_IR 192"
_OF_THE_SERIES = {
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "PositionReferenceIndicator",
}
_MAY_BE_EMPTY = (  # type 2 of the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1)
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber",
    "ReferringPhysicianName", "StudyID",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Identity:
    """Who an object is: of which source, of which result."""

    source: SourceSeries
    result: StudyResult

    @cached_property
    def _digest(self) -> str:
        """Of all that a result says but how long it took, which a later export does not know."""
        content = self.result.model_dump_json(exclude={"timings"})
        return hashlib.sha256(content.encode()).hexdigest()

    def series_uid(self, kind: str) -> str:
        """Return the UID of the series that holds the object of a kind."""
        return _uid("series", kind, self.source.series_instance_uid, self._digest)

    def instance_uid(self, kind: str) -> str:
        """Return the UID of the object of a kind."""
        return _uid("instance", kind, self.source.series_instance_uid, self._digest)

    def part_uid(self, kind: str, part: str) -> str:
        """Return the UID of something within an object."""
        return _uid(part, kind, self.source.series_instance_uid, self._digest)

    def tracking_uid(self, region: Region | str) -> str:
        """Return what a region of this series is tracked by, whichever result speaks of it."""
        return _uid("region", str(region), self.source.series_instance_uid)

    def arguments(self, kind: str, base: str) -> dict[str, Any]:
        """Return what every constructor of highdicom asks for; `base` is the kind without its variant."""
        date, time = content_time(self.source)
        return {
            "series_instance_uid": self.series_uid(kind),
            "series_number": SERIES_NUMBERS[base],
            "sop_instance_uid": self.instance_uid(kind),
            "instance_number": 1,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MANUFACTURER,
            "software_versions": self.result.provenance.dras_version,
            "device_serial_number": self.result.provenance.weights.encoder_sha256[:16],
            "content_date": date,
            "content_time": time,
            "specific_character_set": _UTF8,
            "coding_schemes": [
                CodingSchemeIdentificationItem(designator=SCHEME, name=SCHEME_NAME, version=SCHEME_VERSION)
            ],
        }


def content_time(source: SourceSeries) -> tuple[str, str]:
    """Return date and time of the scan, the nearest that its headers tell."""
    for of in ("Acquisition", "Series", "Study"):
        if date := source.attributes.get(f"{of}Date"):
            return date, source.attributes.get(f"{of}Time") or "000000"
    return UNDATED, "000000"


def source_dataset(source: SourceSeries) -> Dataset:
    """Return the patient, the study and the geometry of the first slice as one classic image has them.

    highdicom takes modules and the frame of reference from it; the images themselves are named by `refer_to`,
    as it wants all frames of one instance, and a series may hold several enhanced ones. The patient's name is
    put in by `save`, as highdicom warns of odd ones by quoting them.
    """
    dataset = Dataset()
    dataset.SpecificCharacterSet = _UTF8
    for keyword in _MAY_BE_EMPTY:
        setattr(dataset, keyword, "")
    for keyword, value in source.attributes.items():
        if keyword not in _OF_THE_SERIES and keyword != "PatientName":
            setattr(dataset, keyword, value)
    if dataset.get("PatientIdentityRemoved") == "YES" and not dataset.get("DeidentificationMethod"):
        dataset.DeidentificationMethod = "not stated by the source"  # type 1C (PS3.3 C.7.1.1)
    first = source.images[0]
    dataset.StudyInstanceUID = source.study_instance_uid
    dataset.SeriesInstanceUID = source.series_instance_uid
    dataset.FrameOfReferenceUID = source.frame_of_reference_uid
    dataset.PositionReferenceIndicator = source.attributes.get("PositionReferenceIndicator", "")
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = first.sop_instance_uid
    dataset.Modality = "CT"
    dataset.Rows, dataset.Columns = source.rows, source.columns
    dataset.ImagePositionPatient = decimals(first.position_mm)
    dataset.ImageOrientationPatient = decimals((*source.row, *source.column))
    dataset.PixelSpacing = decimals(source.spacing_mm)
    dataset.SliceThickness = decimal(source.slice_thickness_mm or source.regular_step_mm or 1.0)
    if source.lossy:
        dataset.LossyImageCompression = "01"
    return dataset


def instance_references(source: SourceSeries) -> list[Dataset]:
    """Return one reference for each instance that was measured, in the order of the grid."""
    references = []
    for uid in dict.fromkeys(image.sop_instance_uid for image in source.images):
        reference = Dataset()
        reference.ReferencedSOPClassUID = source.sop_class_uid
        reference.ReferencedSOPInstanceUID = uid
        references.append(reference)
    return references


def refer_to(dataset: Dataset, source: SourceSeries) -> None:
    """Name every image that was measured (PS3.3 C.7.6.1.1.4, C.12.2)."""
    series = Dataset()
    series.ReferencedInstanceSequence = instance_references(source)
    series.SeriesInstanceUID = source.series_instance_uid
    dataset.SourceImageSequence = instance_references(source)
    dataset.ReferencedSeriesSequence = [series]


def name_dimensions(dataset: Dataset, uid: str) -> None:
    """Put a UID of ours for the random one of highdicom."""
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for index in dataset.DimensionIndexSequence:
        index.DimensionOrganizationUID = uid


def save(dataset: Dataset, source: SourceSeries, path: Path) -> None:
    """Write an object in the name of the source's patient, free of when that was."""
    dataset.PatientName = source.attributes.get("PatientName", "")
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        dataset.pop(keyword, None)
    for equipment in dataset.get("ContributingEquipmentSequence", ()):  # highdicom names itself
        equipment.pop("ContributionDateTime", None)
    # In memory first: of a disk that is full in the midst of a sequence pydicom makes an error without a number.
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    path.write_bytes(content.getbuffer())


def decimal(value: float) -> str:
    """Return a decimal string (PS3.5 6.2): at most 16 characters, the shortest that is the number if that fits."""
    text = repr(float(value) + 0.0)
    for digits in range(16, 5, -1):
        if len(text) <= 16:
            break
        text = f"{value:.{digits}g}"
    return text.removesuffix(".0")


def decimals(values: Iterable[float]) -> list[str]:
    """Return decimal strings."""
    return [decimal(value) for value in values]


def _uid(*parts: str) -> str:
    """Return a UID made of what it names: that of a UUID made of a digest (PS3.5 B.2)."""
    digest = hashlib.sha256("\0".join(("dras", *parts)).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
