"""A job through its three queues, with an engine that only passes things on."""

import errno

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_service.api.jobs import JobState
from dras_service.api.queues import STAGES, JobQueue
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import EncodeSettings
from dras_service.store.errors import StorageFull
from dras_service.store.store import Store
from dras_service.worker import tasks
from dras_service.worker.draining import Drain
from dras_service.worker.engine import DeviceLost
from unit.dras_service.examples import find, submit
from unit.dras_service.stages import FakeStages, doorman_of

ENDED_WELL = JobState.SUCCEEDED_WITH_WARNINGS


@pytest.fixture
def parts(parts):
    """The parts of a service whose new studies go through the queues of the stages."""
    parts.store = Store(parts.store._database.engine, clock=parts.clock, first_queue=JobQueue.PREPARE)
    return parts


def drafts(parts):
    return sorted(parts.blobs.draft_keys())


def folders(parts):
    root = parts.settings.blob_folder
    return [path.name for name in ("incoming", "drafts") for path in (root / name).iterdir()]


def sweep(parts):
    sweeper = Sweeper(
        store=parts.store, blobs=parts.blobs, wake_publisher=lambda: None, settings=parts.settings
    )
    return sweeper.run_once()


def go(parts, stages, n_turns=1):
    door = doorman_of(parts, stages)
    for _ in range(n_turns):
        door.admit("a turn")


def test_a_job_waits_for_each_stage_and_has_its_result_after_the_last(parts):
    job = submit(parts.store)
    waits = []
    stages = FakeStages()
    for queue in STAGES:
        found = find(parts.store, job.id)
        waits.append((found.queue, found.state, len(drafts(parts))))
        doorman_of(parts, stages, queue).admit(job.id, queue)
    assert waits == [(queue, JobState.QUEUED, int(queue is not JobQueue.PREPARE)) for queue in STAGES]
    assert find(parts.store, job.id).state is ENDED_WELL
    outputs = parts.store.jobs.outputs(job.id, tenant="default")
    assert [file.name for file in outputs.artifacts] == ["result.json"]
    assert folders(parts) == []


def test_a_worker_of_one_stage_takes_no_job_of_another(parts):
    job = submit(parts.store)
    for queue in (JobQueue.ENCODE, JobQueue.FINISH, JobQueue.STUDY):
        stages = FakeStages()
        doorman_of(parts, stages, queue).admit(job.id, queue)
        assert stages.asked == []


def test_what_was_asked_of_a_job_reaches_the_stages_that_need_it(parts):
    submit(parts.store, series_uid="1.2", bundle="mine", options={"phase": "expiration"})
    stages = FakeStages()
    go(parts, stages, 3)
    assert [queue for queue, _ in stages.asked] == list(STAGES)
    assert stages.asked[0][1] == ("1.2", "mine", {"phase": "expiration"})
    assert stages.asked[1][1][0] == "mine"


def test_the_next_stage_is_hinted_in_its_own_queue(parts):
    submit(parts.store)
    targets = []
    for _ in STAGES:
        letters = parts.store.outbox.take("hint", hold_s=30.0)
        parts.store.outbox.sent(*letters)
        targets += [letter.target for letter in letters]
        go(parts, FakeStages())
    assert targets == ["prepare", "encode", "finish"]


def test_progress_never_falls_from_stage_to_stage(parts):
    job = submit(parts.store)
    go(parts, FakeStages(), 3)
    events = parts.store.events.after(0, tenant="default", limit=100)
    shown = [event.progress for event in events if event.job_id == job.id]
    assert shown == sorted(shown)
    assert shown[-1] == 1.0


def test_of_equal_priority_what_is_nearest_its_end_goes_first_and_a_higher_one_before_it(parts):
    first = submit(parts.store, "a")
    go(parts, FakeStages())
    parts.clock.now += 1
    submit(parts.store, "b")
    urgent = submit(parts.store, "c", priority=5)
    stages = FakeStages()
    go(parts, stages, 3)
    done = [queue for queue, _ in stages.asked]
    assert done == [JobQueue.PREPARE, JobQueue.ENCODE, JobQueue.FINISH]  # all of the urgent one
    assert find(parts.store, urgent.id).state is ENDED_WELL
    go(parts, stages, 2)
    assert find(parts.store, first.id).state is ENDED_WELL


