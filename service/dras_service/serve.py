"""`dras serve`: gateway and worker as one command, on one machine, with nothing to install.

The gateway runs in this process, the worker in one of its own that is started again when it dies.
Both end with this process. Where workers run elsewhere, `with_worker=False` leaves it at the gateway.
Without authentication nothing but loopback is bound.
"""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Callable, Iterator

from starlette.types import ASGIApp

from dras_service.errors import CannotServe
from dras_service.gateway.app import create_app
from dras_service.gateway.auth.binding import check_binding, guarded
from dras_service.gateway.door import Door
from dras_service.gateway.server import BACKLOG, Server
from dras_service.observability.tracing import open_tracing
from dras_service.operation import metrics_port, recorded
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.settings import GatewaySettings, Settings
from dras_service.store.errors import StoreError
from dras_service.store.opening import check_blobs, open_blobs, open_store
from dras_service.supervisor import WorkerProcess

_log = logging.getLogger(__name__)


def serve(settings: Settings, *, announce: Callable[[str], None], with_worker: bool = True) -> None:
    """Serve until SIGINT or SIGTERM; `announce` gets the URL once everything is ready.

    Raises CannotServe: INSECURE_BIND, ADDRESS_IN_USE, WORKER_NOT_STARTED, what opening database and blobs finds,
    and what the worker's self-test does.
    """
    check_binding(settings)
    _raise_descriptor_limit()
    with _listen(settings) as listener:
        try:
            asyncio.run(_serve(settings, listener, announce, with_worker=with_worker))
        except StoreError as error:
            raise CannotServe(
                "STORE_UNAVAILABLE", "The database cannot be reached or written; `dras doctor` says more."
            ) from error


async def _serve(
    settings: Settings, listener: socket.socket, announce: Callable[[str], None], *, with_worker: bool
) -> None:
    store = open_store(settings)
    check_blobs(settings)
    blobs = open_blobs(settings)
    blobs.prepare()
    hints = Hints(create_celery(settings))
    tracing = open_tracing(settings.observability, service="dras-gateway")
    app = create_app(store=store, blobs=blobs, hints=hints, settings=settings, tracing=tracing)
    server = _Server(guarded(app, settings), settings.gateway, app.state.door)
    worker = WorkerProcess(settings) if with_worker else None
    try:
        with recorded(store), metrics_port(app.state.metrics, settings.observability):
            await _until_stopped(server, worker, listener, announce)
    finally:
        if worker is not None:
            await worker.stop()
        tracing.close()
        store.close()


async def _until_stopped(
    server: "_Server",
    worker: WorkerProcess | None,
    listener: socket.socket,
    announce: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    stopping: set[asyncio.Task[None]] = set()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: stopping.add(asyncio.create_task(server.end())))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    working = asyncio.create_task(_work(worker, lambda: announce(_url(listener))))
    await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
    await server.end()
    await serving
    working.cancel()
    # A worker that cannot start ends the service; one that is cancelled has been stopped with it.
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _work(worker: WorkerProcess | None, announce: Callable[[], None]) -> None:
    if worker is None:
        announce()
        await asyncio.Event().wait()  # until it is cancelled
    else:
        await worker.start()
        announce()
        await worker.keep_alive()


class _Server(Server):
    """The gateway's, but signals are ours: uvicorn's own handler would end this process before the worker is."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, door: Door) -> None:
        super().__init__(app, settings)
        self._door = door
        self._limits = settings

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def end(self) -> None:
        """Take nothing new, finish what is under way, and end; at once, when asked a second time."""
        if self._door.is_shut:
            self.force_exit = True
        else:
            limits = self._limits
            await self._door.shut(within_s=limits.shutdown_grace_s, notice_s=limits.shutdown_notice_s)
        self.should_exit = True


def _raise_descriptor_limit() -> None:
    """Allow as many open files as this process may have: an upload needs two, and 1,024 is a common soft limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.gateway.host, settings.gateway.port
    try:
        listener = socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
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
