from dras_model.results.study import Stage
from dras_service.api.jobs import JobState
from unit.dras_service.examples import claim_of, outputs_of, study_result, submit


def states(store, **where):
    return [event.state for event in store.events.after(0, tenant="default", **where)]


def test_every_change_of_a_job_is_an_event_in_its_order(store):
    claim = claim_of(store)
    store.leases.advance(claim, Stage.LUNGS, progress=0.3, lease_s=60.0)
    store.leases.advance(claim, Stage.ENCODE, progress=0.7, lease_s=60.0)
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    events = store.events.after(0, tenant="default", job_id=claim.job_id)
    assert [(event.state, event.stage, event.progress, event.attempt) for event in events] == [
        (JobState.QUEUED, None, 0.0, 0),
        (JobState.PREPARING, None, 0.0, 1),
        (JobState.PREPARING, "lungs", 0.3, 1),
        (JobState.ENCODING, "encode", 0.7, 1),
        (JobState.SUCCEEDED_WITH_WARNINGS, None, 1.0, 1),
    ]
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))


def test_an_event_of_a_refusal_carries_its_code(store):
    store.leases.reject(claim_of(store), code="NOT_DICOM", message="")
    assert store.events.after(0, tenant="default")[-1].code == "NOT_DICOM"


def test_what_was_seen_is_not_told_again(store):
    job = submit(store)
    (first,) = store.events.after(0, tenant="default")
    assert store.events.last_id(tenant="default") == first.id
    store.ending.cancel(job.id, tenant="default")
    (second,) = store.events.after(first.id, tenant="default", job_id=job.id)
    assert second.state is JobState.CANCELLED
    assert store.events.after(second.id, tenant="default") == ()


def test_events_are_told_of_one_job_or_of_all_of_the_tenant_and_of_nobody_elses(store):
    store.tenants.create("other")
    first, _ = submit(store), submit(store)
    submit(store, tenant="other")
    assert len(states(store)) == 2
    assert states(store, job_id=first.id) == [JobState.QUEUED]
    assert store.events.after(0, tenant="other", job_id=first.id) == ()
    assert store.events.last_id(tenant="other", job_id=first.id) == 0


def test_a_page_of_events_holds_the_first_ones(store):
    for _ in range(5):
        submit(store)
    first = store.events.after(0, tenant="default", limit=3)
    rest = store.events.after(first[-1].id, tenant="default")
    assert (len(first), len(rest)) == (3, 2)
    assert first[-1].id < rest[0].id


def test_a_change_that_is_taken_back_leaves_no_event(store, clock):
    claim = claim_of(store)
    before = states(store)
    clock.now += 61
    store.sweeping.sweep(max_attempts=3, retry_delay_s=1.0)
    after = states(store)
    try:
        store.leases.advance(claim, Stage.LUNGS, progress=0.3, lease_s=60.0)
    except Exception:  # noqa: BLE001 - whatever it is, see what it left
        assert states(store) == after
    assert after == [*before, JobState.QUEUED]
