from concurrent.futures import ThreadPoolExecutor

import pytest

from dras_service.api.jobs import JobState
from unit.dras_service.examples import claim_of, outputs_of, study_result, submit


def take(store, topic="hint"):
    return store.outbox.take(topic, hold_s=30.0)


def test_a_job_and_its_hint_are_written_together(store):
    job = submit(store)
    (letter,) = take(store)
    assert (letter.topic, letter.job_id, letter.tenant, letter.target) == ("hint", job.id, "default", "study")
    assert letter.attempts == 1


def test_a_letter_that_was_taken_is_nobody_elses_for_a_while_and_then_due_again(store, clock):
    submit(store)
    assert len(take(store)) == 1
    assert take(store) == ()
    clock.now += 30
    assert [letter.attempts for letter in take(store)] == [2]


def test_a_letter_is_taken_by_one_even_of_many_at_the_same_time(store):
    jobs = [submit(store).id for _ in range(30)]
    with ThreadPoolExecutor(8) as pool:
        taken = [
            letter.job_id
            for letters in pool.map(lambda _: store.outbox.take("hint", hold_s=30.0, limit=7), range(8))
            for letter in letters
        ]
    assert sorted(taken) == sorted(jobs)


def test_a_sent_letter_is_never_due_again(store, clock):
    submit(store)
    store.outbox.sent(*take(store))
    clock.now += 1e6
    assert not store.outbox.waits("hint")


@pytest.mark.parametrize("delay_s", [5.0, 50.0])
def test_a_letter_that_was_put_off_is_due_after_the_delay(store, clock, delay_s):
    submit(store)
    store.outbox.put_off(*take(store), delay_s=delay_s)
    clock.now += delay_s - 1
    assert take(store) == ()
    clock.now += 1
    assert len(take(store)) == 1


def test_a_dropped_letter_is_given_up(store, clock):
    submit(store)
    store.outbox.drop(*take(store))
    clock.now += 1e6
    assert take(store) == ()


def test_the_end_of_a_job_calls_the_webhooks_that_want_it_and_no_others(store):
    store.tenants.create("other")
    every = store.webhooks.add("https://a/", tenant="default", secret="s")
    chosen = store.webhooks.add(
        "https://b/", tenant="default", secret="s", states=[JobState.SUCCEEDED_WITH_WARNINGS]
    )
    store.webhooks.add("https://c/", tenant="default", secret="s", states=[JobState.FAILED])
    store.webhooks.add("https://d/", tenant="other", secret="s")
    off = store.webhooks.add("https://e/", tenant="default", secret="s")
    store.webhooks.disable(off.id, tenant="default")
    claim = claim_of(store)
    assert take(store, "webhook") == ()
    store.leases.commit(claim, study_result(), outputs=outputs_of(claim))
    letters = take(store, "webhook")
    assert {letter.target for letter in letters} == {every.id, chosen.id}
    assert letters[0].payload == {"job_id": claim.job_id, "state": "succeeded_with_warnings"}


def test_a_job_tells_its_webhooks_once(store):
    store.webhooks.add("https://a/", tenant="default", secret="s")
    job = submit(store)
    for _ in range(3):
        store.ending.cancel(job.id, tenant="default")
    assert len(take(store, "webhook")) == 1
