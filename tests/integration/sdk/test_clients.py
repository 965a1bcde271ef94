"""Both clients against the whole service: the same answers, however they are asked for."""

import asyncio
import inspect

import numpy as np
import pandas as pd
import pytest

from dras_client import AsyncClient, AsyncJob, Client, Job, JobCancelled, JobState, StudyRejected
from integration.sdk.conftest import JOB_WITHIN_S


def awaited(serving, ask):
    """Return what `ask` finds with an AsyncClient."""

    async def run():
        async with AsyncClient(serving.url) as client:
            return await ask(client)

    return asyncio.run(run())


def public(kind):
    return {
        name: (inspect.signature(method), inspect.iscoroutinefunction(method))
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


@pytest.mark.parametrize(("ours", "theirs"), [(Client, AsyncClient), (Job, AsyncJob)], ids=["client", "job"])
def test_both_clients_have_the_same_methods_with_the_same_parameters(ours, theirs):
    blocking, awaiting = public(ours), public(theirs)
    assert set(blocking) == set(awaiting)
    for name, (signature, _) in blocking.items():
        assert list(signature.parameters.values()) == list(awaiting[name][0].parameters.values()), name
        assert awaiting[name][1] or name in ("events", "jobs"), f"{name} cannot be awaited"


def test_a_result_is_numbers_arrays_and_tables_that_agree(done):
    result, features, regions, patches = done.result(), done.features(), done.regions(), done.patches()
    whole = regions[(regions.Region == "whole") & (regions.Image == "raw")].iloc[0]
    assert whole["LAA950"] == result.score("LAA-950insp").value
    assert features.embeddings.shape == (581, 128)
    assert int(features.valid.sum()) == result.qc.patches.n_valid == int(patches["valid"].sum())
    np.testing.assert_allclose(patches["laa950"], features.more["laa950"], rtol=1e-6)


def test_whoever_awaits_gets_the_same(serving, done):
    async def ask(client):
        job = await client.job(done.id)
        return job, await job.result(), await job.regions(), await job.features(), await job.artifacts()

    job, result, regions, features, artifacts = awaited(serving, ask)
    assert isinstance(job, AsyncJob)
    assert (job.view, result, artifacts) == (done.view, done.result(), done.artifacts())
    pd.testing.assert_frame_equal(regions, done.regions())
    np.testing.assert_array_equal(features.embeddings, done.features().embeddings)


def test_many_jobs_are_awaited_at_once(serving, study, done):
    async def ask(client):
        jobs = await asyncio.gather(*(client.submit(content) for content in (study, b"no", b"image")))
        ended = await asyncio.gather(*(job.wait(JOB_WITHIN_S) for job in jobs))
        listed = [job.id async for job in client.jobs()]
        return [job.state for job in ended], {job.id for job in jobs} <= set(listed)

    states, are_listed = awaited(serving, ask)
    assert states == [JobState.SUCCEEDED_WITH_WARNINGS, JobState.REJECTED, JobState.REJECTED]
    assert are_listed


@pytest.mark.parametrize("how", ["blocking", "awaiting"])
def test_events_tell_a_job_from_its_beginning_to_its_end_once(serving, client, done, how):
    if how == "blocking":
        heard = list(client.events(done.id))
        rest = list(done.events(after=heard[1].id))
        nothing = list(done.events(after=heard[-1].id))
    else:

        async def ask(client):
            job = await client.job(done.id)
            heard = [event async for event in client.events(done.id)]
            rest = [event async for event in job.events(after=heard[1].id)]
            return heard, rest, [event async for event in job.events(after=heard[-1].id)]

        heard, rest, nothing = awaited(serving, ask)
    assert (heard[0].state, heard[-1].state) == ("queued", done.state)
    assert [event.id for event in heard] == sorted({event.id for event in heard})
    assert (rest, nothing) == (heard[2:], [])


def test_a_job_that_is_cancelled_has_no_result(client, study):
    job = client.submit(study, repeat=True)
    job.cancel()
    assert job.wait(JOB_WITHIN_S).state is JobState.CANCELLED
    with pytest.raises(JobCancelled):
        job.regions()


def test_a_study_that_is_rejected_says_why_to_both(serving, client):
    with pytest.raises(StudyRejected) as blocking:
        client.submit(b"this is no image").wait(JOB_WITHIN_S).regions()

    async def ask(client):
        job = await client.submit(b"this is no image")
        await (await job.wait(JOB_WITHIN_S)).features()

    with pytest.raises(StudyRejected) as awaiting:
        awaited(serving, ask)
    assert blocking.value.study_code == awaiting.value.study_code == "NOT_DICOM"


def test_what_would_come_of_a_study_is_told_beforehand(client, study):
    assert client.validate(study).usable
    refusal = client.validate(b"this is no image").refusal
    assert refusal is not None
    assert refusal.code == "NOT_DICOM"


def test_another_study_is_as_alike_as_its_features_say(client, done, similar_study):
    other = client.submit(similar_study).wait(JOB_WITHIN_S)
    found = done.similar(limit=100)
    near = {near.job_id: near.similarity for near in found.neighbours}
    assert done.id not in near
    assert "phantoms" in found.training
    ours, theirs = (unit_mean(job.features()) for job in (done, other))
    assert near[other.id] == pytest.approx(float(ours @ theirs), abs=1e-5)
    apical = other.similar(region="right_apical", limit=100)
    assert {near.region for near in apical.neighbours} == {"right_apical"}


def unit_mean(features):
    """By another way than the service's: patch by patch."""
    total = np.zeros(features.embeddings.shape[1])
    for row, weight, valid in zip(features.embeddings, features.lung_fraction, features.valid, strict=True):
        if valid:
            total += weight * row / np.linalg.norm(row)
    return total / np.linalg.norm(total)


def test_all_files_arrive_whole(done, tmp_path):
    saved = done.download(tmp_path / "out")
    assert [path.name for path in saved] == [file.name for file in done.artifacts()]
    assert (tmp_path / "out" / "regions.csv").read_bytes() == done.read("regions.csv")
