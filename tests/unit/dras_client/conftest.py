"""The SDK against the real gateway, without a network, over parts that a test can set."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dras_client import Client
from dras_service.gateway.app import create_app
from dras_service.settings import GatewaySettings, Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.store import Store
from unit.dras_service.examples import Clock, Parts


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    settings = Settings(data=tmp_path / "data", gateway=GatewaySettings(retry_after_s=0.001))
    store = Store(open_engine(settings.store_url))
    store.migrate()
    blobs = BlobStore(settings.blob_folder)
    blobs.prepare()
    yield Parts(store=store, blobs=blobs, settings=settings, clock=Clock())
    store.close()


@pytest.fixture
def client(parts: Parts) -> Iterator[Client]:
    app = create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=parts.settings)
    with (
        TestClient(app, raise_server_exceptions=False) as gateway,
        Client("http://testserver", transport=gateway._transport) as client,
    ):
        yield client
