import pytest

from unit.dras_service.examples import claim_of, outputs_of, study_result, submit
from unit.dras_service.store.test_neighbours import finished, unit


def similar(client, job_id, **params):
    return client.get(f"/v1/jobs/{job_id}/similar", params=params)


def test_neighbours_are_answered_with_what_they_were_compared_by(client, store):
    own = finished(store, "a", space="f" * 64, whole=unit(1, 0), right=unit(1, 1))
    other = finished(store, "b", space="f" * 64, whole=unit(1, 1), right=unit(1, 1))
    answer = similar(client, own, region="right", limit=1)
    assert answer.status_code == 200
    found = answer.json()
    assert found["neighbours"][0] | {"created_at": ""} == {
        "job_id": other,
        "region": "right",
        "similarity": pytest.approx(1.0),
        "n_patches": 7,
        "created_at": "",
    }
    del found["neighbours"]
    assert found == {
        "job_id": own,
        "region": "right",
        "n_patches": 7,
        "bundle_sha256": "f" * 64,
        "training": "untrained",
        "n_compared": 1,
        "is_complete": True,
    }


def test_any_region_is_compared_where_it_is_asked_for(client, store):
    own = finished(store, "a", whole=unit(1, 0))
    finished(store, "b", whole=unit(0, 1), left=unit(1, 0))
    found = similar(client, own, any_region="true").json()["neighbours"]
    assert [near["region"] for near in found] == ["left", "whole"]


def test_what_has_no_embedding_and_what_has_no_result_are_told_apart(client, store):
    claim = claim_of(store)
    assert similar(client, claim.job_id).json()["code"] == "RESULT_NOT_READY"
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    answer = similar(client, claim.job_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "NO_EMBEDDING")
    cancelled = submit(store, "b").id
    store.ending.cancel(cancelled, tenant="default")
    assert similar(client, cancelled).json()["code"] == "JOB_CANCELLED"
    assert similar(client, "nothing").json()["code"] == "JOB_NOT_FOUND"


@pytest.mark.parametrize(
    "params",
    [{"region": "heart"}, {"limit": 0}, {"limit": 101}, {"any_region": "maybe"}, {"near": 1}],
    ids=str,
)
def test_a_question_that_is_none_is_refused(client, store, params):
    own = finished(store, "a", whole=unit(1, 0))
    assert similar(client, own, **params).json()["code"] == "INVALID_PARAMETER"
