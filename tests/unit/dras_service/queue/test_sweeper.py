import time

import pytest

from dras_service.queue.sweeper import Sweeper
from dras_service.settings import QueueSettings
from dras_service.store.errors import StoreUnavailable
from unit.dras_service.examples import stored_study


@pytest.fixture
def sweeper(parts):
    return Sweeper(store=parts.store, blobs=parts.blobs, publish=parts.hints.publish, settings=parts.settings)


def test_a_job_whose_message_was_lost_gets_another(sweeper, parts):
    job = parts.store.submit(stored_study())
    sweeper.run_once()
    assert parts.hints.published == [job.id]


def test_a_job_whose_worker_died_is_hinted_again_once_its_time_has_come(sweeper, parts):
    job = parts.store.submit(stored_study())
    parts.store.claim(job.id, owner="me", lease_s=60.0)
    sweeper.run_once()
    parts.clock.now += 61
    assert sweeper.run_once().requeued == (job.id,)
    assert parts.hints.published == []
    parts.clock.now += 5
    sweeper.run_once()
    assert parts.hints.published == [job.id]


def test_the_thread_sweeps_until_it_is_stopped_and_survives_a_database_that_is_away(parts, monkeypatch):
    settings = parts.settings.model_copy(update={"queue": QueueSettings(sweep_interval_s=0.01)})
    calls = []

    def away(**_limits):
        calls.append(1)
        raise StoreUnavailable("away")

    monkeypatch.setattr(parts.store, "sweep", away)
    sweeper = Sweeper(store=parts.store, blobs=parts.blobs, publish=parts.hints.publish, settings=settings)
    sweeper.start()
    deadline = time.monotonic() + 5
    while len(calls) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    sweeper.stop()
    n_calls = len(calls)
    time.sleep(0.05)
    assert n_calls >= 3
    assert len(calls) == n_calls
