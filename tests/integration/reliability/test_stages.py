"""Studies that go through the queues of the stages, by Redis, with workers that are started apart."""

import hashlib
import json
import uuid

import pytest

from integration.reliability.site import Site, wait

STAGES = ("prepare", "encode", "finish")


@pytest.fixture(scope="module")
def site(broker, tmp_path_factory):
    """SQLite and Redis, and a gateway that sends new studies through the stages."""
    site = Site(tmp_path_factory.mktemp("stages"), queue_url=broker.url, DRAS_QUEUE__SPLIT="true")
    site.gateway()
    yield site
    site.close()


@pytest.fixture
def workers(site):
    """Start workers of the queues that a test names; they end with it."""
    started = []

    def start(*queues):
        started.append(site.worker(DRAS_WORKER__QUEUES=json.dumps(queues)))
        return started[-1]

    yield start
    for worker in started:
        if worker.is_running:
            worker.kill()


def named(word):
    return f"{word}\n{uuid.uuid4()}"


def files_of(site, job, *folders):
    return [path for folder in folders for path in site.files(folder) if job in str(path)]


def test_a_study_goes_from_worker_to_worker_each_of_one_stage(site, workers):
    for stage in STAGES:
        workers(stage)
    jobs = {site.submit(content): content for content in (named("quick") for _ in range(3))}
    ended = site.wait_for(*jobs)
    assert {(job["state"], job["attempts"]) for job in ended} == {("succeeded_with_warnings", 1)}
    for content in jobs.values():
        assert site.n_executions(content) == len(STAGES)
    site.check(jobs)


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_killed_in_a_stage_costs_that_stage_an_attempt_and_no_other(site, workers, stage):
    others = workers(*(other for other in STAGES if other != stage))
    victim = workers(stage)
    content = named("sleep:2.0")  # longer than it takes a busy machine to see it begin and to kill
    job = site.submit(content)
    wait(
        lambda: any(line.startswith(digest_of(content, stage)) for line in lines(site)),
        30,
        f"{stage} begins",
    )
    victim.kill()
    workers(stage)
    (ended,) = site.wait_for(job)
    assert ended["state"] == "succeeded_with_warnings"
    executions = site.executions_by_digest()
    assert [executions[digest_of(content, each)] for each in STAGES] == [
        2 if each == stage else 1 for each in STAGES
    ]
    assert others.is_running
    site.check({job: content})
    wait(lambda: not files_of(site, job, "drafts", "incoming"), 20, "what it left is gone")


def test_a_stage_that_kills_its_worker_is_run_three_times_and_the_queue_goes_on(site, workers):
    workers(*STAGES)  # the other stages: tests/unit/dras_service/worker/test_split.py
    poison, other = named("poison:encode"), named("quick")
    poisoned, healthy = site.submit(poison), site.submit(other)
    ended = site.wait_for(poisoned, healthy)
    assert [job["state"] for job in ended] == ["quarantined", "succeeded_with_warnings"]
    executions = site.executions_by_digest()
    assert [executions[digest_of(poison, stage)] for stage in STAGES] == [1, 3, 0]
    site.check({healthy: other})
    wait(lambda: not files_of(site, poisoned, "drafts", "incoming"), 20, "what it left is gone")


def test_two_workers_work_at_the_same_time_and_each_study_is_done_once(site, workers):
    for _ in range(2):
        workers(*STAGES)
    site.executions.write_text("")
    jobs = {site.submit(content): content for content in (named("meet:2") for _ in range(4))}
    site.wait_for(*jobs)
    pids = {line.split()[1] for line in lines(site)}
    assert len(pids) == 2
    assert set(site.executions_by_digest().values()) == {1}
    site.check(jobs)


def test_a_cancelled_job_stops_in_its_stage_and_leaves_nothing(site, workers):
    workers(*STAGES)
    content = named("sleep:60")
    job = site.submit(content)
    site.wait_until_running(job)
    assert site.client.post(f"/v1/jobs/{job}/cancel").status_code < 300
    assert site.wait_for(job)[0]["state"] == "cancelled"
    wait(lambda: not files_of(site, job, "drafts", "incoming", "outputs"), 20, "what it left is gone")


def test_with_blobs_in_an_object_store_a_killed_worker_loses_nothing(object_store, tmp_path):
    site = Site(
        tmp_path,
        DRAS_QUEUE__SPLIT="true",
        DRAS_BLOBS__URL=object_store.bucket("dras"),
        DRAS_BLOBS__ENDPOINT=object_store.url,
    )
    try:
        site.gateway()
        victim = site.worker()
        jobs = {site.submit(content): content for content in (named("sleep:0.4"), named("quick"))}
        site.wait_until_running(next(iter(jobs)))
        victim.kill()
        site.worker()
        assert {job["state"] for job in site.wait_for(*jobs)} == {"succeeded_with_warnings"}
        site.check(jobs)
        assert not [path for folder in ("studies", "outputs", "drafts") for path in site.files(folder)]
    finally:
        site.close()


def lines(site):
    return site.executions.read_text().splitlines() if site.executions.exists() else []


def digest_of(content, stage):
    return f"{hashlib.sha256(content.encode()).hexdigest()}.{stage}"
