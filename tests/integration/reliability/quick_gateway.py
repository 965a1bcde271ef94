"""A real gateway without a worker beside it, on the port its settings name; says `ready` when it serves."""

import asyncio
import logging
import socket
import sys

from dras_service.gateway.app import create_app
from dras_service.gateway.server import Server
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.settings import read_settings
from dras_service.store.engine import open_engine
from dras_service.store.opening import open_blobs
from dras_service.store.store import Store


class _Server(Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        sys.stdout.write("ready\n")
        sys.stdout.flush()


def main() -> None:
    settings = read_settings()
    logging.basicConfig(level=settings.log_level)
    engine = open_engine(settings.store_url, busy_timeout_s=settings.store.busy_timeout_s)
    store = Store(engine, first_queue=settings.first_queue)
    store.migrate()
    blobs = open_blobs(settings)
    blobs.prepare()
    hints = Hints(create_celery(settings))
    app = create_app(store=store, blobs=blobs, hints=hints, settings=settings)
    with socket.create_server((settings.gateway.host, settings.gateway.port)) as listener:
        asyncio.run(_Server(app, settings.gateway).serve(sockets=[listener]))
    store.close()


if __name__ == "__main__":
    main()