def test_a_turn_used_for_another_queue_is_passed_on(parts):
    submit(parts.store, "a")
    go(parts, FakeStages())
    waiting = submit(parts.store, "b")
    passed_on = []
    doorman_of(parts, FakeStages(), passed_on=passed_on).admit(waiting.id, JobQueue.PREPARE)
    assert passed_on == [(waiting.id, JobQueue.PREPARE)]
    assert find(parts.store, waiting.id).state is JobState.QUEUED


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_its_own_attempts_and_a_third_failure_of_one_ends_the_job(parts, stage):
    job = submit(parts.store)
    n_met = dict.fromkeys(STAGES, 0)

    def fail(queue, _studies):
        n_met[queue] += 1
        if queue is stage or n_met[queue] < 3:
            raise OSError(errno.EIO, "broken")

    for _ in range(12):
        go(parts, FakeStages(fail))
        parts.clock.now += 3600
    ended = find(parts.store, job.id)
    assert (ended.state, ended.code, n_met[stage]) == (JobState.FAILED, "INTERNAL", 3)
    assert all(n_met[earlier] == 3 for earlier in STAGES[: STAGES.index(stage)])
    sweep(parts)
    assert folders(parts) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_kills_its_worker_runs_three_times_and_the_job_is_set_aside(parts, stage):
    job = submit(parts.store)
    go(parts, FakeStages(), STAGES.index(stage))
    n_executions = 0
    for _ in range(5):
        while claim := parts.store.leases.claim(owner="dies", lease_s=60.0, queues=[stage]):
            assert claim.attempt <= 3
            n_executions += 1
        parts.clock.now += 3600
        sweep(parts)
    assert (n_executions, find(parts.store, job.id).state) == (3, JobState.QUARANTINED)
    assert folders(parts) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_that_is_cancelled_in_a_stage_stops_there_and_leaves_nothing(parts, stage):
    job = submit(parts.store)

    def cancel(queue, _studies):
        if queue is stage:
            parts.store.ending.cancel(job.id, tenant="default")

    stages = FakeStages(cancel)
    go(parts, stages, 3)
    assert find(parts.store, job.id).state is JobState.CANCELLED
    assert [queue for queue, _ in stages.asked][-1] is stage
    sweep(parts)
    assert folders(parts) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_that_is_cancelled_while_it_waits_for_a_stage_leaves_nothing(parts, stage):
    job = submit(parts.store)
    go(parts, FakeStages(), STAGES.index(stage))
    parts.store.ending.cancel(job.id, tenant="default")
    sweep(parts)
    assert find(parts.store, job.id).state is JobState.CANCELLED
    assert folders(parts) == []


def test_a_job_past_its_time_between_two_stages_leaves_nothing(parts):
    job = submit(parts.store, expires_at=parts.clock.now + 10)
    go(parts, FakeStages())
    parts.clock.now += 11
    sweep(parts)
    assert find(parts.store, job.id).state is JobState.EXPIRED
    assert folders(parts) == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_taken_for_dead_hands_nothing_over_and_its_successor_does(parts, stage):
    job = submit(parts.store)
    go(parts, FakeStages(), STAGES.index(stage))

    def lose(_queue, _studies):
        parts.clock.now += 3600
        sweep(parts)
        parts.clock.now += 3600
        go(parts, FakeStages())  # the successor

    stages = FakeStages(lose)
    go(parts, stages)
    before = find(parts.store, job.id)
    expected = ENDED_WELL if stage is JobQueue.FINISH else JobState.QUEUED
    assert before.state is expected
    go(parts, FakeStages(), 2 - STAGES.index(stage))
    assert find(parts.store, job.id).state is ENDED_WELL
    sweep(parts)
    assert folders(parts) == []
    assert len(list(parts.blobs.output_keys())) == 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_costs_no_attempt_in_any_stage(parts, stage):
    job = submit(parts.store)
    go(parts, FakeStages(), STAGES.index(stage))

    def full(_queue, _studies):
        raise StorageFull("full")

    for _ in range(4):
        go(parts, FakeStages(full))
        parts.clock.now += parts.settings.worker.full_disk_delay_s
    found = find(parts.store, job.id)
    assert (found.state, found.attempts, found.queue) == (JobState.QUEUED, 0, stage)
    go(parts, FakeStages(), 3)
    assert find(parts.store, job.id).state is ENDED_WELL


def test_a_refused_study_is_rejected_in_its_first_stage(parts):
    job = submit(parts.store)

    def refuse(_queue, _studies):
        raise StudyRefused(Code.NOT_DICOM, n_files=1)

    go(parts, FakeStages(refuse))
    assert (find(parts.store, job.id).state, folders(parts)) == (JobState.REJECTED, [])


# Encoding together


def ready(parts, *contents, **order):
    """Jobs that wait to be encoded."""
    jobs = []
    for content in contents:
        parts.clock.now += 1
        jobs.append(submit(parts.store, content, **order))
    door = doorman_of(parts, FakeStages(), JobQueue.PREPARE)
    for job in jobs:
        door.admit(job.id, JobQueue.PREPARE)
    return jobs


def encode(parts, stages, **more):
    doorman_of(parts, stages, JobQueue.ENCODE, **more).admit("a turn", JobQueue.ENCODE)


def batches(stages):
    return [len(studies) for queue, (_, studies) in stages.asked if queue is JobQueue.ENCODE]


