import os
import signal
import time

import pytest

from dras_service.api.jobs import JobState
from dras_service.queue.holders import holder
from dras_service.settings import WorkerSettings
from dras_service.worker.between_forks import BetweenForks
from dras_service.worker.vigil import Vigil
from integration.serving import wait_until
from unit.dras_service.examples import find, submit


@pytest.fixture
def database(parts, monkeypatch):
    monkeypatch.setattr(parts.store.leases._database, "now", time.time)
    return BetweenForks(parts.settings.store_url)


@pytest.fixture
def vigil(database):
    vigil = Vigil(database, WorkerSettings())
    yield vigil
    vigil.stop()


def child_that_claims(database):
    """Fork a process that holds the next job and sleeps; return its number once it does."""
    told, tells = os.pipe()
    pid = os.fork()
    if pid == 0:
        database.use(lambda store: store.leases.claim(owner=holder(), lease_s=3600.0))
        os.write(tells, b".")
        signal.pause()
    os.read(told, 1)
    os.close(told)
    os.close(tells)
    return pid


def test_what_a_child_was_at_is_given_back_when_it_dies_and_not_before(parts, database, vigil):
    job = submit(parts.store)
    pid = child_that_claims(database)
    vigil.start()
    time.sleep(0.7)  # it has looked, and seen the child
    assert find(parts.store, job.id).state is JobState.PREPARING
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(
        lambda: find(parts.store, job.id).state is JobState.QUEUED, within_s=20, what="the job is back"
    )
    assert find(parts.store, job.id).attempts == 1


def test_what_an_earlier_worker_left_is_given_back_at_the_start(parts, database, vigil):
    job = submit(parts.store)
    pid = child_that_claims(database)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    vigil.start()
    wait_until(
        lambda: find(parts.store, job.id).state is JobState.QUEUED, within_s=20, what="the job is back"
    )


def test_a_database_that_is_away_is_asked_again(parts, database, monkeypatch):
    job = submit(parts.store)
    pid = child_that_claims(database)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    folder = parts.settings.data / "away"
    folder.write_text("no folder")
    url = database._store_url
    monkeypatch.setattr(database, "_store_url", f"sqlite:///{folder / 'jobs.sqlite3'}")
    vigil = Vigil(database, WorkerSettings())
    vigil.start()
    time.sleep(0.3)
    monkeypatch.setattr(database, "_store_url", url)
    wait_until(
        lambda: find(parts.store, job.id).state is JobState.QUEUED, within_s=20, what="the job is back"
    )
    vigil.stop()
