from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.jobs import JobStore
from dras_service.store.schema import open_engine
from unit.dras_service.examples import Clock, Parts


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    settings = Settings(data=tmp_path / "data")
    clock = Clock()
    store = JobStore(open_engine(settings.store_url), clock=clock)
    store.create_tables()
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    yield Parts(store=store, blobs=blobs, settings=settings, clock=clock)
    store.close()


@pytest.fixture
def store(parts: Parts) -> JobStore:
    return parts.store


@pytest.fixture
def blobs(parts: Parts) -> BlobStore:
    return parts.blobs


@pytest.fixture
def clock(parts: Parts) -> Clock:
    return parts.clock
