"""What goes wrong between the SDK and a real service: it is borne where it passes, and no job is made twice."""

import asyncio
import os
import random
import signal
import threading

import pytest

from dras_client import (
    AsyncClient,
    Client,
    ProxyFailed,
    ServiceBusy,
    ServiceUnreachable,
    TimedOut,
    UnexpectedAnswer,
)
from integration.sdk.proxy import Cut, Page, Silence
from integration.serving import Serving, wait_until
from servers import free_port
from unit.dras_service.examples import study_result, submit

PATIENT_S = 120.0  # on a loaded machine a service takes its time to start
SIZE = 24 << 20


def content(seed):
    return random.Random(seed).randbytes(SIZE)


@pytest.mark.slow
def test_a_service_that_is_killed_and_restarted_amid_an_upload_has_one_job_in_the_end(library, tmp_path):
    port = free_port()

    def start():
        return Serving(tmp_path / "data", "--port", str(port))

    running = [start()]
    restarts = []

    def restart_amid(sent, total):
        if sent > total / 2 and len(restarts) < n_wanted:
            restarts.append(sent)
            running[0].stop(signal.SIGKILL)
            running[0] = start()

    async def upload():
        async with AsyncClient(running[0].url, retry_for_s=PATIENT_S) as client:
            return (await client.submit(content(2), on_progress=restart_amid)).id

    try:
        n_wanted = 1
        with Client(running[0].url, retry_for_s=PATIENT_S) as client:
            blocking = client.submit(content(1), on_progress=restart_amid)
        n_wanted = 2
        awaiting = asyncio.run(upload())
        assert len(restarts) == 2
        jobs = running[0].rows("SELECT id FROM job ORDER BY created_at")
        assert jobs == [(blocking.id,), (awaiting,)]
    finally:
        running[0].stop()


def submitted(how, url, data, **options):
    """Submit with either client; return the job's id."""
    if how == "blocking":
        with Client(url, **options) as client:
            return client.submit(data).id

    async def ask():
        async with AsyncClient(url, **options) as client:
            return (await client.submit(data)).id

    return asyncio.run(ask())


FAULTS = {
    "a page of 502": Page(502),
    "a page of 503 that says when to come back": Page(503, "Retry-After: 0\r\n"),
    "a connection cut amid the upload": Cut(1 << 20),
    "a connection cut before the answer": Cut(0, of="service"),
}


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_upload_that_meets_trouble_on_its_way_is_one_job(standing, proxy, how, fault):
    gateway = standing()
    between = proxy(gateway.port, fault, fault)
    job_id = submitted(how, between.url, bytes(4 << 20), retry_for_s=PATIENT_S)
    assert between.n_connections == 3
    assert [job.id for job in gateway.store.jobs.page(tenant="default", limit=9).jobs] == [job_id]


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [(Page(502), ProxyFailed), (Page(403), UnexpectedAnswer), (Cut(0, of="service"), ServiceUnreachable)],
    ids=["502", "403", "cut"],
)
def test_trouble_that_lasts_is_said(standing, proxy, how, fault, error):
    between = proxy(standing().port, *[fault] * 100)
    with pytest.raises(error) as caught:
        submitted(how, between.url, b"x", retry_for_s=0.5)
    assert type(caught.value) is error


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
def test_silence_is_ended_by_a_timeout_and_asked_again(standing, proxy, how):
    gateway = standing()
    between = proxy(gateway.port, Silence(), *[None] * 9, *[Silence()] * 9)
    submitted(how, between.url, b"x", timeout_s=0.3, retry_for_s=PATIENT_S)
    between.faults[:] = [Silence()] * 9
    with pytest.raises(TimedOut):
        submitted(how, between.url, b"x", timeout_s=0.3, retry_for_s=0.1)
    assert gateway.n_jobs() == 1


