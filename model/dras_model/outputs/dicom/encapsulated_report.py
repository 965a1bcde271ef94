"""The report's page as a DICOM object: a PDF, encapsulated (PS3.3 A.45.1), in a series of its own.

The page is the one that lies with the result; where none does, it is set anew. It is the result's own text: what
it says is the business of `outputs.report`.
"""

from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from dras_model.imaging.source_series import SourceSeries
from dras_model.outputs.dicom.objects import (
    SERIES_NUMBERS,
    Identity,
    instance_references,
    save,
    source_dataset,
)
from dras_model.outputs.names import REPORT_PDF
from dras_model.outputs.report.writing import set_page
from dras_model.outputs.stored import StoredResult

REPORT = "dras_report.dcm"
KIND = "report"
TITLE = "Lung densitometry, research use only"
# Of the source's first image `source_dataset` tells patient, study and geometry; a document has no geometry.
_OF_AN_IMAGE = (
    "FrameOfReferenceUID", "PositionReferenceIndicator", "Rows", "Columns", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "LossyImageCompression",
)  # fmt: skip


def write_encapsulated_report(path: Path, stored: StoredResult, source: SourceSeries) -> None:
    """Write the page of a result whose source is known. Raises StudyRefused where a part of it is missing."""
    identity = Identity(source, stored.result)
    dataset = source_dataset(source)
    for keyword in _OF_AN_IMAGE:
        dataset.pop(keyword, None)
    told = identity.arguments(KIND, KIND)
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.SOPInstanceUID = told["sop_instance_uid"]
    dataset.SeriesInstanceUID = told["series_instance_uid"]
    dataset.SeriesNumber = SERIES_NUMBERS[KIND]
    dataset.Modality = "DOC"
    dataset.ConversionType = "WSD"
    dataset.Manufacturer = told["manufacturer"]
    dataset.ManufacturerModelName = told["manufacturer_model_name"]
    dataset.SoftwareVersions = told["software_versions"]
    dataset.DeviceSerialNumber = told["device_serial_number"]
    dataset.InstanceNumber = 1
    dataset.ContentDate, dataset.ContentTime = told["content_date"], told["content_time"]
    dataset.AcquisitionDateTime = ""
    # A page may name the patient, and nothing here can tell (C.24.2).
    dataset.BurnedInAnnotation = "YES"
    dataset.SourceInstanceSequence = instance_references(source)
    dataset.DocumentTitle = TITLE
    dataset.ConceptNameCodeSequence = []
    _put_document(dataset, _page_of(stored))
    _put_meta(dataset)
    save(dataset, source, path)


def _page_of(stored: StoredResult) -> bytes:
    page = None if stored.folder is None else stored.folder / REPORT_PDF
    return set_page(stored) if page is None or not page.is_file() else page.read_bytes()


def _put_document(dataset: Dataset, page: bytes) -> None:
    """The document itself, filled up to an even length, its true length beside it (C.24.2)."""
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(page)
    dataset.EncapsulatedDocument = page + b"\0" * (len(page) % 2)


def _put_meta(dataset: Dataset) -> None:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
