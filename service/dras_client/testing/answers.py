"""What the fake service answers with: models, problem documents, parts of files, streams of events."""

import re
from collections.abc import Mapping, Sequence

import httpx2
from pydantic import BaseModel

from dras_client.testing.jobs import FakeJob, media_type_of
from dras_service.api.events import JobEventView
from dras_service.api.jobs import ArtifactList, JobState
from dras_service.api.problems import MEDIA_TYPE, Problem, ProblemCode

_RANGE = re.compile(r"bytes=(\d+)-")


def shown(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> httpx2.Response:
    """Answer with a model."""
    return httpx2.Response(
        status,
        content=model.model_dump_json(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )


def refusal(
    code: ProblemCode, *, study_code: str | None = None, retry_after_s: int | None = None, **fields: str
) -> httpx2.Response:
    """Answer with a problem document."""
    problem = Problem.of(code, fields, study_code=study_code)
    pause = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return shown(problem, problem.status, {"Content-Type": MEDIA_TYPE} | pause)


def no_result(job: FakeJob) -> httpx2.Response | None:
    """Answer why a job has no result; None where it has one."""
    view = job.view
    if view.state.has_result:
        return None
    if not view.state.is_terminal:
        return refusal(ProblemCode.RESULT_NOT_READY, retry_after_s=0, state=view.state.value)
    if view.state is JobState.CANCELLED:
        return refusal(ProblemCode.JOB_CANCELLED)
    code = ProblemCode.STUDY_REJECTED if view.state is JobState.REJECTED else ProblemCode.JOB_FAILED
    return refusal(code, study_code=view.code, message=view.message or "")


def came_of(job: FakeJob, what: str, wanted: str | None) -> httpx2.Response:
    """Answer with the result, the list of its files, or one of them, from the start of a range on."""
    kind, _, name = what.partition("/")
    if kind == "result" and job.outcome.result is not None:
        return shown(job.outcome.result)
    if kind == "artifacts" and not name:
        return shown(ArtifactList(artifacts=job.artifacts()))
    content = job.outcome.files.get(name)
    if content is None:
        return refusal(ProblemCode.ARTIFACT_NOT_FOUND)
    match = _RANGE.fullmatch(wanted or "")
    start = 0 if match is None else int(match[1])
    headers = {"Content-Type": media_type_of(name)}
    return httpx2.Response(200 if match is None else 206, content=content[start:], headers=headers)


def job_events(job: FakeJob, *, after: int) -> httpx2.Response:
    """Answer with what happens to a job to its end; one that hangs is left after its first step."""
    while not job.view.state.is_terminal and job.outcome.state is not JobState.QUEUED:
        job.step()
    if job.view.state.is_terminal and after >= len(job.events):
        return httpx2.Response(204)
    return streamed(job.events, after=after)


def streamed(events: Sequence[JobEventView], *, after: int) -> httpx2.Response:
    """Answer with the events behind the `after`-th; they are numbered from 1."""
    text = f"retry: 0\nid: {after}\n\n" + "".join(
        f"id: {number}\nevent: job\ndata: {event.model_dump_json()}\n\n"
        for number, event in enumerate(events, start=1)
        if number > after
    )
    return httpx2.Response(200, text=text, headers={"Content-Type": "text/event-stream"})
