"""What is done with one C-STORE: judged by a few values of its header, put into the room, answered.

0x0000 is answered when the image is synced, or when it is one that nobody here wants: another kind of object, or
one of our own that a PACS has sent on. No pixel is decoded.
"""

import logging
import shutil
import uuid
from collections import Counter
from pathlib import Path

from pynetdicom import evt

from dras_service.gathering.room import Room
from dras_service.header import SOP_CLASS, SOP_INSTANCE, STUDY, Header, NotDicom, is_uid, read_header
from dras_service.observability.logs import outline
from dras_service.pacs.library import (
    INVALID_INSTANCE,
    MISMATCH,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
    SUCCESS,
    asked_instance,
)
from dras_service.pacs.receive.deidentification import Deidentifier
from dras_service.pacs.receive.routing import Routing
from dras_service.pacs.receive.transport import BoundedSocket
from dras_service.pacs.syntaxes import CT_CLASSES
from dras_service.store.errors import StorageFull

_log = logging.getLogger(__name__)
_CANNOT_UNDERSTAND = 0xC000


class Storing:
    """Answers C-STORE, and follows how associations end."""

    def __init__(
        self, room: Room, routing: Routing, *, least_free_bytes: int, deidentifier: Deidentifier
    ) -> None:
        self._room = room
        self._routing = routing
        self._least_free_bytes = least_free_bytes
        self._deidentifier = deidentifier
        self.counts: Counter[str] = Counter()

    def store(self, event: evt.Event) -> int:
        """Return the status of one C-STORE request (PS3.4 B.2.3)."""
        channel = event.assoc.dul.socket
        if isinstance(channel, BoundedSocket):
            channel.object_ended()
        try:
            status, what = self._store(event)
        except NotDicom:
            status, what = _CANNOT_UNDERSTAND, "unreadable"
        except (StorageFull, OSError) as error:
            _log.error("an image is not kept: %s", outline(error))
            status, what = OUT_OF_RESOURCES, "full"
        self._count(what)
        return status

    def ended(self, event: evt.Event, *, ended_well: bool) -> None:
        """Note how an association ended."""
        if link := getattr(event.assoc, "dras_link", None):
            self._room.linked(link, ended_well=ended_well)

    def _store(self, event: evt.Event) -> tuple[int, str]:
        uid = asked_instance(event)
        if not is_uid(uid):
            return INVALID_INSTANCE, "invalid_uid"
        arrived: Path = event.dataset_path
        header = read_header(arrived)
        asked_class = str(event.request.AffectedSOPClassUID)
        if header[SOP_INSTANCE] != uid or header[SOP_CLASS] != asked_class or not is_uid(header[STUDY]):
            return MISMATCH, "mismatch"
        if asked_class not in CT_CLASSES:
            return SUCCESS, "not_ct"  # our own results among them, whichever way they come back
        return self._keep(event, arrived, header)

    def _keep(self, event: evt.Event, arrived: Path, header: Header) -> tuple[int, str]:
        requestor = event.assoc.requestor
        callers = self._routing.callers(requestor.ae_title.strip(), requestor.address)
        called = str(requestor.primitive.called_ae_title).strip() if requestor.primitive else ""
        found = self._routing.route(callers, called, header)
        if found is None:
            return NOT_AUTHORISED, "no_route"
        name, route = found
        if route.discard:
            return SUCCESS, "discarded"
        if shutil.disk_usage(self._room.folder).free < self._least_free_bytes:
            return OUT_OF_RESOURCES, "full"
        if route.deidentify:  # first: nothing else that is written may know the original UIDs
            header = self._deidentifier.rewrite(arrived)
        origin = self._routing.origin(name, route, header)
        self._room.keep(arrived, header, origin, link=_link_of(event))
        return SUCCESS, "kept"

    def _count(self, what: str) -> None:
        self.counts[what] += 1
        n = self.counts[what]
        if what != "kept" and n & (n - 1) == 0:
            _log.warning("objects answered so far (%s): %d", what, n)


def _link_of(event: evt.Event) -> str:
    """Return the name of an association, given when its first image is kept."""
    link: str | None = getattr(event.assoc, "dras_link", None)
    if link is None:
        link = uuid.uuid4().hex
        event.assoc.dras_link = link  # type: ignore[attr-defined]
    return link
