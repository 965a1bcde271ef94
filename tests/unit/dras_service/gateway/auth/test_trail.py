from fastapi.routing import iter_route_contexts

from dras_service.gateway.auth.trail import ACTIONS, DICOMWEB_ACTIONS
from dras_service.security.actions import Action
from dras_service.store.errors import StoreUnavailable


def entries(store):
    return [(entry.action, entry.object, entry.outcome) for entry in store.audit.after(0)]


def test_every_action_is_one_entry_with_its_object_and_its_end(client, bearer, store, finished):
    caller = bearer("submit", "read", "cancel")
    job = client.post(
        "/v1/studies", content=b"abc", headers=caller | {"Content-Type": "application/dicom"}
    ).json()["id"]
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
    # QIDO-RS says where results are, and shows none.
    "/dicom-web/studies",
    "/dicom-web/series",
    "/dicom-web/instances",
    "/dicom-web/workitems",
    "/dicom-web/studies/{study}/series",
    "/dicom-web/studies/{study}/instances",
    "/dicom-web/studies/{study}/series/{series}/instances",
    "/dicom-web/workitems/{uid}",
    "/openapi.json",
    "/",
    "/page/{name:path}",
}


# Always refused: workitems go on by themselves. It is recorded as `change.other`.
UNNAMED = {("PUT", "/dicom-web/workitems/{uid}/state")}


def test_every_route_is_recorded_under_a_name_or_known_to_be_no_action(app):
    operations = {
        (method, route.path)
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if route.path
    }
    unnamed = {
        (method, path)
        for method, path in operations
        if ("GET" if method == "HEAD" else method, path) not in {**ACTIONS, **DICOMWEB_ACTIONS}
        and not (method in ("GET", "HEAD") and path in NO_ACTION)
    }
    assert unnamed == UNNAMED
    assert set(ACTIONS) | set(DICOMWEB_ACTIONS) <= operations, "an entry of a table has lost its route"


def test_a_store_by_dicomweb_is_recorded_under_a_name_of_its_own(client, bearer, store):
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=B'}
    body = b"--B\r\nContent-Type: application/dicom\r\n\r\nno image\r\n--B--\r\n"
    answer = client.post("/dicom-web/studies", content=body, headers=bearer("submit") | kind)
    assert answer.status_code == 409
    assert [action for action, _, _ in entries(store)] == ["dicom.store"]
    assert not set(DICOMWEB_ACTIONS.values()) & set(ACTIONS.values())


def test_no_two_kinds_of_action_share_a_name():
    assert len(set(ACTIONS.values())) == len(ACTIONS)
    assert Action.CHANGE_OTHER not in ACTIONS.values()


def test_a_result_that_is_asked_for_by_dicomweb_is_an_action_though_the_document_does_not_list_it(
    client, bearer, store
):
    client.get("/dicom-web/studies/1.2.3", headers=bearer("read"))
    assert entries(store) == [("dicom.retrieve", "-", "not_found")]
