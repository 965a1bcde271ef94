import pytest
from starlette.testclient import TestClient

from dras_service.api.problems import MEDIA_TYPE
from dras_service.errors import CannotServe
from dras_service.gateway.app import create_app
from dras_service.gateway.auth_binding import check_binding, guarded
from dras_service.gateway.auth_trail import ACTIONS
from dras_service.security.actions import Action
from dras_service.security.keys import new_key
from dras_service.settings import (
    AuthenticationSettings,
    GatewaySettings,
    ObservabilitySettings,
    Settings,
)
from dras_service.store.errors import StoreUnavailable
from unit.dras_service.examples import claim_of, study_result

DICOM = {"Content-Type": "application/dicom"}


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


def entries(store):
    return [(entry.action, entry.object, entry.outcome) for entry in store.audit.after(0)]


def test_nobody_is_let_in_without_a_key_and_told_which_kind_is_wanted(client):
    answer = client.get("/v1/jobs")
    assert (answer.status_code, answer.headers["content-type"]) == (401, MEDIA_TYPE)
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="dras"'


@pytest.mark.parametrize("header", ["Bearer dras_no", "Bearer ..", "Bearer é"])
def test_a_wrong_key_is_called_invalid_and_never_repeated(client, header):
    answer = client.get("/v1/jobs", headers={"Authorization": header.encode()})
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert header.partition(" ")[2] not in answer.text


@pytest.mark.parametrize("header", ["Basic ZHJhczpkcmFz", "Bearer", "dras_x"])
def test_another_scheme_is_no_credential_at_all(client, header):
    assert client.get("/v1/jobs", headers={"Authorization": header}).status_code == 401


def test_a_key_in_the_query_opens_nothing(client, bearer):
    token = bearer("read")["Authorization"].partition(" ")[2]
    for name in ("key", "token", "access_token"):
        assert client.get("/v1/jobs", params={name: token}).status_code == 401


def test_a_missing_scope_is_named_and_nothing_happens(client, bearer, store, finished):
    answer = client.delete(f"/v1/jobs/{finished}", headers=bearer("read"))
    assert (answer.status_code, answer.json()["code"]) == (403, "SCOPE_MISSING")
    assert 'scope="purge"' in answer.headers["WWW-Authenticate"]
    assert store.jobs.document(finished, tenant="default") is not None


