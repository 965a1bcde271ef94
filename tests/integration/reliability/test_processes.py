"""Gateways, workers and their children, killed, frozen and replaced while there is work; on one machine."""

import os
import signal
import socket
import threading
import uuid

import httpx2
import pytest

from integration.reliability.site import Site, wait
from integration.serving import is_alive


@pytest.fixture
def site(single: Site) -> Site:
    """The site with one worker and one gateway, whatever the test before has done to them."""
    for kind in ("gateway", "worker"):
        running = [process for process in single.processes if process.kind == kind and process.is_running]
        for process in running[1:]:
            process.kill()
        if not running:
            single.start(kind)
    return single


def named(word: str) -> str:
    return f"{word}\n{uuid.uuid4()}"


def worker_of(site: Site):
    (worker,) = (process for process in site.processes if process.kind == "worker" and process.is_running)
    return worker


def gateway_of(site: Site):
    (gateway,) = (process for process in site.processes if process.kind == "gateway" and process.is_running)
    return gateway


@pytest.mark.parametrize("victim", ["child", "worker"])
def test_a_job_whose_worker_is_killed_is_finished_once_by_another(site, victim):
    content = named("sleep:1")
    job = site.submit(content)
    site.wait_until_running(job)
    worker = worker_of(site)
    if victim == "child":
        (child,) = worker.children
        os.kill(child, signal.SIGKILL)
    else:
        worker.kill_alone()
        site.worker()
    (ended,) = site.wait_for(job)
    assert (ended["state"], ended["attempts"]) == ("succeeded_with_warnings", 2)
    assert site.n_executions(content) == 2
    assert [path.parent.name for path in site.files("outputs") if job in str(path)] == [f"{job}-2"]
    site.check({job: content})


@pytest.mark.parametrize("word", ["poison", "abort"])
def test_a_job_that_kills_its_worker_is_set_aside_after_the_third_time_and_the_queue_goes_on(site, word):
    poison, others = named(word), [named("quick") for _ in range(5)]
    poisoned = site.submit(poison)
    jobs = {site.submit(content): content for content in others}
    ended = site.wait_for(poisoned, *jobs)
    assert (ended[0]["state"], ended[0]["code"]) == ("quarantined", "WORKER_LOST")
    assert {job["state"] for job in ended[1:]} == {"succeeded_with_warnings"}
    assert site.n_executions(poison) == 3
    site.check(jobs)


def test_a_job_that_hangs_loses_its_lease_and_its_process_at_the_time_limit(site):
    worker_of(site).kill()
    worker = site.worker(DRAS_WORKER__TIME_LIMIT_S="1")
    hanging, other = named("hang"), named("quick")
    jobs = [site.submit(hanging), site.submit(other)]
    ended = site.wait_for(*jobs)
    assert [job["state"] for job in ended] == ["quarantined", "succeeded_with_warnings"]
    assert site.n_executions(hanging) == 3
    worker.kill()


def test_a_worker_that_was_frozen_past_its_lease_finds_itself_fenced(site):
    content = named("sleep:1")
    zombie = worker_of(site)
    job = site.submit(content)
    site.wait_until_running(job)
    site.freeze(zombie)
    second = site.worker()
    (ended,) = site.wait_for(job)
    zombie.send_all(signal.SIGCONT)
    again = named("quick")
    second.kill()
    site.wait_for(site.submit(again))  # the zombie has given up, and works
    assert (ended["state"], ended["attempts"]) == ("succeeded_with_warnings", 2)
    assert site.n_executions(content) == 2
    assert [path.parent.name for path in site.files("outputs") if job in str(path)] == [f"{job}-2"]
    assert not [path for path in site.files("incoming") if job in str(path)]
    site.check({job: content})


def test_a_running_job_that_is_cancelled_stops_and_leaves_nothing_and_the_worker_goes_on(site):
    content, other = named("sleep:60"), named("quick")
    job = site.submit(content)
    site.wait_until_running(job)
    cancelling = site.client.post(f"/v1/jobs/{job}/cancel")
    assert cancelling.status_code < 300, cancelling.text
    (ended,) = site.wait_for(job)
    assert ended["state"] == "cancelled"
    assert site.wait_for(site.submit(other))[0]["state"] == "succeeded_with_warnings"
    assert not [path for path in (*site.files("incoming"), *site.files("outputs")) if job in str(path)]


def test_workers_replaced_one_after_the_other_finish_everything_and_no_job_loses_an_attempt(site):
    jobs = {site.submit(content): content for content in (named("sleep:1.2") for _ in range(4))}
    for _ in range(3):
        old = worker_of(site)
        wait(
            lambda: {"preparing", "encoding"} & set(site.states().values()) or set(jobs) <= site.ended(),
            30,
            "a job runs",
        )
        children = old.children
        assert old.stop() == 0
        assert not any(is_alive(child) for child in children)
        site.worker()
    ended = site.wait_for(*jobs)
    assert {(job["state"], job["attempts"]) for job in ended} == {("succeeded_with_warnings", 1)}
    site.check(jobs)


def test_what_a_killed_gateway_has_answered_is_done_and_what_it_has_not_answered_is_not_there(site):
    jobs = {site.submit(content): content for content in (named("quick") for _ in range(5))}
    known = set(site.states())
    with socket.create_connection(("127.0.0.1", site.port)) as connection:
        connection.sendall(
            b"POST /v1/studies HTTP/1.1\r\nHost: test\r\nContent-Type: application/octet-stream\r\n"
            b"Content-Length: 1000000\r\n\r\n" + bytes(500_000)
        )
        wait(lambda: site.files("incoming"), 20, "the upload has begun")
        gateway_of(site).kill()
    site.gateway()
    site.wait_for(*jobs)
    assert set(site.states()) == known
    site.check(jobs)


@pytest.mark.parametrize("point", ["submit.uncommitted", "submit.committed", "keep_study.after"])
def test_an_upload_that_its_client_repeats_after_a_death_is_one_job(site, point):
    gateway_of(site).kill()
    site.gateway(f"{point}:kill")
    content = named("quick")
    with pytest.raises(httpx2.TransportError):
        site.post(content)
    site.gateway()
    job = site.submit(content)
    site.wait_for(job)
    assert site.submit(content) == job
    assert site.n_executions(content) == 1
    site.check({job: content})


def test_twenty_uploads_of_one_study_at_the_same_time_are_one_job(site):
    content = named("quick")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(site.submit(content))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
    assert len(set(answers)) == 1
    site.wait_for(answers[0])
    assert site.n_executions(content) == 1
