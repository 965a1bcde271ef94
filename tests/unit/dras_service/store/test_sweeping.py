from itertools import pairwise

import pytest

from dras_model.results.study import Stage
from dras_service.api.jobs import JobState
from dras_service.store.rows import Order, RequestKey, Swept
from unit.dras_service.examples import claim_of, find, stored_study, submit

LEASE_S = 60.0


def sweep(store):
    return store.sweeping.sweep(max_attempts=3, retry_delay_s=5.0)


def publish(store):
    letters = store.outbox.take("hint", hold_s=30.0)
    if letters:
        store.outbox.sent(*letters)
    return [letter.job_id for letter in letters]


def test_a_lost_job_waits_longer_after_each_attempt_and_is_set_aside_after_the_third(store, clock):
    job = submit(store)
    waits = []
    for _ in range(3):
        lost_at = clock.now
        while store.leases.claim(owner="me", lease_s=LEASE_S) is None:
            clock.now += 1.0
        waits.append(clock.now - lost_at)
        clock.now += LEASE_S + 1  # a second after the lease has ended, so that the delay has begun
        swept = sweep(store)
    assert waits == [0.0, 4.0, 9.0]
    assert swept == Swept(quarantined=(job.id,))
    ended = find(store, job.id)
    assert (ended.state, ended.code, ended.attempts) == (JobState.QUARANTINED, "WORKER_LOST", 3)


def test_a_lost_job_that_was_cancelled_is_not_done_again(store, clock):
    claim = claim_of(store)
    store.ending.cancel(claim.job_id, tenant="default")
    clock.now += LEASE_S + 1
    assert sweep(store) == Swept(cancelled=(claim.job_id,))
    assert find(store, claim.job_id).state is JobState.CANCELLED


def test_a_job_whose_holder_is_gone_is_given_back_before_its_lease_has_run_out(store, clock):
    lost, kept = claim_of(store, lease_s=LEASE_S), claim_of(store, lease_s=LEASE_S, owner="lives")
    clock.now += 7
    swept = store.sweeping.sweep(max_attempts=3, retry_delay_s=5.0, is_gone=lambda holder: holder == "me")
    assert swept == Swept(requeued=(lost.job_id,))
    assert find(store, kept.job_id).state is JobState.PREPARING
    clock.now += 4
    assert store.leases.claim(owner="next", lease_s=LEASE_S) is None
    clock.now += 1  # the delay counts from when the loss was seen
    assert store.leases.claim(owner="next", lease_s=LEASE_S).job_id == lost.job_id


def test_a_job_that_was_taken_anew_since_its_holder_was_seen_to_be_gone_is_left_alone(store, clock):
    claim = claim_of(store)

    def is_gone(_holder):
        store.leases.give_back(claim, delay_s=0.0)
        assert store.leases.claim(owner="next", lease_s=LEASE_S).fence > claim.fence
        return True

    assert store.sweeping.sweep(max_attempts=3, retry_delay_s=5.0, is_gone=is_gone) == Swept()
    assert find(store, claim.job_id).state is JobState.PREPARING


def test_a_job_that_comes_back_is_hinted_when_its_time_has_come(store, clock):
    claim = claim_of(store)
    assert publish(store) == [claim.job_id]
    clock.now += LEASE_S + 1
    assert sweep(store).requeued == (claim.job_id,)
    assert publish(store) == []
    clock.now += 4
    assert publish(store) == [claim.job_id]


def test_a_job_that_lost_its_worker_begins_anew(store, clock):
    claim = claim_of(store)
    store.leases.advance(claim, Stage.ENCODE, progress=0.7, lease_s=LEASE_S)
    clock.now += LEASE_S + 1
    sweep(store)
    job = find(store, claim.job_id)
    assert (job.state, job.stage, job.progress, job.attempts) == (JobState.QUEUED, None, 0.0, 1)


def test_a_second_sweeper_finds_nothing_left_to_do(store, clock):
    claim_of(store)
    clock.now += LEASE_S + 1
    assert sweep(store) != Swept()
    assert sweep(store) == Swept()


def test_a_hint_is_sent_at_once_and_again_ever_more_rarely(store, clock):
    submit(store)
    sent_at = []
    for _ in range(600):
        store.sweeping.rehint(again_after_s=30.0)
        if publish(store):
            sent_at.append(clock.now)
        clock.now += 1.0
    assert [later - earlier for earlier, later in pairwise(sent_at)] == [30.0, 60.0, 120.0, 240.0]
    assert sent_at[0] == 1000.0


def test_a_hint_that_waits_to_be_sent_is_not_written_twice(store, clock):
    submit(store)
    clock.now += 3600
    assert store.sweeping.rehint(again_after_s=30.0) == 0
    assert len(publish(store)) == 1


def test_no_hint_is_due_for_a_job_that_is_held(store, clock):
    claim_of(store, lease_s=1e6)
    publish(store)
    clock.now += 3600
    assert store.sweeping.rehint(again_after_s=30.0) == 0


@pytest.mark.parametrize("age_s", [10.0, 1000.0])
def test_old_letters_keys_work_items_and_events_are_pruned_and_young_ones_kept(store, clock, age_s):
    request = RequestKey("key", "0" * 64)
    first = store.submission.submit(stored_study(), Order(), tenant="default", request=request).job
    store.workitems.add("1.2", first.id, {}, tenant="default")
    publish(store)
    store.leases.reject(store.leases.claim(owner="me", lease_s=LEASE_S), code="NOT_DICOM", message="")
    running = claim_of(store)
    clock.now += age_s
    store.sweeping.prune(older_than_s=100.0)
    is_old = age_s > 100.0
    events = store.events.after(0, tenant="default")
    assert len([event for event in events if event.job_id != running.job_id]) == (0 if is_old else 3)
    assert len([event for event in events if event.job_id == running.job_id]) == 2
    assert (store.submission.earlier("default", request) is None) == is_old
    assert (store.workitems.find("1.2", tenant="default") is None) == is_old