def test_a_service_that_is_frozen_is_asked_again_once_it_thaws(serving, client):
    os.kill(serving.process.pid, signal.SIGSTOP)
    thaw = threading.Timer(1.0, os.kill, (serving.process.pid, signal.SIGCONT))
    thaw.start()
    try:
        with Client(serving.url, timeout_s=0.3, retry_for_s=PATIENT_S) as patient:
            assert patient.health().status == "ok"
    finally:
        thaw.join()


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
def test_who_is_told_to_come_back_later_does_so(standing, how):
    gateway = standing(rate_per_minute=60, rate_burst=1)
    ids = [submitted(how, gateway.url, bytes([number]), retry_for_s=PATIENT_S) for number in (1, 2)]
    # Most of a large body is still on its way when the answer comes, and the connection is closed.
    ids.append(submitted(how, gateway.url, bytes(SIZE), retry_for_s=PATIENT_S))
    assert len(set(ids)) == gateway.n_jobs() == 3


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
def test_who_does_not_come_back_is_told_when_to(standing, how):
    gateway = standing(rate_per_minute=1, rate_burst=1)
    submitted(how, gateway.url, b"1", retry_for_s=0)
    with pytest.raises(ServiceBusy) as busy:
        submitted(how, gateway.url, bytes(SIZE), retry_for_s=1)
    assert (busy.value.code, busy.value.status) == ("RATE_LIMITED", 429)
    assert 1 < busy.value.retry_after_s <= 60


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
def test_a_download_that_breaks_is_gone_on_with(standing, proxy, tmp_path, how):
    gateway = standing()
    whole, claim = content(3), None
    job = submit(gateway.store)
    claim = gateway.store.leases.claim(owner="me", lease_s=60.0)
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "features.npz").write_bytes(whole)
    outputs = gateway.blobs.keep_outputs(folder, claim)
    gateway.store.leases.commit(claim, study_result(), outputs=outputs)
    # The list of files comes over the first connection, which is kept and cut in the file; then another cut.
    between = proxy(gateway.port, Cut(4 << 20, of="service"), Cut(8 << 20, of="service"))
    if how == "blocking":
        with Client(between.url, retry_for_s=PATIENT_S) as client:
            client.job(job.id).artifact("features.npz", tmp_path / "here")
    else:

        async def ask():
            async with AsyncClient(between.url, retry_for_s=PATIENT_S) as client:
                await (await client.job(job.id)).artifact("features.npz", tmp_path / "here")

        asyncio.run(ask())
    assert (tmp_path / "here").read_bytes() == whole
    assert between.n_connections == 3
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["here"]


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
def test_events_go_on_where_the_stream_broke_nothing_missed_and_nothing_twice(standing, proxy, how):
    gateway = standing(event_poll_s=0.01)
    between = proxy(gateway.port, *[Cut(900, of="service")] * 3)
    job = submit(gateway.store)
    claim = gateway.store.leases.claim(owner="me", lease_s=60.0)
    for number in range(20):
        gateway.store.leases.advance(claim, "read", progress=number / 100, lease_s=60.0)
    gateway.store.leases.reject(claim, code="NOT_DICOM", message="No.")
    if how == "blocking":
        with Client(between.url, retry_for_s=PATIENT_S) as client:
            heard = list(client.events(job.id))
    else:

        async def ask():
            async with AsyncClient(between.url, retry_for_s=PATIENT_S) as client:
                return [event async for event in client.events(job.id)]

        heard = asyncio.run(ask())
    kept = gateway.store.events.after(0, tenant="default", job_id=job.id)
    assert [event.id for event in heard] == [event.id for event in kept]
    assert between.n_connections > 3


def test_a_stream_of_all_jobs_that_broke_before_its_first_event_misses_none(standing, proxy):
    gateway = standing(event_poll_s=0.01)
    submit(gateway.store, "a")
    between = proxy(gateway.port, Cut(700, of="service"))
    with Client(between.url, retry_for_s=PATIENT_S) as client:
        heard = client.events()

        def submit_once_it_listens():
            wait_until(lambda: b"\nid: 1\n" in between.answered, within_s=60, what="the stream is open")
            for name in "bcdef":
                submit(gateway.store, name)

        others = threading.Thread(target=submit_once_it_listens)
        others.start()
        ids = [next(heard).id for _ in range(5)]
        heard.close()
        others.join()
    assert ids == [event.id for event in gateway.store.events.after(0, tenant="default")][1:]
