import pytest
from starlette.testclient import TestClient

from dras_service.gateway.app import create_app
from dras_service.security.keys import new_key
from dras_service.settings import AuthenticationSettings
from unit.dras_service.examples import claim_of, study_result


@pytest.fixture
def app(parts):
    authentication = AuthenticationSettings(required=True, most_failures=3, failure_window_s=300.0)
    settings = parts.settings.model_copy(update={"authentication": authentication})
    return create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=settings)


@pytest.fixture
def client(app):
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def bearer(store):
    def make(*scopes: str) -> dict[str, str]:
        key = new_key()
        store.keys.add(key.id, key.secret_sha256, tenant="default", label="", scopes=scopes)
        return {"Authorization": f"Bearer {key.token}"}

    return make


@pytest.fixture
def finished(parts):
    claim = claim_of(parts.store)
    with parts.blobs.workspace(claim) as room:
        (room / "out").mkdir()
        (room / "out" / "regions.csv").write_text("region")
        outputs = parts.blobs.keep_outputs(room / "out", claim)
    parts.store.leases.commit(claim, study_result(), outputs=outputs)
    return claim.job_id
