"""The DICOM objects of finished jobs, as QIDO-RS and WADO-RS show them: every result of a study, newest first."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dras_service.gateway.dicomweb.datasets import Dataset
from dras_service.header import SERIES, SOP_CLASS, SOP_INSTANCE, STUDY, TAGS, NotDicom, read_header
from dras_service.store.blobs import BlobStore
from dras_service.store.lookup import JobLookup
from dras_service.store.rows import Job

_SUFFIX = ".dcm"


@dataclass(frozen=True, slots=True)
class Instance:
    """One object, whose it is, and where it lies."""

    job_id: str
    study_uid: str
    series_uid: str
    instance_uid: str
    sop_class: str
    modality: str
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
                modality=header[TAGS["Modality"]],
                path=path,
            )


def study_entry(study_uid: str, found: list[Instance]) -> Dataset:
    """Return what a search for studies tells of one."""
    return {
        "StudyInstanceUID": [study_uid],
        "ModalitiesInStudy": sorted({instance.modality for instance in found}),
        "NumberOfStudyRelatedSeries": [len({instance.series_uid for instance in found})],
        "NumberOfStudyRelatedInstances": [len(found)],
    }


def series_entries(found: list[Instance]) -> list[Dataset]:
    """Return what a search for series tells: one entry a series."""
    by_series: dict[str, list[Instance]] = {}
    for instance in found:
        by_series.setdefault(instance.series_uid, []).append(instance)
    return [
        {
            "StudyInstanceUID": [some[0].study_uid],
            "SeriesInstanceUID": [series_uid],
            "Modality": [some[0].modality],
            "NumberOfSeriesRelatedInstances": [len(some)],
        }
        for series_uid, some in by_series.items()
    ]


def instance_entries(found: list[Instance]) -> list[Dataset]:
    """Return what a search for instances tells."""
    return [
        {
            "SOPClassUID": [instance.sop_class],
            "SOPInstanceUID": [instance.instance_uid],
            "InstanceAvailability": ["ONLINE"],
            "Modality": [instance.modality],
            "StudyInstanceUID": [instance.study_uid],
            "SeriesInstanceUID": [instance.series_uid],
        }
        for instance in found
    ]
