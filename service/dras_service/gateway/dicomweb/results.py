"""The DICOM objects of finished jobs, as QIDO-RS and WADO-RS show them: every result of a study, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from dras_service.gateway.dicomweb.datasets import Dataset
from dras_service.header import (
    INSTANCE_NUMBER,
    SERIES,
    SERIES_NUMBER,
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY,
    STUDY_DATE,
    NotDicom,
    read_header,
)
from dras_service.store.blobs import BlobStore
from dras_service.store.lookup import JobLookup
from dras_service.store.rows import Job

_SUFFIX = ".dcm"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Instance:
    """One object, whose it is, and where it lies."""

    job_id: str
    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class: str
    modality: str
    study_date: str  # YYYYMMDD, empty where the scan tells none
    series_description: str
    series_number: str
    instance_number: str
    path: Path


class Results:
    """Finds objects of a tenant. Raises StoreError."""

    def __init__(self, jobs: JobLookup, blobs: BlobStore) -> None:
        self._jobs = jobs
        self._blobs = blobs

    def studies(self, *, tenant: str, limit: int, offset: int) -> list[str]:
        """Return the UIDs of the studies that have objects, the latest first."""
        return list(
            self._jobs.studies_with_result(tenant=tenant, file_suffix=_SUFFIX, limit=limit, offset=offset)
        )

    def every_study(self, *, tenant: str) -> Iterator[str]:
        """Yield the UIDs of all of them; pages are asked for as they are needed."""
        for offset in count(0, _PAGE):
            page = self.studies(tenant=tenant, limit=_PAGE, offset=offset)
            yield from page
            if len(page) < _PAGE:
                return

    def instances(self, study_uid: str, *, tenant: str) -> list[Instance]:
        """Return every object of a study, each once: a run that was repeated writes the same ones again."""
        found: dict[str, Instance] = {}
        for job in self._jobs.of_study(study_uid, tenant=tenant, with_result=True):
            for instance in self.of_job(job):
                found.setdefault(instance.instance_uid, instance)
        return list(found.values())

    def of_job(self, job: Job) -> Iterator[Instance]:
        """Yield the objects of one job."""
        outputs = self._jobs.outputs(job.id, tenant=job.tenant)
        for file in () if outputs is None else outputs.artifacts:
            if outputs is None or not file.name.endswith(_SUFFIX):
                continue
            try:
                path = self._blobs.output_path(outputs, file)
                header = read_header(path)
            except (NotDicom, FileNotFoundError):  # purged at this moment
                continue
            yield Instance(
                job_id=job.id,
                study_uid=header[STUDY],
                series_uid=header[SERIES],
                instance_uid=header[SOP_INSTANCE],
                sop_class=header[SOP_CLASS],
                modality=header.text("Modality"),
                study_date=header[STUDY_DATE],
                series_description=header.text("SeriesDescription"),
                series_number=header[SERIES_NUMBER],
                instance_number=header[INSTANCE_NUMBER],
                path=path,
            )


def study_entry(found: list[Instance]) -> Dataset:
    """Return what a search for studies tells of one; `found` are all of its objects."""
    return {
        "StudyDate": _known(found[0].study_date),
        "StudyInstanceUID": [found[0].study_uid],
        "ModalitiesInStudy": sorted({instance.modality for instance in found}),
        "NumberOfStudyRelatedSeries": [len({instance.series_uid for instance in found})],
        "NumberOfStudyRelatedInstances": [len(found)],
    }


def series_entry(found: list[Instance]) -> Dataset:
    """Return what a search for series tells of one; `found` are all of its objects."""
    return {
        "StudyDate": _known(found[0].study_date),
        "StudyInstanceUID": [found[0].study_uid],
        "SeriesInstanceUID": [found[0].series_uid],
        "Modality": [found[0].modality],
        "SeriesDescription": _known(found[0].series_description),
        "SeriesNumber": _number(found[0].series_number),
        "NumberOfSeriesRelatedInstances": [len(found)],
    }


def instance_entry(found: Instance) -> Dataset:
    """Return what a search for instances tells of one."""
    return {
        "SOPClassUID": [found.sop_class],
        "SOPInstanceUID": [found.instance_uid],
        "StudyDate": _known(found.study_date),
        "InstanceAvailability": ["ONLINE"],
        "Modality": [found.modality],
        "StudyInstanceUID": [found.study_uid],
        "SeriesInstanceUID": [found.series_uid],
        "InstanceNumber": _number(found.instance_number),
    }


def _known(text: str) -> list[str]:
    return [text] if text else []


def _number(text: str) -> list[int]:
    return [int(text)] if text.isascii() and text.isdigit() else []
