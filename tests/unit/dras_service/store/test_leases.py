from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dras_model.results.study import Stage
from dras_service.api.jobs import TERMINAL, JobState
from dras_service.api.queues import JobQueue
from dras_service.store.errors import Cancelled, LeaseLost
from unit.dras_service.examples import claim_of, find, outputs_of, study_result, submit

LEASE_S = 60.0


def claim_next(store):
    return store.leases.claim(owner="me", lease_s=LEASE_S)


def sweep(store):
    return store.sweeping.sweep(max_attempts=3, retry_delay_s=5.0)


def ways_on(store, claim):
    leases = store.leases
    return {
        "advance": lambda: leases.advance(claim, Stage.OUTPUTS, progress=1.0, lease_s=LEASE_S),
        "commit": lambda: leases.commit(claim, study_result(), outputs=outputs_of(claim)),
        "reject": lambda: leases.reject(claim, code="NOT_DICOM", message=""),
        "fail": lambda: leases.fail(claim, code="INTERNAL", message=""),
        "cancel": lambda: leases.end_cancelled(claim),
        "give back": lambda: leases.give_back(claim, delay_s=0.0),
    }


WAYS = ["advance", "commit", "reject", "fail", "cancel", "give back"]


def test_a_job_is_claimed_once_even_by_many_at_the_same_time(store):
    jobs = [submit(store) for _ in range(5)]
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: claim_next(store), range(16)))
    assert sorted(claim.job_id for claim in claims if claim) == sorted(job.id for job in jobs)
    assert all(find(store, job.id).attempts == 1 for job in jobs)


def test_the_oldest_of_the_highest_priority_is_next(store, clock):
    jobs = {}
    for name, priority in (("first", 0), ("second", 0), ("urgent", 5), ("later", -1)):
        jobs[submit(store, priority=priority).id] = name
        clock.now += 1
    assert [jobs[claim_next(store).job_id] for _ in range(4)] == ["urgent", "first", "second", "later"]
    assert claim_next(store) is None


def test_jobs_of_another_queue_are_left_alone(store):
    submit(store)
    assert store.leases.claim(owner="me", lease_s=LEASE_S, queues=[JobQueue.ENCODE]) is None


def test_a_claim_says_whose_job_it_is_and_what_is_wanted(store):
    store.tenants.create("other")
    job = submit(store, tenant="other", series_uid="1.2", bundle="mine", options={"a": [1]})
    claim = claim_next(store)
    assert (claim.job_id, claim.tenant, claim.study_key) == (job.id, "other", job.study_key)
    assert (claim.series_uid, claim.bundle, claim.options) == ("1.2", "mine", {"a": [1]})
    assert (claim.attempt, claim.fence) == (1, 1)


def test_the_attempt_is_counted_before_any_work_begins(store):
    claim = claim_of(store)
    assert find(store, claim.job_id).attempts == 1


def test_a_heartbeat_moves_the_stage_and_renews_the_lease(store, clock):
    claim = claim_of(store)
    clock.now += LEASE_S - 1
    store.leases.advance(claim, Stage.ENCODE, progress=0.7, lease_s=LEASE_S)
    clock.now += LEASE_S - 1
    assert sweep(store).requeued == ()
    job = find(store, claim.job_id)
    assert (job.state, job.stage, job.progress) == (JobState.ENCODING, "encode", 0.7)


def test_a_committed_result_is_read_back_and_ends_the_job(store):
    claim = claim_of(store)
    found = study_result()
    store.leases.commit(claim, found, outputs=outputs_of(claim))
    job = find(store, claim.job_id)
    assert (job.state, job.progress) == (JobState.SUCCEEDED_WITH_WARNINGS, 1.0)
    assert store.jobs.document(claim.job_id, tenant="default") == found.model_dump_json()
    assert store.jobs.outputs(claim.job_id, tenant="default") == outputs_of(claim)


def test_a_result_without_files_is_a_result(store):
    claim = claim_of(store)
    outputs = type(outputs_of(claim))("key", ())
    store.leases.commit(claim, study_result(), outputs=outputs)
    assert store.jobs.outputs(claim.job_id, tenant="default") == outputs


def test_a_rejected_and_a_failed_job_keep_their_code(store):
    rejected, failed = claim_of(store), claim_of(store)
    store.leases.reject(rejected, code="TOO_FEW_SLICES", message="Too few.")
    store.leases.fail(failed, code="BUNDLE_INVALID", message="Bad bundle.")
    assert find(store, rejected.job_id).state is JobState.REJECTED
    assert find(store, failed.job_id).state is JobState.FAILED
    assert find(store, failed.job_id).code == "BUNDLE_INVALID"


@pytest.mark.parametrize("ended", ["commit", "reject", "fail", "cancel"])
@pytest.mark.parametrize("then", WAYS)
def test_nothing_changes_a_job_that_has_ended(store, ended, then):
    claim = claim_of(store)
    ways = ways_on(store, claim)
    ways[ended]()
    before = find(store, claim.job_id)
    with pytest.raises(LeaseLost):
        ways[then]()
    assert before.state in TERMINAL
    assert store.ending.cancel(claim.job_id, tenant="default") == before
    assert find(store, claim.job_id) == before
    assert claim_next(store) is None


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_taken_for_dead_changes_nothing_when_it_wakes(store, clock, way):
    zombie = claim_of(store)
    clock.now += LEASE_S + 1
    assert sweep(store).requeued == (zombie.job_id,)
    clock.now += 10
    holder = claim_next(store)
    with pytest.raises(LeaseLost):
        ways_on(store, zombie)[way]()
    store.leases.commit(holder, study_result(), outputs=outputs_of(holder))
    assert store.jobs.outputs(holder.job_id, tenant="default").key.endswith("-2")


def test_a_job_given_back_is_not_taken_before_its_time_and_is_hinted_then(store, clock):
    claim = claim_of(store)
    store.outbox.sent(*store.outbox.take("hint", hold_s=30.0))
    store.leases.give_back(claim, delay_s=5.0)
    assert claim_next(store) is None
    assert store.outbox.take("hint", hold_s=30.0) == ()
    clock.now += 5.0
    assert [letter.job_id for letter in store.outbox.take("hint", hold_s=30.0)] == [claim.job_id]
    assert claim_next(store).attempt == 2


def test_work_on_a_cancelled_job_is_told_to_stop_at_its_next_heartbeat(store):
    claim = claim_of(store)
    asked = store.ending.cancel(claim.job_id, tenant="default")
    assert (asked.state, asked.cancel_requested_at) == (JobState.PREPARING, 1000.0)
    with pytest.raises(Cancelled):
        store.leases.advance(claim, Stage.LUNGS, progress=0.1, lease_s=LEASE_S)
    store.leases.end_cancelled(claim)
    assert find(store, claim.job_id).state is JobState.CANCELLED


def test_a_job_cancelled_in_its_last_moment_commits_nothing(store):
    claim = claim_of(store)
    store.ending.cancel(claim.job_id, tenant="default")
    with pytest.raises(Cancelled):
        store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    assert store.jobs.document(claim.job_id, tenant="default") is None
    assert find(store, claim.job_id).state is JobState.PREPARING
    assert store.events.after(0, tenant="default")[-1].state is JobState.PREPARING


def test_a_second_result_for_a_job_is_impossible_in_the_database_itself(store, engine):
    claim = claim_of(store)
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("INSERT INTO result SELECT * FROM result"))
