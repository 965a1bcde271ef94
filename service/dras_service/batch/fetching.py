"""Studies of a PACS: which there are, and the images of one for as long as it is computed.

A study that the PACS cannot give is that study's failure; a PACS that is away is waited for, and then ends the
batch, which goes on when it is called again.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Lock

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.batch.cases import Case, Found, GivenBack
from dras_service.batch.deliveries import KnownStudy
from dras_service.batch.job import Pacs
from dras_service.batch.staging import room_for
from dras_service.pacs.configuration import read_configuration
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.retrieve.archive import open_archive
from dras_service.pacs.retrieve.query import Archive, StudyQuery

_FIRST_PAUSE_S, _MOST_PAUSE_S = 1.0, 60.0
_CT = "CT"
_THE_PORT = Lock()  # that a C-MOVE sends to: one fetch listens on it at a time


def studies_in(pacs: Pacs, known: Mapping[str, KnownStudy]) -> Iterator[Found]:
    """Yield what the query finds; what is known to have been sent there makes no study another.

    Raises CannotServe, SetupRefused PACS_UNREACHABLE.
    """
    query = StudyQuery(
        patient_id=pacs.patient_id,
        accession_number=pacs.accession_number,
        description=pacs.description,
        since=pacs.since,
        until=pacs.until,
        modality=pacs.modality or None,
    )
    with open_archive(read_configuration(pacs.config), pacs.peer) as archive:
        try:
            for study in archive.find_studies(query):
                has_ct = not study.modalities or _CT in study.modalities
                n_images, before = study.n_instances or 0, known.get(study.study_uid)
                n_images = n_images if before is None else before.n_images_of(n_images)
                day = f" of {study.study_date}" if study.study_date else ""
                yield Found(
                    study=study.study_uid,
                    origin="pacs" if has_ct else "no ct",
                    source=f"{pacs.peer}{day}" if has_ct else ", ".join(study.modalities),
                    identity=f"{study.study_uid} {n_images}",
                    study_uid=study.study_uid,
                    n_images=n_images,
                    called=study.study_date or "",
                )
        except PeerFailed as failure:
            raise _unreachable(pacs, failure) from failure


@contextmanager
def fetched(
    case: Case, pacs: Pacs, room: Path, *, stop: Event, at: Callable[[str, float], None]
) -> Iterator[Path]:
    """Yield a folder with the images of a case, `room`, gone at the end; `at` hears that it is being fetched.

    Raises StudyRefused STUDY_NOT_FETCHED, SetupRefused PACS_UNREACHABLE, GivenBack when it is stopped.
    """
    configuration = read_configuration(pacs.config)
    comes_to_us = configuration.peer(pacs.peer).fetches_by == "c-move"
    with room_for(room):
        at("fetch", 0.0)
        with _THE_PORT if comes_to_us else nullcontext(), open_archive(configuration, pacs.peer) as archive:
            _fetch(case.study_uid, archive, room, pacs, stop)
        yield room


def _fetch(study_uid: str, archive: Archive, room: Path, pacs: Pacs, stop: Event) -> None:
    pause_s, waited_s = _FIRST_PAUSE_S, 0.0
    while True:
        try:
            archive.fetch_study(study_uid, room)
        except PeerFailed as failure:
            if not failure.may_pass or (waited_s > 0 and _is_there(archive, study_uid)):
                reason = str(failure).rstrip(".")
                raise StudyRefused(Code.STUDY_NOT_FETCHED, reason=reason) from failure
            if waited_s >= pacs.patience_s:
                raise _unreachable(pacs, failure) from failure
            if stop.wait(pause_s):
                raise GivenBack from failure
            waited_s += pause_s
            pause_s = min(2 * pause_s, _MOST_PAUSE_S)
        else:
            return


def _is_there(archive: Archive, study_uid: str) -> bool:
    """Whether the PACS answers at all: if so, it is this study that it cannot give."""
    try:
        next(archive.find_studies(StudyQuery(study_uid=study_uid, modality=None)), None)
    except PeerFailed:
        return False
    return True


def _unreachable(pacs: Pacs, failure: PeerFailed) -> SetupRefused:
    return SetupRefused(Code.PACS_UNREACHABLE, name=pacs.peer, reason=str(failure).rstrip("."))
