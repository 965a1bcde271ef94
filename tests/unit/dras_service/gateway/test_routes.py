import pytest

from dras_model.results.study import Stage, StudyResult
from dras_service.api.problems import MEDIA_TYPE
from dras_service.store.errors import StoreUnavailable
from unit.dras_service.examples import claim_of, outputs_of, study_result


def problem_of(answer):
    assert answer.headers["content-type"] == MEDIA_TYPE
    return answer.status_code, answer.json()["code"], answer.json()["study_code"]


@pytest.fixture
def claim(store):
    return claim_of(store)


@pytest.fixture
def finished(blobs, store, claim):
    with blobs.workspace(claim) as room:
        (room / "out").mkdir()
        (room / "out" / "regions.csv").write_text("region,laa\nwhole,1\n")
        (room / "out" / "feature_map.nii.gz").write_bytes(b"0123456789")
        outputs = blobs.keep_outputs(room / "out", claim)
    store.leases.commit(claim, study_result(), outputs=outputs)
    return claim.job_id


def test_a_waiting_job_says_when_to_ask_again_and_an_ended_one_does_not(client, store, claim):
    waiting = client.get(f"/v1/jobs/{claim.job_id}")
    assert waiting.headers["Retry-After"] == "1"
    store.leases.reject(claim, code="NOT_DICOM", message="No.")
    assert "Retry-After" not in client.get(f"/v1/jobs/{claim.job_id}").headers


def test_a_job_shows_stage_progress_and_attempts(client, store, claim):
    store.leases.advance(claim, Stage.LUNGS, progress=0.3, lease_s=60.0)
    shown = client.get(f"/v1/jobs/{claim.job_id}").json()
    assert (shown["state"], shown["stage"], shown["progress"], shown["attempts"]) == (
        "preparing",
        "lungs",
        0.3,
        1,
    )


def test_the_links_of_a_job_lead_to_its_result(client, finished):
    links = client.get(f"/v1/jobs/{finished}").json()["links"]
    assert client.get(links["job"]).json()["id"] == finished
    assert StudyResult.model_validate_json(client.get(links["result"]).content) == study_result()
    listed = client.get(links["artifacts"]).json()["artifacts"]
    assert [file["name"] for file in listed] == ["feature_map.nii.gz", "regions.csv"]
    assert client.get(listed[1]["link"]).text == "region,laa\nwhole,1\n"


def test_a_file_comes_with_its_type_name_hash_and_in_ranges(client, finished):
    path = f"/v1/jobs/{finished}/artifacts/feature_map.nii.gz"
    whole, part = client.get(path), client.get(path, headers={"Range": "bytes=2-4"})
    listed = client.get(f"/v1/jobs/{finished}/artifacts").json()["artifacts"][0]
    assert whole.headers["content-type"] == "application/gzip"
    assert "feature_map.nii.gz" in whole.headers["content-disposition"]
    assert whole.headers["etag"] == f'"{listed["sha256"]}"'
    assert (part.status_code, part.content) == (206, b"234")


@pytest.mark.parametrize(
    "name", ["nothing.csv", "%2e%2e%2f%2e%2e%2fjobs.sqlite3", "../../jobs.sqlite3", "%00", "regions.csv%00"]
)
def test_a_file_that_is_not_in_the_index_is_not_there(client, finished, name):
    answer = client.get(f"/v1/jobs/{finished}/artifacts/{name}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize("what", ["result", "artifacts", "artifacts/result.json"])
def test_what_is_not_ready_rejected_or_failed_is_told_apart(client, store, what):
    claims = [claim_of(store) for _ in range(3)]
    store.leases.reject(claims[1], code="TOO_FEW_SLICES", message="Only three slices.")
    store.leases.fail(claims[2], code="INTERNAL", message="A defect.")
    answers = [client.get(f"/v1/jobs/{claim.job_id}/{what}") for claim in claims]
    assert [problem_of(answer) for answer in answers] == [
        (409, "RESULT_NOT_READY", None),
        (422, "STUDY_REJECTED", "TOO_FEW_SLICES"),
        (409, "JOB_FAILED", "INTERNAL"),
    ]
    assert answers[0].headers["Retry-After"] == "1"
    assert answers[1].json()["detail"] == "Only three slices."


@pytest.mark.parametrize("path", ["", "/result", "/artifacts", "/artifacts/result.json"])
def test_an_unknown_job_is_not_found_whatever_is_asked_of_it(client, path):
    assert problem_of(client.get(f"/v1/jobs/nothing{path}")) == (404, "JOB_NOT_FOUND", None)


def test_an_unknown_address_and_a_wrong_method_are_problems_too(client):
    assert problem_of(client.get("/v2")) == (404, "NOT_FOUND", None)
    answer = client.delete("/v1/studies")
    assert problem_of(answer) == (405, "METHOD_NOT_ALLOWED", None)
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("series", ["Doe^Jane", "1" * 65, "1.2.3;DROP"])
def test_an_invalid_parameter_is_named_but_never_repeated(client, series):
    answer = client.post("/v1/studies", params={"series": series}, content=b"x")
    assert problem_of(answer) == (422, "INVALID_PARAMETER", None)
    assert answer.json()["errors"][0]["field"] == "query.series"
    assert series not in answer.text


def test_a_defect_of_ours_says_nothing_of_its_cause(client, store, monkeypatch):
    def fail(_job_id, **_tenant):
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr(store.jobs, "find", fail)
    answer = client.get("/v1/jobs/1")
    assert problem_of(answer) == (500, "INTERNAL", None)
    assert "Doe" not in answer.text


def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(client, store, monkeypatch):
    def fail(_job_id, **_tenant):
        raise StoreUnavailable("away")

    monkeypatch.setattr(store.jobs, "find", fail)
    answer = client.get("/v1/jobs/1")
    assert problem_of(answer) == (503, "NOT_READY", None)
    assert int(answer.headers["Retry-After"]) > 0


def test_the_gateway_lives_as_long_as_it_answers(client):
    assert client.get("/healthz").json()["status"] == "ok"


def test_a_committed_index_without_files_lists_nothing_else(client, store, claim):
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    assert len(client.get(f"/v1/jobs/{claim.job_id}/artifacts").json()["artifacts"]) == 1
