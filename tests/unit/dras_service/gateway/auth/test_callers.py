import pytest

from dras_service.api.problems import MEDIA_TYPE


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
    assert (
        client.post(
            "/v1/studies", content=b"x" * 1000, headers={"Content-Type": "application/dicom"}
        ).status_code
        == 401
    )
    assert list((parts.settings.blob_folder / "incoming").iterdir()) == []


def test_metrics_are_for_the_scope_metrics_alone(client, bearer):
    assert client.get("/metrics", headers=bearer("read", "admin")).status_code == 403
    answer = client.get("/metrics", headers=bearer("metrics"))
    assert answer.status_code == 200
    assert "dras_database_up 1.0" in answer.text