def test_waiting_jobs_of_one_bundle_are_encoded_together_and_committed_apart(parts):
    jobs = ready(parts, "a", "b", "c") + ready(parts, "d", bundle="other")
    stages = FakeStages()
    encode(parts, stages)
    assert batches(stages) == [3]
    assert [find(parts.store, job.id).queue for job in jobs] == ["finish"] * 3 + ["encode"]
    go(parts, stages, 5)
    assert {find(parts.store, job.id).state for job in jobs} == {ENDED_WELL}
    assert folders(parts) == []


def test_no_more_are_taken_than_the_settings_allow(parts):
    ready(parts, *"abcde")
    stages = FakeStages()
    encode(parts, stages, encode=EncodeSettings(max_studies=2, wait_ms=0))
    assert batches(stages) == [2]


def test_no_more_are_taken_than_there_is_memory_for_but_one_always_is(parts, monkeypatch):
    ready(parts, *"abcde")
    sizes = FakeStages()
    monkeypatch.setattr("dras_service.worker.split._size_bytes", lambda _draft: 40 << 20)
    encode(parts, sizes, encode=EncodeSettings(max_mb=130, wait_ms=0))
    encode(parts, sizes, encode=EncodeSettings(max_mb=1, wait_ms=0))
    assert batches(sizes) == [3, 1]


def test_a_worker_waits_a_moment_for_more(parts, monkeypatch):
    ready(parts, "a")
    slept = []

    def sleep(duration_s):
        if not slept:
            ready(parts, "b")
        slept.append(duration_s)

    monkeypatch.setattr("dras_service.worker.split.time.sleep", sleep)
    stages = FakeStages()
    encode(parts, stages, encode=EncodeSettings(max_studies=2, wait_ms=60_000))
    assert batches(stages) == [2]
    assert len(slept) == 1


def test_a_job_cancelled_amid_a_batch_is_left_out_and_the_others_go_on(parts):
    jobs = ready(parts, "a", "b", "c")
    stages = FakeStages(lambda _queue, _studies: parts.store.ending.cancel(jobs[1].id, tenant="default"))
    parts.settings = parts.settings.model_copy(
        update={"worker": parts.settings.worker.model_copy(update={"heartbeat_s": 1e-9})}
    )
    encode(parts, stages)
    states = [find(parts.store, job.id).state for job in jobs]
    assert states == [JobState.QUEUED, JobState.CANCELLED, JobState.QUEUED]
    sweep(parts)
    assert len(drafts(parts)) == 2


def test_what_fails_together_is_tried_again_alone_so_that_only_the_culprit_fails(parts):
    jobs = ready(parts, "a", "b", "c")
    culprit = jobs[1].study_key.rpartition("/")[2]

    def fail(_queue, studies):
        if culprit in studies:
            raise ValueError

    stages = FakeStages(fail)
    for _ in range(4):
        encode(parts, stages)
        parts.clock.now += 3600
    assert batches(stages) == [3, 1, 1, 1]
    assert [find(parts.store, job.id).state for job in jobs] == [
        JobState.QUEUED,
        JobState.FAILED,
        JobState.QUEUED,
    ]


def test_jobs_whose_worker_died_over_a_batch_are_encoded_alone_from_then_on(parts):
    ready(parts, "a", "b")
    for _ in range(2):
        parts.store.leases.claim(owner="dies", lease_s=60.0, queues=[JobQueue.ENCODE])
    parts.clock.now += 3600
    sweep(parts)
    parts.clock.now += 3600
    ready(parts, "c", "d")
    stages = FakeStages()
    for _ in range(3):
        encode(parts, stages)
    assert sorted(batches(stages)) == [1, 1, 2]


def test_a_stopping_worker_gives_a_whole_batch_back_at_once(parts):
    jobs = ready(parts, "a", "b")
    drain = Drain(grace_s=0.0)
    encode(parts, FakeStages(lambda _queue, _studies: drain.begin()), drain=drain)
    found = [find(parts.store, job.id) for job in jobs]
    assert [(job.state, job.attempts, job.queue) for job in found] == [(JobState.QUEUED, 0, "encode")] * 2
    assert sorted(folders(parts)) == drafts(parts)


def test_an_error_of_the_gpu_counts_an_attempt_of_each_job_and_ends_the_process(parts, monkeypatch):
    jobs = ready(parts, "a", "b")
    ended = []
    monkeypatch.setattr(
        tasks, "end_process", lambda: ended.append([find(parts.store, job.id) for job in jobs])
    )

    def fail(_queue, _studies):
        raise DeviceLost("Fail")

    encode(parts, FakeStages(fail))
    (seen,) = ended  # after everything was written down
    assert [(job.state, job.attempts) for job in seen] == [(JobState.QUEUED, 1)] * 2


def test_a_set_up_without_the_bundle_fails_each_job_once_it_is_alone(parts):
    jobs = ready(parts, "a", "b")

    def refuse(_queue, _studies):
        raise SetupRefused(Code.BUNDLE_NOT_FOUND, name="x")

    for _ in range(3):
        encode(parts, FakeStages(refuse))
        parts.clock.now += 3600
    assert {find(parts.store, job.id).code for job in jobs} == {"BUNDLE_NOT_FOUND"}
