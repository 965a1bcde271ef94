"""An archive by DIMSE: C-FIND to search (PS3.4 C.4.1), C-GET or C-MOVE to fetch (C.4.3, C.4.2), Study Root.

A series is fetched in one request; where images are missing afterwards they are asked for by name. C-MOVE makes the
archive call us back: for as long as a fetch takes, we listen at a port of its own for what it sends, and take it
from nobody else. Of what comes, by either, only images of the study that was asked for are kept.
"""

import ipaddress
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as Find,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelGet as Get,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelMove as Move,
)

from dras_service.header import SOP_INSTANCE, STUDY, NotDicom, is_uid, read_header
from dras_service.pacs.configuration import MEGABYTE, Node, Peer
from dras_service.pacs.failures import PeerFailed
from dras_service.pacs.library import (
    INVALID_INSTANCE,
    MISMATCH,
    OUT_OF_RESOURCES,
    SUCCESS,
    asked_instance,
    configure_library,
)
from dras_service.pacs.receive.listener import server_context
from dras_service.pacs.receive.transport import BoundedServer, BoundedSocket, Bounds
from dras_service.pacs.requesting import Handlers, association
from dras_service.pacs.retrieve.files import Harvest
from dras_service.pacs.retrieve.query import Fetched, FoundStudy, StudyQuery
from dras_service.pacs.syntaxes import CT_CLASSES, ct_contexts

_PENDING = (0xFF00, 0xFF01)
_WARNING = 0xB000
_CT = "CT"


class DimseArchive:
    """A peer with Query/Retrieve."""

    def __init__(self, node: Node, peer: Peer) -> None:
        configure_library()
        self._node = node
        self._peer = peer

    def find_studies(self, query: StudyQuery) -> Iterator[FoundStudy]:
        """Yield the studies that match, each once, as the answers come."""
        asked = Dataset()
        asked.QueryRetrieveLevel = "STUDY"
        asked.StudyInstanceUID = query.study_uid or ""
        asked.PatientID = query.patient_id or ""
        asked.AccessionNumber = query.accession_number or ""
        asked.StudyDescription = query.description or ""
        asked.StudyDate = query.date_range()
        asked.ModalitiesInStudy = query.modality or ""
        asked.NumberOfStudyRelatedInstances = ""
        seen: set[str] = set()
        for answer in self._find(asked):
            uid = str(answer.get("StudyInstanceUID", ""))
            if is_uid(uid) and uid not in seen:
                seen.add(uid)
                yield _found(uid, answer)

    def fetch_study(self, study_uid: str, folder: Path) -> Fetched:
        """Bring every CT image of a study into `folder`; what is there already is not fetched again."""
        harvest = Harvest(folder)
        series = list(self._series(study_uid))
        for series_uid, images in series:
            self._fetch_series(study_uid, series_uid, images, harvest)
        return Fetched(harvest.n_files, harvest.n_new)

    def count_instances(self, study_uid: str) -> int | None:
        """Return how many CT images the study has."""
        return sum(len(images) for _, images in self._series(study_uid))

    def _fetch_series(self, study_uid: str, series_uid: str, images: list[str], harvest: Harvest) -> None:
        asked = Dataset()
        asked.QueryRetrieveLevel = "SERIES"
        asked.StudyInstanceUID = study_uid
        asked.SeriesInstanceUID = series_uid
        lacking = harvest.lacks(images)
        if not lacking:
            return
        if len(lacking) < len(images):
            asked.QueryRetrieveLevel = "IMAGE"
            asked.SOPInstanceUID = lacking
        retrieve = self._move if self._peer.fetches_by == "c-move" else self._get
        retrieve(asked, harvest)
        if left := harvest.lacks(images):
            raise PeerFailed(f"The archive did not send {len(left)} of its images.")

    def _series(self, study_uid: str) -> Iterator[tuple[str, list[str]]]:
        """Yield the CT series of a study with the UIDs of their images."""
        if not is_uid(study_uid):
            raise PeerFailed("This is no Study Instance UID.", may_pass=False)
        asked = Dataset()
        asked.QueryRetrieveLevel = "SERIES"
        asked.StudyInstanceUID = study_uid
        asked.SeriesInstanceUID = ""
        asked.Modality = _CT
        answers = [answer for answer in self._find(asked) if str(answer.get("Modality", _CT)) == _CT]
        found = [
            uid for uid in (str(answer.get("SeriesInstanceUID", "")) for answer in answers) if is_uid(uid)
        ]
        if not found:
            raise PeerFailed("The archive has no CT series of this study.", may_pass=False)
        for series_uid in found:
            images = Dataset()
            images.QueryRetrieveLevel = "IMAGE"
            images.StudyInstanceUID = study_uid
            images.SeriesInstanceUID = series_uid
            images.SOPInstanceUID = ""
            uids = [str(image.get("SOPInstanceUID", "")) for image in self._find(images)]
            yield series_uid, list(filter(is_uid, uids))

    def _find(self, asked: Dataset) -> Iterator[Dataset]:
        with association(self._node, self._peer, [build_context(Find)]) as link, _asking():
            for status, answer in link.send_c_find(asked, Find):
                if status.get("Status") in _PENDING and answer is not None:
                    yield answer
                else:
                    _check(status)

    def _get(self, asked: Dataset, harvest: Harvest) -> None:
        roles = [build_role(sop_class, scp_role=True) for sop_class in CT_CLASSES]
        handlers: Handlers = [(evt.EVT_C_STORE, _keeper(harvest, asked.StudyInstanceUID))]
        contexts = [build_context(Get), *ct_contexts()]
        with (
            association(self._node, self._peer, contexts, roles=roles, handlers=handlers) as link,
            _asking(),
        ):
            _follow(link.send_c_get(asked, Get))

    def _move(self, asked: Dataset, harvest: Harvest) -> None:
        with (
            _listening(self._node, self._peer, _keeper(harvest, asked.StudyInstanceUID)),
            association(self._node, self._peer, [build_context(Move)]) as link,
            _asking(),
        ):
            _follow(link.send_c_move(asked, self._node.move_ae_title, Move))


