"""Both clients over the fake service, which is quick; `integration/sdk` has them over real ones."""

import asyncio
import io
import sys
import types
from functools import partial

import anyio
import numpy as np
import pytest

from dras_client import AsyncClient, Client, ExtraMissing, JobState
from dras_client.blocking import run
from dras_client.testing import FakeService, example_result


@pytest.fixture
def fake():
    return FakeService()


async def everything(fake):
    async with AsyncClient("http://dras.test", transport=fake.transport) as client:
        job = await client.submit(b"study")
        await job.wait()
        return job.state, await job.result(), (await job.features()).embeddings.shape


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_the_awaiting_client_runs_under_either_loop(fake, loop):
    assert anyio.run(everything, fake, backend=loop) == (
        JobState.SUCCEEDED_WITH_WARNINGS,
        example_result(),
        (12, 128),
    )


def test_the_blocking_client_works_inside_a_running_loop_as_in_a_notebook(fake):
    async def cell():
        with Client("http://dras.test", transport=fake.transport) as client:
            events = client.submit(b"study").events()
            return next(events).state

    assert asyncio.run(cell()) == "queued"


@types.coroutine
def gives_way():
    yield


def test_a_coroutine_that_suspends_is_no_blocking_one():
    with pytest.raises(RuntimeError, match="suspended"):
        run(gives_way())


def test_progress_is_told_in_the_loops_own_thread(fake):
    async def submit():
        task, told = asyncio.current_task(), []
        async with AsyncClient("http://dras.test", transport=fake.transport) as client:
            await client.submit(
                bytes(300_000),
                on_progress=lambda *numbers: told.append((asyncio.current_task() is task, *numbers)),
            )
        return told

    assert asyncio.run(submit()) == [(True, 262_144, 300_000), (True, 300_000, 300_000)]


def test_tables_without_pandas_are_refused_with_what_to_install_before_anything_is_fetched(fake, monkeypatch):
    job = Client("http://dras.test", transport=fake.transport).submit(b"study").wait()
    n_requests = len(fake.requests)
    monkeypatch.setitem(sys.modules, "pandas", None)
    for table in (job.regions, job.patches):
        with pytest.raises(ExtraMissing, match=r"pip install 'dras\[tables\]'"):
            table()
    assert len(fake.requests) == n_requests


def test_a_job_shows_where_it_is_in_a_notebook(fake):
    client = Client("http://dras.test", transport=fake.transport)
    fake.will_reject()
    job = client.submit(b"study")
    shown = [job._repr_html_()]
    job.wait(on_progress=lambda _: None)
    shown.append(job._repr_html_())
    assert "<progress" in shown[0]
    assert "queued" in shown[0]
    assert "<progress" not in shown[1]
    assert "<code>NOT_DICOM</code>" in shown[1]


def test_arrays_and_neighbours_show_themselves_in_a_notebook(fake):
    client = Client("http://dras.test", transport=fake.transport)
    jobs = [client.submit(content).wait() for content in (b"one", b"other")]
    assert "11 of 12 patches valid" in jobs[0].features()._repr_html_()
    assert jobs[1].id in jobs[0].similar()._repr_html_()


def test_what_is_no_archive_of_arrays_is_said(fake):
    fake.will_succeed(example_result(), {"features.npz": b"PK\x03\x04" + bytes(50), "regions.csv": b'"'})
    job = Client("http://dras.test", transport=fake.transport).submit(b"study").wait()
    with pytest.raises(Exception, match="holds no features"):
        job.features()
    with pytest.raises(Exception, match="no CSV"):
        job.regions()


def test_arrays_that_would_run_code_are_not_read(fake):
    content = io.BytesIO()
    np.savez(content, embeddings=np.array([partial(print, "run")], dtype=object))
    fake.will_succeed(example_result(), {"features.npz": content.getvalue()})
    job = Client("http://dras.test", transport=fake.transport).submit(b"study").wait()
    with pytest.raises(Exception, match="holds no features"):
        job.features()
