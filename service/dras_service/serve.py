"""`dras serve`: gateway and worker as one command, on one machine, with nothing to install.

The gateway runs in this process, the worker in one of its own that is started again when it dies.
Both end with this process. There is no authentication yet, so nothing but loopback is bound.
"""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from dras_service.errors import CannotServe
from dras_service.gateway.app import create_app
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.jobs import JobStore
from dras_service.store.schema import open_engine
from dras_service.supervisor import WorkerProcess

_log = logging.getLogger(__name__)


def serve(settings: Settings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the URL once everything is ready.

    Raises CannotServe: INSECURE_BIND, ADDRESS_IN_USE, WORKER_NOT_STARTED, and what the worker's self-test finds.
    """
    host = settings.gateway.host
    if not _is_loopback(host):
        raise CannotServe(
            "INSECURE_BIND",
            f"There is no authentication yet, so only a loopback address is served, not {host};"
            " put a proxy that authenticates in front.",
        )
    with _listen(settings) as listener:
        asyncio.run(_serve(settings, listener, announce))


async def _serve(settings: Settings, listener: socket.socket, announce: Callable[[str], None]) -> None:
    store = JobStore(open_engine(settings.store_url, busy_timeout_s=settings.store.busy_timeout_s))
    store.create_tables()
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    hints = Hints(create_celery(settings), store)
    app = create_app(store=store, blobs=blobs, hints=hints, settings=settings)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=int(settings.gateway.shutdown_grace_s),
        )
    )
    worker = WorkerProcess(settings)
    try:
        await _until_stopped(server, worker, listener, announce)
    finally:
        await worker.stop()
        store.close()


async def _until_stopped(
    server: "_Server", worker: WorkerProcess, listener: socket.socket, announce: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    working = asyncio.create_task(_work(worker, lambda: announce(_url(listener))))
    await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()
    await serving
    working.cancel()
    # A worker that cannot start ends the service; one that is cancelled has been stopped with it.
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _work(worker: WorkerProcess, announce: Callable[[], None]) -> None:
    await worker.start()
    announce()
    await worker.keep_alive()


class _Server(uvicorn.Server):
    """uvicorn, but signals are ours: its own handler would end this process before the worker is."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Finish the answers that are under way and end; at once, when asked a second time."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.gateway.host, settings.gateway.port
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=2048)
    except OSError as error:
        raise CannotServe(
            "ADDRESS_IN_USE",
            f"Port {port} of {host} cannot be taken; choose another with --port, or 0 for any.",
        ) from error
    # asyncio turns Nagle's algorithm off only for sockets made with IPPROTO_TCP, which these are not; with
    # it, head and body of an answer are 40 ms apart.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
