from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from dras_service.gateway.app import create_app
from unit.dras_service.examples import Parts


@pytest.fixture
def client(parts: Parts) -> Iterator[TestClient]:
    app = create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=parts.settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client
