"""Redis and PostgreSQL killed, emptied, frozen, filled up and stopped under a service that runs."""

import signal
import time
import uuid
from collections import Counter

import pytest

from integration.reliability.site import wait


def named(word: str = "quick") -> str:
    return f"{word}\n{uuid.uuid4()}"


@pytest.fixture
def site(cluster):
    """The cluster with its worker at work, so that what follows is seen to be the fault's doing."""
    job = cluster.submit(named())
    cluster.wait_for(job)
    return cluster


def submit(site, n_jobs: int, word: str = "quick") -> dict[str, str]:
    return {site.submit(content): content for content in (named(word) for _ in range(n_jobs))}


def finish(site, jobs: dict[str, str]) -> None:
    ended = site.wait_for(*jobs, within_s=60)
    assert Counter(job["state"] for job in ended) == {"succeeded_with_warnings": len(jobs)}
    site.check(jobs)


def test_redis_forgets_every_message_and_no_job_is_lost(site, broker):
    jobs = submit(site, 1, "sleep:1") | submit(site, 12)
    assert broker.ask("FLUSHALL") == b"+OK"
    finish(site, jobs)


def test_redis_is_killed_with_its_queue_and_away_while_more_is_uploaded(site, broker):
    jobs = submit(site, 1, "sleep:1") | submit(site, 6)
    broker.end(signal.SIGKILL)
    jobs |= submit(site, 6)
    assert site.client.get("/readyz").status_code == 503
    time.sleep(3.0)  # longer than one lease
    jobs |= submit(site, 2)
    broker.start()
    finish(site, jobs)


def test_a_job_that_runs_while_redis_is_away_is_finished_without_another_attempt(site, broker):
    content = named("sleep:3")
    job = site.submit(content)
    site.wait_until_running(job)
    broker.end(signal.SIGKILL)
    wait(lambda: job in site.ended(), 30, "the job ends without a broker")
    broker.start()
    assert site.job(job)["attempts"] == 1
    assert site.n_executions(content) == 1
    finish(site, {job: content} | submit(site, 2))


def test_redis_is_frozen_and_uploads_are_answered_all_the_same(site, broker):
    broker.send(signal.SIGSTOP)
    jobs = submit(site, 5)
    time.sleep(2.5)  # longer than the sockets' timeout and one lease
    jobs |= submit(site, 5)
    broker.send(signal.SIGCONT)
    finish(site, jobs)


def test_redis_has_no_room_and_refuses_messages_and_they_are_sent_when_it_has(site, broker):
    assert broker.ask("CONFIG", "SET", "maxmemory", "1") == b"+OK"
    jobs = submit(site, 8)
    time.sleep(1.0)
    assert broker.ask("CONFIG", "SET", "maxmemory", "0") == b"+OK"
    finish(site, jobs)


def test_postgresql_stops_at_once_and_comes_back_and_what_was_accepted_is_done(site, database):
    jobs = submit(site, 1, "sleep:2") | submit(site, 5)
    before = set(jobs)
    database.end(signal.SIGQUIT)  # immediate: as after a power cut, it recovers from its log
    content = named()
    refused = site.post(content)
    assert refused.status_code == 503, refused.text
    assert "Retry-After" in refused.headers
    database.start()
    assert before <= set(site.states())
    jobs[site.submit(content)] = content
    finish(site, jobs)


def test_a_worker_frozen_amid_a_transaction_does_not_hold_its_tenant_up_for_long(site):
    (worker,) = (process for process in site.processes if process.kind == "worker" and process.is_running)
    jobs = submit(site, 1, "sleep:2")
    site.wait_until_running(*jobs)
    worker.send_all(signal.SIGSTOP)
    second = site.worker()
    jobs |= submit(site, 3)
    try:
        finish(site, jobs)
    finally:
        worker.send_all(signal.SIGCONT)
        second.kill()
    finish(site, submit(site, 1))  # by the one that was frozen


def test_two_gateways_over_one_database_make_one_job_of_one_study(site):
    site.start("gateway", DRAS_GATEWAY__PORT=str(other := _port()))
    content = named()
    answers = []
    for url in (site.url, f"http://127.0.0.1:{other}") * 5:
        answer = site.client.post(
            f"{url}/v1/studies", content=content.encode(), headers={"Content-Type": "application/dicom"}
        )
        answers.append(answer.json()["id"])
    assert len(set(answers)) == 1
    finish(site, {answers[0]: content})
    assert site.n_executions(content) == 1


def _port() -> int:
    from servers import free_port  # noqa: PLC0415

    return free_port()
