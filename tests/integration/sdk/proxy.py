"""A proxy before a service that does what a test wants with each connection: answer a page, cut it, keep silent."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass

_BLOCK = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST


@dataclass(frozen=True)
class Page:
    """Answer this, without asking the service."""

    status: int
    headers: str = ""


@dataclass(frozen=True)
class Cut:
    """Pass on so many bytes of what one side sends, then reset both connections."""

    after_bytes: int
    of: str = "client"


class Silence:
    """Take everything and answer nothing."""


class Proxy:
    """Listens until `end`; each connection takes the next of `faults`, and is passed on where there is none."""

    def __init__(self, port: int, *faults: object) -> None:
        self.faults = list(faults)
        self.n_connections = 0
        self.answered = bytearray()  # the latest of what the service has sent
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def end(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.n_connections += 1
                fault = self.faults.pop(0) if self.faults else None
                threading.Thread(target=self._connect, args=(client, fault), daemon=True).start()

    def _connect(self, client: socket.socket, fault: object) -> None:
        with client, contextlib.suppress(OSError):
            if isinstance(fault, Page):
                _answer(client, fault)
            elif isinstance(fault, Silence):
                while client.recv(_BLOCK):
                    pass
            else:
                self._pass_on(client, fault)

    def _pass_on(self, client: socket.socket, fault: object) -> None:
        with socket.create_connection(("127.0.0.1", self._port)) as service:
            ways = {"client": (client, service, bytearray()), "service": (service, client, self.answered)}
            threads = [
                threading.Thread(
                    target=_pump,
                    args=(*way, fault.after_bytes if isinstance(fault, Cut) and fault.of == name else None),
                    daemon=True,
                )
                for name, way in ways.items()
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def _answer(client: socket.socket, page: Page) -> None:
    while b"\r\n\r\n" not in client.recv(_BLOCK):
        pass
    html = b"<html><h1>Bad gateway</h1></html>"
    head = f"HTTP/1.1 {page.status} x\r\nContent-Type: text/html\r\nContent-Length: {len(html)}\r\n{page.headers}"
    client.sendall(head.encode() + b"Connection: close\r\n\r\n" + html)
    client.shutdown(socket.SHUT_WR)
    while client.recv(_BLOCK):  # a close with bytes unread would take the answer back
        pass


def _pump(source: socket.socket, target: socket.socket, seen: bytearray, limit: int | None) -> None:
    n_bytes = 0
    with contextlib.suppress(OSError):
        while block := source.recv(_BLOCK):
            n_bytes += len(block)
            if limit is not None and n_bytes > limit:
                for each in (source, target):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    each.shutdown(socket.SHUT_RDWR)
                    each.close()
                return
            target.sendall(block)
            seen[:] = (seen + block)[-_BLOCK:]
        target.shutdown(socket.SHUT_WR)
