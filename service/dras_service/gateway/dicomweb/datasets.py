"""Data sets as `application/dicom+json` (PS3.18 F) and `application/dicom+xml` (PS3.19 A.1)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias
from xml.etree import ElementTree as ET

JSON, XML = "application/dicom+json", "application/dicom+xml"
Value: TypeAlias = "str | int | Dataset"
Dataset: TypeAlias = "Mapping[str, Sequence[Value]]"  # by keyword of ATTRIBUTES

# Keyword: tag and VR (PS3.6).
ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "SOPClassUID": ("00080016", "UI"),
    "SOPInstanceUID": ("00080018", "UI"),
    "StudyDate": ("00080020", "DA"),
    "InstanceAvailability": ("00080056", "CS"),
    "Modality": ("00080060", "CS"),
    "ModalitiesInStudy": ("00080061", "CS"),
    "Manufacturer": ("00080070", "LO"),
    "CodeValue": ("00080100", "SH"),
    "CodingSchemeDesignator": ("00080102", "SH"),
    "CodeMeaning": ("00080104", "LO"),
    "SeriesDescription": ("0008103E", "LO"),
    "ReferencedSOPClassUID": ("00081150", "UI"),
    "ReferencedSOPInstanceUID": ("00081155", "UI"),
    "RetrieveURL": ("00081190", "UR"),
    "FailureReason": ("00081197", "US"),
    "FailedSOPSequence": ("00081198", "SQ"),
    "ReferencedSOPSequence": ("00081199", "SQ"),
    "OtherFailuresSequence": ("0008119A", "SQ"),
    "TransactionUID": ("00081195", "UI"),
    "StudyInstanceUID": ("0020000D", "UI"),
    "SeriesInstanceUID": ("0020000E", "UI"),
    "SeriesNumber": ("00200011", "IS"),
    "InstanceNumber": ("00200013", "IS"),
    "NumberOfStudyRelatedSeries": ("00201206", "IS"),
    "NumberOfStudyRelatedInstances": ("00201208", "IS"),
    "NumberOfSeriesRelatedInstances": ("00201209", "IS"),
    "ScheduledProcedureStepStartDateTime": ("00404005", "DT"),
    "ScheduledProcedureStepModificationDateTime": ("00404010", "DT"),
    "InputInformationSequence": ("00404021", "SQ"),
    "ScheduledStationNameCodeSequence": ("00404025", "SQ"),
    "OutputInformationSequence": ("00404033", "SQ"),
    "InputReadinessState": ("00404041", "CS"),
    "UnifiedProcedureStepPerformedProcedureSequence": ("00741216", "SQ"),
    "ProcedureStepState": ("00741000", "CS"),
    "ProcedureStepProgressInformationSequence": ("00741002", "SQ"),
    "ProcedureStepProgress": ("00741004", "DS"),
    "ProcedureStepProgressDescription": ("00741006", "ST"),
    "ScheduledProcedureStepPriority": ("00741200", "CS"),
    "WorklistLabel": ("00741202", "LO"),
    "ProcedureStepLabel": ("00741204", "LO"),
    "ReasonForCancellation": ("00741238", "LT"),
}


def as_json(datasets: Iterable[Dataset], *, one: bool = False) -> bytes:
    """Return data sets as a JSON array, or `one` as an object."""
    shown = [_json(dataset) for dataset in datasets]
    return json.dumps(shown[0] if one else shown).encode()


def as_xml(dataset: Dataset) -> bytes:
    """Return a data set as a Native DICOM Model."""
    root = ET.Element("NativeDicomModel", {"xml:space": "preserve"})
    _fill(root, dataset)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _json(dataset: Dataset) -> dict[str, object]:
    shown: dict[str, object] = {}
    for keyword, values in sorted(dataset.items(), key=lambda item: ATTRIBUTES[item[0]][0]):
        tag, vr = ATTRIBUTES[keyword]
        element: dict[str, object] = {"vr": vr}
        if values:
            element["Value"] = [_json(value) if isinstance(value, Mapping) else value for value in values]
        shown[tag] = element
    return shown


def _fill(parent: ET.Element, dataset: Dataset) -> None:
    for keyword, values in sorted(dataset.items(), key=lambda item: ATTRIBUTES[item[0]][0]):
        tag, vr = ATTRIBUTES[keyword]
        element = ET.SubElement(parent, "DicomAttribute", {"tag": tag, "vr": vr, "keyword": keyword})
        for number, value in enumerate(values, start=1):
            if isinstance(value, Mapping):
                _fill(ET.SubElement(element, "Item", {"number": str(number)}), value)
            else:
                ET.SubElement(element, "Value", {"number": str(number)}).text = str(value)