def test_too_many_failures_are_answered_429_and_a_valid_key_enters_all_the_same(client, bearer):
    answers = [client.get("/v1/jobs", headers={"Authorization": "Bearer dras_no"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert int(answers[3].headers["Retry-After"]) > 0
    assert client.get("/v1/jobs", headers=bearer("read")).status_code == 200


def test_a_body_is_not_read_before_the_caller_is_known(client, parts):
    assert client.post("/v1/studies", content=b"x" * 1000, headers=DICOM).status_code == 401
    assert list((parts.settings.blob_folder / "incoming").iterdir()) == []


def test_every_action_is_one_entry_with_its_object_and_its_end(client, bearer, store, finished):
    caller = bearer("submit", "read", "cancel")
    job = client.post("/v1/studies", content=b"abc", headers=caller | DICOM).json()["id"]
    client.get(f"/v1/jobs/{finished}/result", headers=caller)
    client.get(f"/v1/jobs/{finished}/artifacts/regions.csv", headers=caller)
    client.get(f"/v1/jobs/{finished}/artifacts/DOE^JANE", headers=caller)
    client.post(f"/v1/jobs/{job}/cancel", headers=caller)
    client.delete(f"/v1/jobs/{job}", headers=caller)
    client.get("/v1/jobs/DOE^JANE/result", headers=caller)
    client.get(f"/v1/jobs/{job}", headers=caller)  # looks at no result, so it is no action
    assert entries(store) == [
        ("study.submit", job, "success"),
        ("result.read", finished, "success"),
        ("artifact.download", finished, "success"),
        ("artifact.download", finished, "not_found"),
        ("job.cancel", job, "success"),
        ("job.purge", job, "denied"),
        ("result.read", "-", "not_found"),
    ]
    assert "DOE" not in str(store.audit.after(0))
    assert store.audit.first_broken() is None


def test_a_failed_login_is_an_entry_without_the_address(client, store):
    client.get("/v1/jobs", headers={"Authorization": "Bearer dras_no"})
    (entry,) = store.audit.after(0)
    assert (entry.action, entry.actor, entry.outcome) == ("login.fail", "unknown", "denied")
    assert "testclient" not in str(entry)
    assert entry.detail == '{"reason": "MALFORMED"}'


def test_what_cannot_be_recorded_is_not_given(client, bearer, store, finished, monkeypatch):
    def fail(*_args, **_fields):
        raise StoreUnavailable("away")

    caller = bearer("read")
    monkeypatch.setattr(store.audit, "append", fail)
    answer = client.get(f"/v1/jobs/{finished}/artifacts/regions.csv", headers=caller)
    assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")
    assert "region" not in answer.text.replace("regions", "")
    assert int(answer.headers["Retry-After"]) > 0


def test_a_defect_is_recorded_as_a_failure(client, bearer, store, finished, monkeypatch):
    def fail(*_args, **_fields):
        raise RuntimeError("defect")

    monkeypatch.setattr(store.jobs, "document", fail)
    assert client.get(f"/v1/jobs/{finished}/result", headers=bearer("read")).status_code == 500
    assert entries(store) == [("result.read", finished, "failed")]


# Looking at where jobs are, and being told, is no action on a study; what is not listed here is one.
NO_ACTION = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/bundles",
    "/v1/events",
    "/v1/jobs",
    "/v1/jobs/{job_id}",
    "/v1/jobs/{job_id}/events",
    "/v1/webhooks",
    "/v1/webhooks/{webhook_id}",
}


def test_every_route_of_the_document_is_recorded_under_a_name_or_known_to_be_no_action(app):
    operations = {(method.upper(), path) for path, item in app.openapi()["paths"].items() for method in item}
    unnamed = {
        (method, path)
        for method, path in operations
        if ("GET" if method == "HEAD" else method, path) not in ACTIONS
        and not (method == "GET" and path in NO_ACTION)
    }
    assert not unnamed
    assert set(ACTIONS) <= operations, "an entry of the table has lost its route"


def test_no_two_kinds_of_action_share_a_name():
    assert len(set(ACTIONS.values())) == len(ACTIONS)
    assert Action.CHANGE_OTHER not in ACTIONS.values()


def test_metrics_are_for_the_scope_metrics_alone(client, bearer):
    assert client.get("/metrics", headers=bearer("read", "admin")).status_code == 403
    answer = client.get("/metrics", headers=bearer("metrics"))
    assert answer.status_code == 200
    assert "dras_database_up 1.0" in answer.text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "127.0.0.1.example.org", ""])
def test_without_authentication_only_loopback_is_bound_and_with_it_anything(host):
    settings = Settings(gateway=GatewaySettings(host=host))
    with pytest.raises(CannotServe) as refusal:
        check_binding(settings)
    assert refusal.value.code == "INSECURE_BIND"
    check_binding(settings.model_copy(update={"authentication": AuthenticationSettings(required=True)}))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.0.1"])
def test_loopback_is_bound_without_authentication(host):
    check_binding(Settings(gateway=GatewaySettings(host=host)))


def test_the_port_of_metrics_is_bound_on_loopback_only():
    observability = ObservabilitySettings(metrics_port=9000, metrics_host="0.0.0.0")
    with pytest.raises(CannotServe):
        check_binding(Settings(observability=observability))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8042", 200),
        ("localhost", 200),
        ("[::1]:8042", 200),
        ("evil.example", 400),
        ("127.0.0.1.evil.example:8042", 400),
        ("", 400),
    ],
)
def test_a_page_of_elsewhere_reads_nothing_from_an_open_service(parts, host, status):
    app = create_app(store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=parts.settings)
    client = TestClient(guarded(app, parts.settings))
    assert client.get("/v1/jobs", headers={"Host": host}).status_code == status
