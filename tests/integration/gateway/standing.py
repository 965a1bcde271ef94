"""One gateway in a thread of this process: as it is served, a real database, a broker that only remembers."""

import asyncio
import contextlib
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from dras_service.gateway.app import create_app
from dras_service.gateway.server import BACKLOG, Server
from dras_service.security.keys import new_key
from dras_service.security.principal import ALL_SCOPES
from dras_service.settings import AuthenticationSettings, GatewaySettings, Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.store import Store
from unit.dras_service.examples import Hints


class Standing:
    """Serves from its construction until `end`."""

    def __init__(self, data: Path, limits: GatewaySettings, *, locked: bool = False) -> None:
        authentication = AuthenticationSettings(required=locked, most_failures=10**9)
        self.settings = Settings(data=data, gateway=limits, authentication=authentication)
        self.store = Store(open_engine(self.settings.store_url))
        self.store.migrate()
        self.blobs = BlobStore(self.settings.blob_folder)
        self.blobs.prepare()
        self.app = create_app(store=self.store, blobs=self.blobs, hints=Hints(), settings=self.settings)
        self._server = Server(self.app, limits)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)

    def _run(self) -> None:
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # no main thread
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            runner.run(self._server.serve(sockets=[self._listener]))

    def key(self) -> str:
        """Make a key that may do everything in the one tenant."""
        made = new_key()
        scopes = tuple(sorted(ALL_SCOPES))
        self.store.keys.add(made.id, made.secret_sha256, tenant="default", label="test", scopes=scopes)
        return made.token

    def end(self) -> None:
        """End the service as a signal would, though without a drain."""
        self._server.should_exit = True
        self._thread.join(30)
        self._listener.close()
        self.store.close()

    def shut(self, *, within_s: float) -> Future[None]:
        """Shut the door as a signal does, without waiting for the end."""
        return asyncio.run_coroutine_threadsafe(self.app.state.door.shut(within_s=within_s), self.loop)

    def files(self) -> list[Path]:
        """Everything that lies among the blobs, unfinished or not."""
        while True:
            with suppress(FileNotFoundError):  # a folder that is cleared away while it is looked into
                return [path for path in self.settings.blob_folder.rglob("*") if path.is_file()]

    def n_jobs(self) -> int:
        """Jobs of the one tenant."""
        return len(self.store.jobs.page(tenant="default", limit=10_000).jobs)

    def connect(self) -> socket.socket:
        """Open a connection to speak over by hand."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)