@contextmanager
def _asking() -> Iterator[None]:
    """Translate what the library raises where an association has ended or takes no such request."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise PeerFailed(f"The association broke off ({type(error).__name__}).") from error


@contextmanager
def _listening(node: Node, peer: Peer, keep: Callable[[evt.Event], int]) -> Iterator[None]:
    entity = AE(node.move_ae_title)
    entity.require_calling_aet, entity.require_called_aet = [peer.ae_title], True
    entity.maximum_associations = node.max_associations
    entity.maximum_pdu_size = node.max_pdu_bytes
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.idle_timeout_s
    entity.supported_contexts = ct_contexts()
    try:
        server = entity.make_server(
            (node.host, node.move_port),
            evt_handlers=[(evt.EVT_C_STORE, keep)],
            ssl_context=server_context(node.tls) if node.tls is not None and peer.tls else None,
            server_class=BoundedServer,
            bounds=_bounds(node, peer),
        )
    except OSError as error:
        raise PeerFailed(f"Port {node.move_port} for what the archive sends cannot be taken.") from error
    threading.Thread(target=server.serve_forever, name="fetched", daemon=True).start()
    try:
        yield
    finally:
        for link in server.active_associations:
            link.abort()
        server.shutdown()


def _bounds(node: Node, peer: Peer) -> Bounds:
    """Return what the archive may do that we fetch from, and nobody else."""

    def is_known(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in peer.networks)

    return Bounds(
        max_pdu_bytes=node.max_pdu_bytes,
        max_object_bytes=node.max_instance_mb * MEGABYTE,
        idle_timeout_s=node.idle_timeout_s,
        max_associations=node.max_associations,
        is_known=is_known,
    )


def _keeper(harvest: Harvest, study_uid: str) -> Callable[[evt.Event], int]:
    """Return what keeps an image of the study that arrives."""

    def keep(event: evt.Event) -> int:
        channel = event.assoc.dul.socket
        if isinstance(channel, BoundedSocket):
            channel.object_ended()
        uid = asked_instance(event)
        if not is_uid(uid):
            return INVALID_INSTANCE
        try:
            file, part = harvest.open_part()
            with file:
                file.write(event.encoded_dataset())
            if not _is_of(part, study_uid, uid):
                part.unlink()
                return MISMATCH
            harvest.keep(part, uid)
        except OSError:
            return OUT_OF_RESOURCES
        return SUCCESS

    return keep


def _is_of(image: Path, study_uid: str, instance_uid: str) -> bool:
    try:
        header = read_header(image)
    except NotDicom:
        return False
    return (header[STUDY], header[SOP_INSTANCE]) == (study_uid, instance_uid)


def _follow(answers: Iterator[tuple[Dataset, Dataset | None]]) -> None:
    for status, _ in answers:
        if status.get("Status") not in (*_PENDING, _WARNING):  # what is missing is seen by the files
            _check(status)


def _check(status: Dataset) -> None:
    """Raise PeerFailed for a status that is none of success (PS3.7 C)."""
    if "Status" not in status:
        raise PeerFailed("The archive does not answer any more.")
    if status.Status != SUCCESS:
        passing = status.Status >> 8 in (0xA7, 0xC0, 0xFE)
        raise PeerFailed(f"The archive answered with status 0x{status.Status:04X}.", may_pass=passing)


def _found(uid: str, answer: Dataset) -> FoundStudy:
    count = str(answer.get("NumberOfStudyRelatedInstances", "") or "")
    modalities = answer.get("ModalitiesInStudy") or ()
    return FoundStudy(
        study_uid=uid,
        study_date=str(answer.get("StudyDate", "")) or None,
        description=str(answer.get("StudyDescription", "")) or None,
        modalities=(modalities,) if isinstance(modalities, str) else tuple(map(str, modalities)),
        n_instances=int(count) if count.isdecimal() else None,
    )
