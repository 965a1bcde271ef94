"""Lists, cancelling, purging, Idempotency-Key and the same study again."""

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dras_service.store.rows import Job
from integration.serving import wait_until
from unit.dras_service.examples import claim_of, find, study_result, submit

RAW = {"Content-Type": "application/octet-stream"}


def upload(client, content=b"a study", key=None, **params):
    headers = RAW if key is None else RAW | {"Idempotency-Key": key}
    return client.post("/v1/studies", params=params, content=content, headers=headers)


def code_of(answer):
    return answer.status_code, answer.json()["code"]


def pages(client, **params):
    """Every page of a list."""
    found, cursor = [], None
    while True:
        answer = client.get("/v1/jobs", params=params | ({} if cursor is None else {"cursor": cursor})).json()
        found.append([job["id"] for job in answer["jobs"]])
        cursor = answer["cursor"]
        if cursor is None:
            return found


@pytest.fixture
def seven(store, clock) -> list[Job]:
    jobs = []
    for number in range(7):
        clock.now += number % 3  # some at the same moment
        jobs.append(submit(store, priority=number))
    return jobs


# Lists


def test_a_list_in_pages_is_every_job_once_newest_first(client, seven):
    listed = pages(client, limit=3)
    assert [len(page) for page in listed] == [3, 3, 1]
    order = sorted(seven, key=lambda job: (job.created_at, job.id), reverse=True)
    assert [job_id for page in listed for job_id in page] == [job.id for job in order]


def test_a_job_that_comes_between_two_pages_is_neither_repeated_nor_skipped(client, store, clock, seven):
    first = client.get("/v1/jobs", params={"limit": 3}).json()
    clock.now += 1
    submit(store)
    rest = client.get("/v1/jobs", params={"limit": 50, "cursor": first["cursor"]}).json()
    ids = [job["id"] for job in first["jobs"] + rest["jobs"]]
    assert sorted(ids) == sorted(job.id for job in seven)


def test_a_list_shows_what_the_filter_says(client, store, clock):
    waiting = submit(store, priority=-1)
    clock.now = 2000.0
    rejected = claim_of(store, priority=1)
    store.leases.reject(rejected, code="NOT_DICOM", message="No.")
    shown = [
        pages(client, state="queued"),
        pages(client, state=["rejected", "failed"]),
        pages(client, code="NOT_DICOM"),
        pages(client, since="1970-01-01T00:33:20Z"),
        pages(client, until="1970-01-01T00:33:20Z"),
        pages(client, state="cancelled"),
    ]
    assert shown == [
        [[waiting.id]],
        [[rejected.job_id]],
        [[rejected.job_id]],
        [[rejected.job_id]],
        [[waiting.id]],
        [[]],
    ]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"cursor": "Doe"}, "query.cursor"),
        ({"cursor": "WzEsMl0="}, "query.cursor"),
        ({"limit": 0}, "query.limit"),
        ({"limit": 201}, "query.limit"),
        ({"state": "Doe"}, "query.state"),
        ({"since": "2026-01-01T00:00:00"}, "query.since"),
        ({"Doe": "Jane"}, "query"),
    ],
    ids=str,
)
def test_a_list_cannot_be_asked_for_in_another_way_and_nothing_is_repeated(client, params, field):
    answer = client.get("/v1/jobs", params=params)
    assert code_of(answer) == (422, "INVALID_PARAMETER")
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert "Doe" not in answer.text


# The end of a job


def test_a_job_that_waits_is_cancelled_at_once_and_again_without_a_change(client, store):
    job = submit(store)
    first, second = (client.post(f"/v1/jobs/{job.id}/cancel") for _ in range(2))
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert first.json() == second.json()


def test_a_job_that_runs_is_asked_to_stop_and_says_so(client, store):
    claim = claim_of(store)
    shown = client.post(f"/v1/jobs/{claim.job_id}/cancel").json()
    assert (shown["state"], shown["cancel_requested"]) == ("preparing", True)
    store.leases.end_cancelled(claim)
    assert client.get(f"/v1/jobs/{claim.job_id}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/cancel"), ("DELETE", ""), ("GET", "/events"), ("HEAD", "/result")]
)
def test_a_job_that_is_not_there_can_be_neither_ended_nor_heard(client, method, path):
    answer = client.request(method, f"/v1/jobs/nothing{path}")
    assert answer.status_code == 404


