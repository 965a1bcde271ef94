import pytest

from dras_model.results.study import Stage
from dras_service.api.jobs import JobState
from unit.dras_service.examples import claim_of, find, outputs_of, study_result, submit


def finished(store, content="a", **order):
    job = submit(store, content, **order)
    claim = store.leases.claim(owner="me", lease_s=60.0)
    assert claim.job_id == job.id
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    return claim


def test_a_job_that_waits_is_cancelled_at_once(store):
    job = submit(store)
    assert store.ending.cancel(job.id, tenant="default").state is JobState.CANCELLED
    assert store.leases.claim(owner="me", lease_s=60.0) is None


def test_a_job_that_runs_is_asked_to_stop_once(store, clock):
    claim = claim_of(store)
    first = store.ending.cancel(claim.job_id, tenant="default")
    clock.now += 5
    assert store.ending.cancel(claim.job_id, tenant="default") == first
    assert first.state is JobState.PREPARING


def test_a_job_of_another_tenant_can_be_neither_cancelled_nor_purged(store):
    store.tenants.create("other")
    job = submit(store)
    assert store.ending.cancel(job.id, tenant="other") is None
    assert find(store, job.id).state is JobState.QUEUED
    claim = store.leases.claim(owner="me", lease_s=60.0)
    store.leases.reject(claim, code="NOT_DICOM", message="")
    assert not store.ending.purge(job.id, tenant="other")
    assert find(store, job.id).purged_at is None


def test_a_job_that_has_not_ended_cannot_be_purged(store):
    job = submit(store)
    assert not store.ending.purge(job.id, tenant="default")


def test_a_purged_result_is_gone_for_everybody_and_its_end_remembered(store):
    claim = finished(store)
    assert store.ending.purge(claim.job_id, tenant="default")
    assert store.jobs.document(claim.job_id, tenant="default") is None
    assert store.jobs.outputs(claim.job_id, tenant="default") is None
    job = find(store, claim.job_id)
    assert (job.state, job.purged_at) == (JobState.SUCCEEDED_WITH_WARNINGS, 1000.0)


def test_the_files_of_a_purged_result_are_removed_and_then_forgotten(store):
    kept, gone = finished(store), finished(store)
    store.ending.purge(gone.job_id, tenant="default")
    removed = []
    assert store.ending.clear_outputs(removed.append) == 1
    assert removed == [outputs_of(gone).key]
    assert store.ending.clear_outputs(removed.append) == 0
    assert store.jobs.outputs(kept.job_id, tenant="default") == outputs_of(kept)


def test_files_that_could_not_be_removed_are_tried_again(store):
    claim = finished(store)
    store.ending.purge(claim.job_id, tenant="default")

    def refuse(_key):
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        store.ending.clear_outputs(refuse)
    assert store.ending.clear_outputs(lambda _key: None) == 1


def test_a_study_goes_when_the_last_job_that_needs_it_is_purged(store):
    first, second = finished(store), finished(store)
    removed = []
    store.ending.purge(first.job_id, tenant="default")
    assert store.ending.clear_studies(removed.append) == 0
    store.ending.purge(second.job_id, tenant="default")
    assert store.ending.clear_studies(removed.append) == 1
    assert removed == [first.study_key]
    assert store.jobs.study(first.study_key, tenant="default") is None
    assert store.tenants.usage("default").stored_bytes == 0


def test_a_study_that_could_not_be_removed_is_still_there(store):
    claim = finished(store)
    store.ending.purge(claim.job_id, tenant="default")

    def refuse(_key):
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        store.ending.clear_studies(refuse)
    assert store.jobs.study(claim.study_key, tenant="default") is not None


def test_a_purged_study_that_comes_again_is_there_again(store):
    claim = finished(store)
    store.ending.purge(claim.job_id, tenant="default")
    store.ending.clear_studies(lambda _key: None)
    job = submit(store)
    assert store.jobs.study(job.study_key, tenant="default") is not None
    assert store.ending.clear_studies(lambda _key: None) == 0


def test_time_ends_what_waits_purges_what_has_ended_and_leaves_what_runs(store, clock):
    ended = finished(store, expires_at=clock.now + 10)
    running = claim_of(store, expires_at=clock.now + 10)
    waiting = submit(store, expires_at=clock.now + 10)
    forever = submit(store)
    assert store.ending.expire() == ()
    clock.now += 10
    assert set(store.ending.expire()) == {ended.job_id, waiting.id}
    assert find(store, waiting.id).state is JobState.EXPIRED
    assert find(store, ended.job_id).purged_at == clock.now
    assert find(store, running.job_id).state is JobState.PREPARING
    assert find(store, forever.id).state is JobState.QUEUED
    store.leases.advance(running, Stage.LUNGS, progress=0.1, lease_s=60.0)
    # What has expired in the queue has nothing to keep, either.
    assert store.ending.expire() == (waiting.id,)
    assert store.ending.expire() == ()
