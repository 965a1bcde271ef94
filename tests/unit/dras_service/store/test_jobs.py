from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dras_model.results.study import Stage
from dras_service.api.jobs import TERMINAL, JobState
from dras_service.store.errors import LeaseLost, StorageFull, StoreUnavailable
from dras_service.store.jobs import JobStore
from dras_service.store.schema import open_engine
from unit.dras_service.examples import bundle_view, outputs_of, stored_study, study_result

LEASE_S = 60.0


def claimed(store):
    job = store.submit(stored_study())
    return store.claim(job.id, owner="me", lease_s=LEASE_S)


def sweep(store):
    return store.sweep(max_attempts=3, retry_delay_s=5.0)


def test_a_submitted_job_is_queued_and_found_by_its_id(store):
    job = store.submit(stored_study(), series_uid="1.2.3")
    assert store.find(job.id) == job
    assert (job.state, job.attempts, job.progress) == (JobState.QUEUED, 0, 0.0)
    assert job.series_uid == "1.2.3"


def test_an_unknown_id_finds_nothing(store):
    assert store.find("no-such-job") is None
    assert store.document("no-such-job") is None
    assert store.outputs("no-such-job") is None


def test_the_same_study_twice_is_one_study_with_two_jobs(store):
    first, second = store.submit(stored_study()), store.submit(stored_study())
    assert first.id != second.id
    assert first.study_key == second.study_key
    assert store.knows_study(first.study_key)
    assert not store.knows_study("other")


def test_a_job_is_claimed_once_even_by_many_at_the_same_time(store):
    job = store.submit(stored_study())
    with ThreadPoolExecutor(8) as pool:
        claims = list(
            pool.map(lambda worker: store.claim(job.id, owner=str(worker), lease_s=LEASE_S), range(16))
        )
    assert sum(claim is not None for claim in claims) == 1
    assert store.find(job.id).attempts == 1


def test_a_heartbeat_moves_the_stage_and_renews_the_lease(store, clock):
    claim = claimed(store)
    clock.now += LEASE_S - 1
    store.advance(claim, Stage.ENCODE, progress=0.7, lease_s=LEASE_S)
    clock.now += LEASE_S - 1
    assert sweep(store).requeued == ()
    job = store.find(claim.job_id)
    assert (job.state, job.stage, job.progress) == (JobState.ENCODING, "encode", 0.7)


def test_a_committed_result_is_read_back_and_ends_the_job(store):
    claim = claimed(store)
    found = study_result()
    store.commit(claim, found, outputs=outputs_of(claim))
    job = store.find(claim.job_id)
    assert (job.state, job.progress) == (JobState.SUCCEEDED_WITH_WARNINGS, 1.0)
    assert store.document(claim.job_id) == found.model_dump_json()
    assert store.outputs(claim.job_id) == outputs_of(claim)


def test_a_result_without_files_is_a_result(store):
    claim = claimed(store)
    outputs = type(outputs_of(claim))("key", ())
    store.commit(claim, study_result(), outputs=outputs)
    assert store.outputs(claim.job_id) == outputs


def test_a_rejected_and_a_failed_job_keep_their_code(store):
    rejected, failed = claimed(store), claimed(store)
    store.reject(rejected, code="TOO_FEW_SLICES", message="Too few.")
    store.fail(failed, code="BUNDLE_INVALID", message="Bad bundle.")
    assert store.find(rejected.job_id).state is JobState.REJECTED
    assert store.find(failed.job_id).state is JobState.FAILED
    assert store.find(failed.job_id).code == "BUNDLE_INVALID"


def end_in_every_way(store, claim):
    return [
        lambda: store.advance(claim, Stage.OUTPUTS, progress=1.0, lease_s=LEASE_S),
        lambda: store.commit(claim, study_result(), outputs=outputs_of(claim)),
        lambda: store.reject(claim, code="NOT_DICOM", message=""),
        lambda: store.fail(claim, code="INTERNAL", message=""),
        lambda: store.give_back(claim, delay_s=0.0),
    ]


@pytest.mark.parametrize("ended", range(1, 4), ids=["committed", "rejected", "failed"])
@pytest.mark.parametrize("then", range(5), ids=["advance", "commit", "reject", "fail", "give back"])
def test_nothing_changes_a_job_that_has_ended(store, ended, then):
    claim = claimed(store)
    ways = end_in_every_way(store, claim)
    ways[ended]()
    before = store.find(claim.job_id)
    with pytest.raises(LeaseLost):
        ways[then]()
    assert before.state in TERMINAL
    assert store.find(claim.job_id) == before
    assert store.claim(claim.job_id, owner="other", lease_s=LEASE_S) is None