@pytest.fixture
def finished(blobs, store, client):
    """A job with a result, made from an upload."""
    job_id = upload(client, b"purge me").json()["id"]
    claim = store.leases.claim(owner="me", lease_s=60.0)
    with blobs.workspace(claim) as room:
        (room / "out").mkdir()
        (room / "out" / "regions.csv").write_text("region,laa\n")
        outputs = blobs.keep_outputs(room / "out", claim)
    store.leases.commit(claim, study_result(), outputs=outputs)
    return job_id


def test_what_is_purged_is_gone_from_every_answer_at_once_and_from_the_disk_soon(client, parts, finished):
    assert client.get(f"/v1/jobs/{finished}/result").status_code == 200
    assert client.delete(f"/v1/jobs/{finished}").status_code == 204
    for path in ("", "/result", "/artifacts", "/artifacts/regions.csv", "/events"):
        assert code_of(client.get(f"/v1/jobs/{finished}{path}")) == (404, "JOB_NOT_FOUND")
    assert client.post(f"/v1/jobs/{finished}/cancel").status_code == 404
    assert client.delete(f"/v1/jobs/{finished}").status_code == 404
    assert pages(client) == [[]]
    folder = parts.settings.blob_folder
    wait_until(
        lambda: not [path for path in folder.rglob("*") if path.is_file()],
        within_s=10,
        what="study and result are removed",
    )


def test_the_study_stays_as_long_as_another_job_needs_it(client, parts, finished):
    other = upload(client, b"purge me", phase="expiration").json()["id"]
    client.delete(f"/v1/jobs/{finished}")
    wait_until(
        lambda: not list((parts.settings.blob_folder / "outputs").iterdir()), within_s=10, what="purged"
    )
    assert parts.blobs.study_path(find(parts.store, other).study_key).read_bytes() == b"purge me"


def test_a_job_that_has_not_ended_is_not_purged(client, store):
    claim = claim_of(store)
    assert code_of(client.delete(f"/v1/jobs/{claim.job_id}")) == (409, "JOB_NOT_FINAL")


