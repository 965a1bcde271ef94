import errno
import logging

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.api.jobs import JobState
from dras_service.api.queues import JobQueue
from dras_service.queue.app import TASK, create_celery
from dras_service.store.errors import StorageFull, StoreUnavailable
from dras_service.worker.draining import Drain
from dras_service.worker.tasks import Doorman, add_tasks
from unit.dras_service.examples import FakeEngine, find, submit


@pytest.fixture
def job(store):
    return submit(store)


def admit(job, parts, first=lambda: None):
    engine = FakeEngine(first)
    doorman = Doorman(
        leases=parts.store.leases, blobs=parts.blobs, engine=engine, settings=parts.settings.worker
    )
    doorman.admit(job.id)
    return find(parts.store, job.id), engine


def raising(error):
    def first():
        raise error

    return first


def test_a_study_that_can_be_computed_succeeds(job, parts):
    ended, _ = admit(job, parts)
    assert ended.state is JobState.SUCCEEDED_WITH_WARNINGS


def test_a_refused_study_is_rejected_with_its_code_and_sentence(job, parts):
    refusal = StudyRefused(Code.NOT_DICOM, n_files=3)
    ended, _ = admit(job, parts, raising(refusal))
    assert (ended.state, ended.code, ended.message) == (JobState.REJECTED, "NOT_DICOM", str(refusal))


def test_a_fault_in_the_setup_fails_the_job_and_not_the_study(job, parts):
    refusal = SetupRefused(Code.BUNDLE_NOT_FOUND, name="mine")
    ended, _ = admit(job, parts, raising(refusal))
    assert (ended.state, ended.code) == (JobState.FAILED, "BUNDLE_NOT_FOUND")


def test_a_defect_fails_the_job_at_once_and_tells_the_client_nothing_of_its_cause(job, parts):
    ended, _ = admit(job, parts, raising(ValueError("Doe^Jane")))
    assert (ended.state, ended.code, ended.attempts) == (JobState.FAILED, "INTERNAL", 1)
    assert "Doe" not in ended.message


def test_the_log_says_where_a_defect_is_but_quotes_nothing(job, parts, caplog):
    caplog.set_level(logging.DEBUG)
    admit(job, parts, raising(ValueError("Doe^Jane")))
    assert "ValueError" in caplog.text
    assert "test_tasks.py" in caplog.text
    assert "Doe" not in caplog.text


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "broken"), MemoryError(), StoreUnavailable("away")], ids=repr
)
def test_what_may_pass_by_itself_is_tried_three_times_and_then_fails(job, parts, error):
    states = []
    for _ in range(3):
        ended, _ = admit(job, parts, raising(error))
        states.append(ended.state)
        parts.clock.now += 3600
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    assert (ended.code, ended.attempts) == ("INTERNAL", 3)


def test_a_message_delivered_twice_computes_once(job, parts):
    admit(job, parts)
    ended, engine = admit(job, parts)
    assert engine.sources == []
    assert ended.attempts == 1


def test_a_hint_is_a_turn_whose_job_need_not_be_the_one_it_names(job, parts):
    parts.clock.now += 1
    urgent = submit(parts.store, "b", priority=5)
    _, engine = admit(job, parts)
    assert engine.sources == [parts.blobs.study_path(urgent.study_key)]
    ended, _ = admit(urgent, parts)
    assert find(parts.store, job.id).state is ended.state is JobState.SUCCEEDED_WITH_WARNINGS


def test_a_cancelled_job_stops_and_is_done(job, parts):
    ended, _ = admit(job, parts, lambda: parts.store.ending.cancel(job.id, tenant="default"))
    assert (ended.state, ended.code, ended.attempts) == (JobState.CANCELLED, None, 1)


def test_a_worker_that_was_taken_for_dead_leaves_the_job_to_its_successor(job, parts):
    def lose():
        parts.clock.now += 3600
        parts.store.sweeping.sweep(max_attempts=3, retry_delay_s=0.0)
        parts.store.leases.claim(owner="other", lease_s=60.0)

    ended, _ = admit(job, parts, lose)
    assert (ended.state, ended.attempts) == (JobState.PREPARING, 2)


def test_an_end_that_cannot_be_written_down_leaves_the_job_to_its_lease(job, parts, monkeypatch):
    def away(*_args, **_fields):
        raise StoreUnavailable("away")

    monkeypatch.setattr(parts.store.leases, "reject", away)
    ended, _ = admit(job, parts, raising(StudyRefused(Code.NOT_DICOM, n_files=0)))
    assert ended.state is JobState.PREPARING
    parts.clock.now += 3600
    assert parts.store.sweeping.sweep(max_attempts=3, retry_delay_s=0.0).requeued == (job.id,)


def test_a_task_takes_a_job_id_and_tells_the_doorman_the_queue_it_is_of(parts):
    admitted = []

    class Door:
        admit = staticmethod(lambda *hint: admitted.append(hint))

    celery = create_celery(parts.settings)
    add_tasks(celery, Door())
    names = [TASK, "dras.prepare", "dras.encode", "dras.finish"]
    for name in names:
        celery.tasks[name]("some-id")
    assert admitted == [("some-id", queue) for queue in JobQueue]


def test_a_database_that_is_away_when_a_hint_comes_leaves_the_job_where_it_is(job, parts, monkeypatch):
    def away(**_options):
        raise StoreUnavailable("away")

    monkeypatch.setattr(parts.store.leases, "claim", away)
    ended, engine = admit(job, parts)
    assert (ended.state, ended.attempts, engine.sources) == (JobState.QUEUED, 0, [])


def test_a_job_that_a_stopping_worker_gives_back_waits_at_once_and_loses_no_attempt(job, parts):
    drain = Drain(grace_s=0.0)
    for _ in range(5):
        doorman = Doorman(
            leases=parts.store.leases,
            blobs=parts.blobs,
            engine=FakeEngine(drain.begin),
            settings=parts.settings.worker,
            drain=drain,
        )
        doorman.admit(job.id)
    given_back = find(parts.store, job.id)
    assert (given_back.state, given_back.attempts) == (JobState.QUEUED, 0)
    assert len(parts.store.outbox.take("hint", hold_s=30.0)) > 1
    ended, _ = admit(job, parts)
    assert (ended.state, ended.attempts) == (JobState.SUCCEEDED_WITH_WARNINGS, 1)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), StorageFull("full")], ids=repr)
def test_a_full_disk_costs_a_job_no_attempt_however_long_it_is_full(job, parts, error):
    for _ in range(5):
        ended, _ = admit(job, parts, raising(error))
        assert (ended.state, ended.attempts) == (JobState.QUEUED, 0)
        parts.clock.now += parts.settings.worker.full_disk_delay_s
    ended, _ = admit(job, parts)
    assert ended.state is JobState.SUCCEEDED_WITH_WARNINGS
