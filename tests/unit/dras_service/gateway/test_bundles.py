import pytest

from dras_service.api.problems import MEDIA_TYPE
from unit.dras_service.examples import bundle_view, find

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def offered(store):
    views = (bundle_view("untrained-0", is_default=True), bundle_view("drasclr"))
    store.bundles.offer(views)
    return views


def test_every_bundle_that_was_proven_is_listed_with_what_it_is(client, offered):
    listed = client.get("/v1/bundles").json()["bundles"]
    assert listed == [view.model_dump(mode="json") for view in offered]
    assert [view["is_default"] for view in listed] == [True, False]


def test_a_job_may_name_a_bundle_that_is_offered(client, store, offered):
    answer = client.post("/v1/studies", params={"bundle": "drasclr"}, content=b"x", headers=RAW)
    assert (answer.status_code, answer.json()["bundle"]) == (202, "drasclr")
    assert find(store, answer.json()["id"]).bundle == "drasclr"
    assert client.get(answer.headers["Location"]).json()["bundle"] == "drasclr"


def test_a_job_that_names_none_gets_the_default(client, store, offered):
    answer = client.post("/v1/studies", content=b"x", headers=RAW)
    assert (answer.status_code, answer.json()["bundle"]) == (202, None)


def test_an_unknown_bundle_is_refused_with_those_there_are_and_nothing_is_kept(client, parts, offered):
    answer = client.post("/v1/studies", params={"bundle": "Doe"}, content=b"x" * 100, headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (422, "UNKNOWN_BUNDLE")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "Offered are untrained-0, drasclr;" in answer.json()["detail"]
    assert "Doe" not in answer.text
    assert parts.store.jobs.page(tenant="default", limit=1).jobs == ()
    assert list((parts.settings.blob_folder / "studies").iterdir()) == []


def test_a_bundle_cannot_be_chosen_before_any_worker_has_proven_one(client):
    answer = client.post("/v1/studies", params={"bundle": "drasclr"}, content=b"x", headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/v1/bundles").json() == {"bundles": []}


@pytest.mark.parametrize("name", ["", "../secret", "a" * 101, "Doe^Jane", "a b", ".hidden"])
def test_what_cannot_be_a_name_is_an_invalid_parameter_and_is_not_repeated(client, offered, name):
    answer = client.post("/v1/studies", params={"bundle": name}, content=b"x", headers=RAW)
    assert (answer.status_code, answer.json()["code"]) == (422, "INVALID_PARAMETER")
    assert answer.json()["errors"][0]["field"] == "query.bundle"
    assert len(name) < 2 or name not in answer.text
