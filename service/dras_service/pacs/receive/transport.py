"""The listening socket with bounds that the library has not: on addresses, connections, PDUs, objects and time.

A PDU may say that it has 4 GB, and the library would wait for all of it in memory; a connection may say nothing,
and would wait for ever. Whoever breaks a bound is cut off, and nobody else notices. TLS is negotiated in the
connection's own thread, so that a silent client holds up no other.
"""

import ipaddress
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from socketserver import BaseServer
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from dras_service.observability.logs import outline

_log = logging.getLogger(__name__)
_SPARE = 8  # connections beyond the associations: whoever has one too many is told so, by A-ASSOCIATE-RJ
_IN_MEMORY_BYTES = (
    1_000_000  # of a message that is not streamed to the disk: any but a C-STORE, and each command
)
_REQUEST_BYTES = 65_536  # of an A-ASSOCIATE-RQ with 128 contexts and all syntaxes: 40 kB


class Bounds:
    """What one connection may do, and whom connections are taken from."""

    def __init__(
        self,
        *,
        max_pdu_bytes: int,
        max_object_bytes: int,
        idle_timeout_s: float,
        max_associations: int,
        is_known: Callable[[ipaddress.IPv4Address | ipaddress.IPv6Address], bool],
    ) -> None:
        self.max_pdu_bytes = max(max_pdu_bytes, _REQUEST_BYTES)
        self.max_object_bytes = max_object_bytes
        self.idle_timeout_s = idle_timeout_s
        self.max_connections = max_associations + _SPARE
        self.is_known = is_known


class BoundedSocket(AssociationSocket):
    """Reads what a PDU says it has, up to the bounds."""

    def __init__(self, association: Association, connection: socket.socket, bounds: Bounds) -> None:
        super().__init__(association, client_socket=connection)
        connection.settimeout(bounds.idle_timeout_s)
        self._bounds = bounds
        self._of_object = 0
        self._in_memory = 0

    def object_ended(self) -> None:
        """Begin to count anew: what was coming has come."""
        self._of_object = 0

    @property
    def _is_held_in_memory(self) -> bool:
        """Whether a message has begun whose parts the library collects in memory."""
        message = self.assoc.dimse.message
        return message is not None and message._data_set_file is None

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer where the connection ends. OSError where a bound is broken."""
        self._of_object += nr_bytes
        self._in_memory = self._in_memory + nr_bytes if self._is_held_in_memory else 0
        if (
            nr_bytes > self._bounds.max_pdu_bytes
            or self._of_object > self._bounds.max_object_bytes
            or self._in_memory > _IN_MEMORY_BYTES
        ):
            raise OSError("more bytes than are taken")
        if self.socket is None:
            raise OSError("the connection is closed")
        read = bytearray(nr_bytes)
        place = memoryview(read)
        n_read = 0
        deadline = time.monotonic() + self._bounds.idle_timeout_s
        while n_read < nr_bytes:
            n = self.socket.recv_into(place[n_read:])
            if n == 0:
                break
            n_read += n
            if time.monotonic() > deadline:
                raise TimeoutError("a PDU came too slowly")
        place.release()
        del read[n_read:]
        return read


class _Handler(RequestHandler):
    server: "BoundedServer"

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dul.socket = BoundedSocket(association, self.request, self.server.bounds)
        association.dul.event_queue.get_nowait()  # the first socket has said already that somebody is there
        return association


class BoundedServer(ThreadedAssociationServer):
    """Takes connections from addresses that are known, and not more than so many."""

    bounds: Bounds

    def __init__(self, *arguments: Any, bounds: Bounds, **options: Any) -> None:
        self.bounds = bounds
        self._refused: dict[str, int] = {}
        self._counting = threading.Lock()
        options["request_handler"] = _Handler
        super().__init__(*arguments, **options)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Take a connection; a handshake is left to whoever reads first."""
        connection, address = self.socket.accept()  # type: ignore[union-attr]
        connection.settimeout(self.bounds.idle_timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if isinstance(self.ssl_context, ssl.SSLContext):
            connection = self.ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def shutdown(self) -> None:
        """Take no connection any more."""
        BaseServer.shutdown(self)  # the library's own looks for this server on a list that it is not on
        self.server_close()

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's
        """Whether the connection is taken."""
        address = ipaddress.ip_address(client_address[0].partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        if not self.bounds.is_known(mapped or address):
            self._count("address")
            return False
        if len(self.active_associations) >= self.bounds.max_connections:
            self._count("connections")
            return False
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's
        """Say that a connection failed, without its text; the library would print a traceback."""
        if (error := sys.exc_info()[1]) is not None:
            _log.error("a connection failed: %s", outline(error))

    def _count(self, why: str) -> None:
        with self._counting:
            n = self._refused[why] = self._refused.get(why, 0) + 1
        if n & (n - 1) == 0:  # 1, 2, 4, 8: a flood of them writes few lines
            _log.warning("connections refused so far (%s): %d", why, n)