def test_the_result_has_a_validator_of_its_own(client, finished):
    path = f"/v1/jobs/{finished}/result"
    first = client.get(path)
    assert first.headers["etag"] == f'"{hashlib.sha256(first.content).hexdigest()}"'
    assert client.get(path, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
    assert client.head(path).headers["content-length"] == str(len(first.content))


# The same again


def test_the_same_study_again_is_the_job_there_is(client):
    first, second = upload(client), upload(client)
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json()["id"] == second.json()["id"]
    assert second.headers["Location"] == first.headers["Location"]


@pytest.mark.parametrize(
    "params", [{"phase": "expiration"}, {"harmonise": False}, {"series": "1.2"}, {"repeat": True}], ids=str
)
def test_the_same_study_with_another_wish_is_another_job(client, params):
    assert upload(client).json()["id"] != upload(client, **params).json()["id"]


@pytest.mark.parametrize(
    "params", [{"phase": "auto"}, {"harmonise": True}, {"limits": "{}"}, {"priority": 3}], ids=str
)
def test_a_wish_for_what_is_so_anyway_is_no_other_job(client, params):
    assert upload(client).json()["id"] == upload(client, **params).json()["id"]


def test_twenty_uploads_of_one_study_at_once_make_one_job(client, store):
    gate = threading.Barrier(20)

    def send(_):
        gate.wait()
        return upload(client, b"one study" * 1000)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(send, range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(store.jobs.page(tenant="default", limit=50).jobs) == 1


# Idempotency-Key: draft-ietf-httpapi-idempotency-key-header-07, 2.6 and 2.7


def test_a_key_with_the_same_request_is_the_same_job_and_the_first_answer(client, store):
    first, second = (upload(client, key='"8e03978e"', repeat=True) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]
    assert len(store.jobs.page(tenant="default", limit=50).jobs) == 1


def test_a_key_is_the_same_with_and_without_its_quotes(client):
    assert (
        upload(client, key="k", repeat=True).json()["id"]
        == upload(client, key='"k"', repeat=True).json()["id"]
    )


@pytest.mark.parametrize(
    "other", [{"content": b"another study"}, {"phase": "expiration"}, {"priority": 2}], ids=str
)
def test_a_key_with_another_request_is_refused(client, store, other):
    upload(client, key="k")
    assert code_of(upload(client, key="k", **other)) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert len(store.jobs.page(tenant="default", limit=50).jobs) == 1


def test_the_same_study_under_another_key_and_a_wish_to_repeat_is_a_new_job(client):
    assert upload(client, key="a").json()["id"] != upload(client, key="b", repeat=True).json()["id"]


def test_a_key_whose_request_is_under_way_is_answered_at_once(client, parts, monkeypatch):
    submission, entered, go_on = parts.store.submission, threading.Event(), threading.Event()
    submit_slowly = submission.submit

    def wait(*args, **fields):
        entered.set()
        assert go_on.wait(30)
        return submit_slowly(*args, **fields)

    monkeypatch.setattr(submission, "submit", wait)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(upload, client, key="k")
        assert entered.wait(30)
        second = upload(client, key="k")
        go_on.set()
        assert first.result().status_code == 202
    assert code_of(second) == (409, "IDEMPOTENCY_KEY_IN_USE")
    assert int(second.headers["Retry-After"]) > 0
    monkeypatch.setattr(submission, "submit", submit_slowly)
    assert upload(client, key="k").json()["id"] == first.result().json()["id"]


@pytest.mark.parametrize("key", ["", '""', "a" * 201, "a b", "ä".encode()])
def test_what_is_no_key_is_an_invalid_parameter(client, key):
    answer = upload(client, key=key)
    assert code_of(answer) == (422, "INVALID_PARAMETER")
    assert answer.json()["errors"][0]["field"] == "header.idempotency-key"


# Options


def test_wishes_are_kept_with_the_job_where_they_differ_from_the_defaults(client, store):
    answer = upload(
        client,
        series="1.2.3",
        phase="inspiration",
        harmonise="false",
        reference_volume_ml="5500",
        limits=json.dumps({"noise_hu": 35, "air_hu": [-960.0, -1030.0], "kvp": 120}),
        priority="7",
    )
    shown, kept = answer.json(), find(store, answer.json()["id"])
    assert shown["options"] == {
        "phase": "inspiration",
        "harmonise": False,
        "reference_volume_ml": 5500.0,
        "limits": {"noise_hu": 35.0, "air_hu": [-1030.0, -960.0]},
    }
    assert (kept.options, kept.priority, kept.series_uid) == (shown["options"], 7, "1.2.3")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"phase": "Doe"}, "query.phase"),
        ({"reference_volume_ml": "0"}, "query.reference_volume_ml"),
        ({"reference_volume_ml": "nan"}, "query.reference_volume_ml"),
        ({"limits": "Doe"}, "query.limits"),
        ({"limits": "[1]"}, "query.limits"),
        ({"limits": '{"Doe": 1}'}, "query.limits"),
        ({"limits": '{"noise_hu": NaN}'}, "query.limits"),
        ({"limits": '{"noise_hu": -1}'}, "query.limits.noise_hu"),
        ({"limits": '{"air_hu": [5, 1, 2]}'}, "query.limits.air_hu"),
        ({"limits": '{"air_hu": [5, "Doe"]}'}, "query.limits.air_hu"),
        ({"limits": "[" * 5000}, "query.limits"),
        ({"priority": "11"}, "query.priority"),
        ({"Doe": "1"}, "query"),
    ],
    ids=str,
)
def test_a_wish_that_cannot_be_is_named_and_not_repeated(client, params, field):
    answer = upload(client, **params)
    assert code_of(answer) == (422, "INVALID_PARAMETER")
    assert answer.json()["errors"][0]["field"] == field
    assert "Doe" not in answer.text


@pytest.mark.parametrize(
    ("quotas", "status", "code"),
    [({"max_queued_jobs": 1}, 429, "QUEUE_QUOTA"), ({"max_stored_bytes": 10}, 507, "STORAGE_QUOTA")],
)
def test_a_tenants_quota_is_said_and_nothing_is_kept(client, parts, quotas, status, code):
    upload(client, b"first")
    parts.store.tenants.set_quotas("default", quotas)
    assert code_of(upload(client, b"and another")) == (status, code)
    assert len([path for path in parts.settings.blob_folder.rglob("*") if path.is_file()]) == 1
