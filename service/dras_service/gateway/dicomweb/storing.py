"""STOW-RS: images into the room where studies wait until they are complete, and what is answered (PS3.18 10.5.3).

Clients send a study in as many requests as they like. An image that is told as stored is on the disk, synced; its
job is made when the study is complete, and found by the study's UID.
"""

import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from dras_service.api.options import JobOptions
from dras_service.gateway.dicomweb.datasets import Dataset
from dras_service.gathering.completeness import Handling
from dras_service.gathering.room import Origin, Room
from dras_service.header import SOP_CLASS, SOP_INSTANCE, STUDY, Header, NotDicom, is_uid, read_header
from dras_service.settings import DicomWebSettings
from dras_service.store.errors import StorageFull
from dras_service.store.rows import Order

ROUTE = "dicomweb"
CT_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.2{variant}" for variant in ("", ".1", ".2"))
# Failure reasons (PS3.18 table I.2-2).
NOT_SUPPORTED, FULL, MISMATCH, CANNOT_UNDERSTAND = 0x0122, 0xA700, 0xA900, 0xC000


@dataclass(slots=True)
class Stored:
    """What became of the parts of one request."""

    kept: list[Header] = field(default_factory=list)
    failed: list[tuple[Header, int]] = field(default_factory=list)
    unreadable: int = 0

    @property
    def status(self) -> HTTPStatus:
        """All, some, or none of them."""
        if not self.kept:
            return HTTPStatus.CONFLICT
        return HTTPStatus.ACCEPTED if self.failed or self.unreadable else HTTPStatus.OK

    def dataset(self) -> Dataset:
        """Return the Store Instances Response Module (PS3.18 table I.1-1)."""
        told: dict[str, list[Dataset]] = {}
        if self.kept:
            told["ReferencedSOPSequence"] = [
                {**_reference(header), "RetrieveURL": []} for header in self.kept
            ]
        if self.failed:
            told["FailedSOPSequence"] = [
                {**_reference(header), "FailureReason": [reason]} for header, reason in self.failed
            ]
        if self.unreadable:
            told["OtherFailuresSequence"] = [{"FailureReason": [CANNOT_UNDERSTAND]}] * self.unreadable
        return {"RetrieveURL": [], **told}


def store_parts(room: Room, files: Iterable[Path], *, tenant: str, study_uid: str | None) -> Stored:
    """Keep every file that is a CT image, of the study that is named where one is."""
    stored = Stored()
    for path in files:
        try:
            header = read_header(path)
        except NotDicom:
            stored.unreadable += 1
            continue
        reason = _reason_against(header, study_uid) or _keep(room, path, header, tenant)
        if reason is None:
            stored.kept.append(header)
        else:
            stored.failed.append((header, reason))
    return stored


def handling(settings: DicomWebSettings) -> Handling:
    """Return what becomes of a study that came by STOW-RS: its objects are made, to be fetched by WADO-RS."""
    return Handling(
        quiet_s=settings.quiet_s,
        broken_quiet_s=settings.quiet_s,
        most_wait_s=settings.most_wait_s,
        order=Order(options=JobOptions(dicom=True).written()),
    )


def _reason_against(header: Header, study_uid: str | None) -> int | None:
    if not is_uid(header[SOP_INSTANCE]) or not is_uid(header[STUDY]):
        return CANNOT_UNDERSTAND
    if header[SOP_CLASS] not in CT_CLASSES:
        return NOT_SUPPORTED
    if study_uid is not None and header[STUDY] != study_uid:
        return MISMATCH
    return None


def _keep(room: Room, path: Path, header: Header, tenant: str) -> int | None:
    arrived = room.arriving / f"{uuid.uuid4().hex}.dcm"
    try:
        shutil.move(path, arrived)
        room.keep(arrived, header, Origin(study_uid=header[STUDY], route=ROUTE, tenant=tenant))
    except (StorageFull, OSError):
        arrived.unlink(missing_ok=True)
        return FULL
    return None


def _reference(header: Header) -> Dataset:
    """Return how a part is named; what has not the form of a UID is not given back."""
    named = {"ReferencedSOPClassUID": header[SOP_CLASS], "ReferencedSOPInstanceUID": header[SOP_INSTANCE]}
    return {keyword: [uid] if is_uid(uid) else [] for keyword, uid in named.items()}
