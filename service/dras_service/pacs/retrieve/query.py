"""What is asked of an archive and what it answers, in one form for DICOMweb and DIMSE. Speaks to none."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StudyQuery:
    """Which studies are wanted; None leaves nothing out. Texts may hold `*` and `?` (PS3.4 C.2.2.2.4)."""

    study_uid: str | None = None
    patient_id: str | None = None
    accession_number: str | None = None
    description: str | None = None
    since: date | None = None
    until: date | None = None  # the day itself included
    modality: str | None = "CT"  # of any series in the study

    def date_range(self) -> str:
        """Return the Study Date to match (PS3.4 C.2.2.2.5); empty where any will do."""
        if self.since is None and self.until is None:
            return ""
        return f"{_digits(self.since)}-{_digits(self.until)}"


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study that an archive has. What it does not tell is None; of the patient nothing is asked."""

    study_uid: str
    study_date: str | None = None
    description: str | None = None
    modalities: tuple[str, ...] = ()
    n_instances: int | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What lies in the folder after a fetch; `n_new` of the files were not there before it."""

    n_files: int
    n_new: int


class Archive(Protocol):
    """Another system that has studies. Every method raises PeerFailed."""

    def find_studies(self, query: StudyQuery) -> Iterator[FoundStudy]:
        """Yield the studies that match, each once, page by page as they are taken."""

    def fetch_study(self, study_uid: str, folder: Path) -> Fetched:
        """Bring every CT image of a study into `folder`, made where it is not there, as DICOM files.

        The folder is complete when this returns. After a failure another call fetches what is missing. Names of
        the files are digests of the images' UIDs.
        """

    def count_instances(self, study_uid: str) -> int | None:
        """Return how many CT images the study has; None where the archive does not say."""


def _digits(day: date | None) -> str:
    return "" if day is None else day.strftime("%Y%m%d")
