import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.reliability.site import Site
from servers import PostgreSQL, Redis, need_postgresql, need_redis


@pytest.fixture(scope="module")
def broker(server_folder: Path, request) -> Iterator[Redis]:
    """A Redis that a test may kill; it keeps nothing on its disk, which is the worst that can be."""
    need_redis()
    folder = server_folder / f"redis-{request.module.__name__.rpartition('.')[2]}"
    folder.mkdir()
    server = Redis(folder, "--appendonly", "no")
    server.start()
    yield server
    server.end()


@pytest.fixture(scope="module")
def database(server_folder: Path, request) -> Iterator[PostgreSQL]:
    """A PostgreSQL that a test may stop; it syncs."""
    need_postgresql()
    folder = server_folder / f"postgresql-{request.module.__name__.rpartition('.')[2]}"
    folder.mkdir()
    server = PostgreSQL(folder, "-c", "max_connections=200")
    server.start()
    yield server
    server.end(signal.SIGQUIT)


@pytest.fixture(scope="module")
def cluster(database: PostgreSQL, broker: Redis, tmp_path_factory) -> Iterator[Site]:
    """PostgreSQL and Redis, with a gateway and a worker that run."""
    site = Site(
        tmp_path_factory.mktemp("cluster"), store_url=database.create("cluster"), queue_url=broker.url
    )
    site.gateway()
    site.worker()
    yield site
    site.close()


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Iterator[Site]:
    """SQLite and the broker of folders: what `dras serve` is by default. A gateway and a worker run."""
    site = Site(tmp_path_factory.mktemp("single"))
    site.gateway()
    site.worker()
    yield site
    site.close()