@pytest.mark.parametrize("way", range(5), ids=["advance", "commit", "reject", "fail", "give back"])
def test_a_worker_taken_for_dead_changes_nothing_when_it_wakes(store, clock, way):
    zombie = claimed(store)
    clock.now += LEASE_S + 1
    assert sweep(store).requeued == (zombie.job_id,)
    clock.now += 10
    holder = store.claim(zombie.job_id, owner="other", lease_s=LEASE_S)
    with pytest.raises(LeaseLost):
        end_in_every_way(store, zombie)[way]()
    store.commit(holder, study_result(), outputs=outputs_of(holder))
    assert store.outputs(holder.job_id).key.endswith("-2")


def test_a_lost_job_waits_longer_after_each_attempt_and_is_set_aside_after_the_third(store, clock):
    job = store.submit(stored_study())
    waits = []
    for _ in range(3):
        lost_at = clock.now
        while store.claim(job.id, owner="me", lease_s=LEASE_S) is None:
            clock.now += 1.0
        waits.append(clock.now - lost_at)
        clock.now += LEASE_S + 1
        swept = sweep(store)
    assert waits == [0.0, 5.0, 10.0]
    assert swept.quarantined == (job.id,)
    ended = store.find(job.id)
    assert (ended.state, ended.code, ended.attempts) == (JobState.QUARANTINED, "WORKER_LOST", 3)


def test_a_job_given_back_is_not_taken_before_its_time(store, clock):
    claim = claimed(store)
    store.give_back(claim, delay_s=5.0)
    assert store.claim(claim.job_id, owner="me", lease_s=LEASE_S) is None
    clock.now += 5.0
    assert store.claim(claim.job_id, owner="me", lease_s=LEASE_S).attempt == 2


def test_a_hint_is_due_at_once_and_again_ever_more_rarely(store, clock):
    job = store.submit(stored_study())
    sent_at = []
    for _ in range(600):
        if store.due_hints(again_after_s=30.0) == (job.id,):
            store.hinted(job.id)
            sent_at.append(clock.now)
        clock.now += 1.0
    waits = [later - earlier for earlier, later in pairwise(sent_at)]
    assert waits == [30.0, 60.0, 120.0, 240.0]


def test_no_hint_is_due_for_a_job_that_is_held_or_must_wait(store):
    claim = claimed(store)
    assert store.due_hints(again_after_s=0.0) == ()
    store.give_back(claim, delay_s=5.0)
    assert store.due_hints(again_after_s=0.0) == ()


def test_a_second_result_for_a_job_is_impossible_in_the_database_itself(store):
    claim = claimed(store)
    store.commit(claim, study_result(), outputs=outputs_of(claim))
    with store._engine.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(text("INSERT INTO result SELECT * FROM result"))


def test_what_was_written_survives_the_process_by_the_strictest_settings(store):
    with store._engine.connect() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}


def test_a_database_out_of_reach_is_said_in_our_words(tmp_path):
    store = JobStore(open_engine(f"sqlite:///{tmp_path}"))
    with pytest.raises(StoreUnavailable):
        store.check()


def test_a_full_database_is_told_from_one_out_of_reach(store):
    def submit_many():
        for _ in range(200):
            store.submit(stored_study())

    with store._engine.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(StorageFull):
        submit_many()


def test_a_job_keeps_the_bundle_it_names(store):
    assert store.submit(stored_study(), bundle="mine").bundle == "mine"
    job = store.submit(stored_study(), bundle="other")
    assert store.claim(job.id, owner="me", lease_s=LEASE_S).bundle == store.find(job.id).bundle == "other"


def test_what_the_last_worker_has_proven_is_offered_in_its_order(store):
    assert store.offered() == ()
    first, second, third = (bundle_view(name) for name in ("z", "a", "m"))
    store.offer((first, second))
    assert store.offered() == (first, second)
    store.offer((third, first))
    assert store.offered() == (third, first)


def test_a_database_of_an_earlier_version_gains_what_it_lacks_and_keeps_its_jobs(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'jobs.sqlite3'}")
    store = JobStore(engine)
    store.create_tables()
    job = store.submit(stored_study())
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE bundle"))
        connection.execute(text("ALTER TABLE job DROP COLUMN bundle"))
    for _ in range(2):
        store.create_tables()
    assert store.find(job.id) == job
    assert store.submit(stored_study(), bundle="mine").bundle == "mine"
    store.close()
