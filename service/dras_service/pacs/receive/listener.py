"""The node as a process: it listens, submits what is complete and sends results back, until it is told to stop.

Put together here and nowhere else; `dras pacs listen` calls it. The broker is not needed: hints of new jobs are
sent by whichever gateway runs.
"""

import logging
import signal
import ssl
import threading
import uuid
from collections.abc import Callable
from functools import partial

from pynetdicom import AE, evt
from pynetdicom.presentation import build_context
from pynetdicom.transport import ThreadedAssociationServer

from dras_service.errors import CannotServe
from dras_service.gathering.completeness import Completer
from dras_service.gathering.room import Room
from dras_service.observability.logs import outline
from dras_service.pacs.configuration import MEGABYTE, Configuration, Tls
from dras_service.pacs.library import configure_library
from dras_service.pacs.receive.deidentification import IMPLEMENTATION, Deidentifier
from dras_service.pacs.receive.routing import Routing
from dras_service.pacs.receive.storing import Storing
from dras_service.pacs.receive.transport import BoundedServer, Bounds
from dras_service.pacs.retrieve.archive import open_archive
from dras_service.pacs.send.dispatcher import Dispatcher
from dras_service.pacs.syntaxes import CT_CLASSES, CT_SYNTAXES, STORAGE_CLASSES
from dras_service.queue.periodic import Periodic
from dras_service.security.salt import open_salt
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.store import Store

_log = logging.getLogger(__name__)
_VERIFICATION = "1.2.840.10008.1.1"
_NOBODY, _SOMEBODY = (uuid.uuid4().hex[:16] for _ in range(2))  # titles that nobody has
_LOOK_S = 0.5  # between two looks for complete studies
_SEND_S = 1.0


class Listener:
    """The node; `start` and `stop` it once."""

    def __init__(
        self, configuration: Configuration, *, store: Store, blobs: BlobStore, settings: Settings
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._blobs = blobs
        self._settings = settings
        self._room = Room(settings.gathering_folder, "listener")
        self._routing = Routing(configuration, expected=partial(_expected, configuration))
        self._storing = Storing(
            self._room,
            self._routing,
            least_free_bytes=settings.gateway.least_free_bytes,
            deidentifier=Deidentifier(open_salt(settings.salt_file)),
        )
        completer = Completer(self._room, self._routing.handling, store=store, blobs=blobs)
        self._dispatcher = Dispatcher(configuration, store=store, blobs=blobs, settings=settings.delivery)
        self._threads = (
            Periodic("completer", completer.run_once, interval_s=_LOOK_S),
            Periodic("dispatcher", self._dispatcher.run_once, interval_s=_SEND_S),
        )
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1]) if self._server else 0

    def start(self) -> None:
        """Begin. Raises CannotServe: ADDRESS_IN_USE, PACS_CONFIG_INVALID."""
        configure_library(self._room.arriving)
        for route in self._configuration.routes.values():
            self._store.tenants.create(route.tenant)
        node = self._configuration.node
        entity = _entity(self._configuration)
        try:
            server = entity.make_server(
                (node.host, node.port),
                evt_handlers=[
                    (evt.EVT_C_STORE, self._storing.store),
                    (evt.EVT_C_ECHO, lambda _event: 0x0000),
                    (evt.EVT_REQUESTED, self._judge),
                    (evt.EVT_RELEASED, partial(self._storing.ended, ended_well=True)),
                    (evt.EVT_ABORTED, partial(self._storing.ended, ended_well=False)),
                    (evt.EVT_CONN_CLOSE, partial(self._storing.ended, ended_well=False)),
                ],
                ssl_context=None if node.tls is None else server_context(node.tls),
                server_class=BoundedServer,
                bounds=Bounds(
                    max_pdu_bytes=node.max_pdu_bytes,
                    max_object_bytes=node.max_instance_mb * MEGABYTE,
                    idle_timeout_s=node.idle_timeout_s,
                    max_associations=node.max_associations,
                    is_known=self._routing.knows,
                ),
            )
        except OSError as error:
            raise CannotServe(
                "ADDRESS_IN_USE", f"Port {node.port} of {node.host} cannot be taken; choose another."
            ) from error
        threading.Thread(target=server.serve_forever, name="listener", daemon=True).start()
        self._server = server
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take nothing more, let each thread finish what it does, and end."""
        if self._server is not None:
            for association in self._server.active_associations:
                association.abort()
            self._server.shutdown()
        self._dispatcher.stop()
        for thread in self._threads:
            thread.stop()
        self._room.close()

    def _judge(self, event: evt.Event) -> None:
        """Have an association rejected whose caller is not known by this title at this address (PS3.8 9.3.4).

        The library rejects titles that are not on its list; one from elsewhere is made such a title.
        """
        requestor = event.assoc.requestor
        if requestor.primitive is None:
            return
        title = str(requestor.primitive.calling_ae_title).strip()
        if not self._routing.callers(title, requestor.address):
            requestor.primitive.calling_ae_title = _NOBODY


def listen(
    configuration: Configuration,
    *,
    store: Store,
    blobs: BlobStore,
    settings: Settings,
    announce: Callable[[int], None],
) -> None:
    """Run the node until SIGINT or SIGTERM; `announce` gets the port once it listens. Raises CannotServe."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stopping.set())
    node = Listener(configuration, store=store, blobs=blobs, settings=settings)
    node.start()
    announce(node.port)
    stopping.wait()
    node.stop()


def server_context(tls: Tls) -> ssl.SSLContext:
    """Return what our end of TLS is (PS3.15 B.12). Raises CannotServe PACS_CONFIG_INVALID."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.authorities is not None:
            context.load_verify_locations(tls.authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise CannotServe(
            "PACS_CONFIG_INVALID", "The certificate or the key for TLS cannot be used."
        ) from error
    return context


def _entity(configuration: Configuration) -> AE:
    node = configuration.node
    entity = AE(node.ae_title)
    # Never empty, which would let everybody in.
    titles = {peer.ae_title for peer in configuration.peers.values()}
    entity.require_calling_aet = sorted(titles) or [_SOMEBODY]
    entity.implementation_class_uid = IMPLEMENTATION
    entity.implementation_version_name = "DRAS"
    entity.maximum_associations = node.max_associations
    entity.maximum_pdu_size = node.max_pdu_bytes
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.idle_timeout_s
    entity.require_called_aet = not node.any_called_title
    syntaxes = list(CT_SYNTAXES)
    classes = dict.fromkeys((*CT_CLASSES, *STORAGE_CLASSES))
    entity.supported_contexts = [
        build_context(_VERIFICATION),
        *(build_context(sop_class, syntaxes) for sop_class in classes),
    ]
    return entity


def _expected(configuration: Configuration, peer: str, study_uid: str) -> int | None:
    """Ask a peer how many images a study has; None where it cannot be asked now, or what it says is of no use."""
    try:
        with open_archive(configuration, peer) as archive:
            return archive.count_instances(study_uid)
    except Exception as error:  # noqa: BLE001 - it may answer anything; the study is left to the silence
        _log.warning("%s cannot say how many images a study has: %s", peer, outline(error))
        return None
