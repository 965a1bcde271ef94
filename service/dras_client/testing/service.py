"""A service that lives in memory: what a client hears of it is what it hears of a real one.

A test of the project runs one scenario against both. Left out: keys and tenants, what a query may hold, the
computing itself: every study has the outcome that a test has set.
"""

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import TypeAlias

import httpx2

from dras_client.testing.answers import came_of, job_events, no_result, refusal, shown, streamed
from dras_client.testing.bodies import digest_of
from dras_client.testing.jobs import FakeJob, Outcome
from dras_client.testing.results import BUNDLE, N_PATCHES, example_files, example_result
from dras_model.results.codes import Code, render
from dras_model.results.study import Region, StudyResult
from dras_service.api.bundles import BundleList
from dras_service.api.health import Health
from dras_service.api.jobs import FAULT_SENTENCES, Fault, JobList, JobState
from dras_service.api.problems import ProblemCode
from dras_service.api.similarity import NeighbourView, SimilarList
from dras_service.api.validation import Validation

_Route: TypeAlias = Callable[[httpx2.Request], httpx2.Response]

_PAGE = 50
_RETRY_AFTER_S = 0  # nobody need wait: asking is what moves a job
_OF_JOB = re.compile(r"/v1/jobs/([^/]+)(?:/(.+))?")
_STAND_NO_LONGER = (JobState.FAILED, JobState.CANCELLED)


class FakeService:
    """A service for `Client("http://dras.test", transport=service.transport)`; AsyncClient takes the same.

    A job goes a step further each time it is asked for. It ends well, with `result` and `files`, unless one of the
    `will_…` methods says otherwise of the next upload or the next requests. `requests` are those that were heard.
    """

    def __init__(
        self, *, result: StudyResult | None = None, files: Mapping[str, bytes] | None = None
    ) -> None:
        self._well = _well(result or example_result(), files)
        self.requests: list[httpx2.Request] = []
        self.jobs: dict[str, FakeJob] = {}
        self._outcomes: deque[Outcome] = deque()
        self._troubles: deque[httpx2.Response | Exception] = deque()
        self._by_study: dict[str, FakeJob] = {}
        self._by_key: dict[str, tuple[str, FakeJob]] = {}
        self._routes: dict[tuple[str, str], _Route] = {
            ("POST", "/v1/studies"): self._submit,
            ("POST", "/v1/validate"): self._validate,
            ("GET", "/v1/jobs"): self._list,
            ("GET", "/v1/events"): self._events,
            ("GET", "/v1/bundles"): lambda _: shown(BundleList(bundles=(BUNDLE,))),
            ("GET", "/healthz"): lambda _: shown(Health(version="0")),
        }
        self.transport = httpx2.MockTransport(self._answer)

    def will_succeed(self, result: StudyResult, files: Mapping[str, bytes] | None = None) -> None:
        """Let the next upload end with this result."""
        self._outcomes.append(_well(result, files))

    def will_reject(self, code: Code = Code.NOT_DICOM, **fields: object) -> None:
        """Let the next study be refused; `fields` are those of the code's sentence."""
        fields = fields or {"n_files": 1}
        self._outcomes.append(Outcome(JobState.REJECTED, code.value, render(code, fields)))

    def will_fail(self) -> None:
        """Let the service fail on the next study."""
        code = Fault.INTERNAL
        self._outcomes.append(Outcome(JobState.FAILED, code.value, FAULT_SENTENCES[code]))

    def will_hang(self) -> None:
        """Let the next job wait for ever; it can be cancelled."""
        self._outcomes.append(Outcome(JobState.QUEUED))

    def will_answer(self, status: int, *, times: int = 1, retry_after_s: int | None = None) -> None:
        """Answer the next requests as a proxy does: a page of this status."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        page = httpx2.Response(status, html=f"<h1>{status}</h1>", headers=headers)
        self._troubles.extend([page] * times)

    def will_be_busy(self, *, times: int = 1, retry_after_s: int = 1) -> None:
        """Answer the next requests with 429 RATE_LIMITED."""
        busy = refusal(ProblemCode.RATE_LIMITED, retry_after_s=retry_after_s, limit="1 a minute")
        self._troubles.extend([busy] * times)

    def will_break(self, *, times: int = 1) -> None:
        """Break the connections of the next requests."""
        self._troubles.extend([httpx2.ReadError("the connection broke")] * times)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        if self._troubles:
            trouble = self._troubles.popleft()
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        found = _OF_JOB.fullmatch(request.url.path)
        if found is None:
            route = self._routes.get((request.method, request.url.path))
            return refusal(ProblemCode.NOT_FOUND) if route is None else route(request)
        job = self.jobs.get(found[1])
        return refusal(ProblemCode.JOB_NOT_FOUND) if job is None else self._job(request, job, found[2] or "")

    def _submit(self, request: httpx2.Request) -> httpx2.Response:
        study, asked = digest_of(request), dict(request.url.params)
        if asked.get("bundle", BUNDLE.name) != BUNDLE.name:
            return refusal(ProblemCode.UNKNOWN_BUNDLE, offered=BUNDLE.name)
        if study is None:
            return refusal(ProblemCode.EMPTY_UPLOAD)
        wanted = json.dumps([study, sorted(asked.items())])
        key = request.headers.get("idempotency-key", "").strip('"')
        if key in self._by_key:
            digest, found = self._by_key[key]
            return shown(found.view) if digest == wanted else refusal(ProblemCode.IDEMPOTENCY_KEY_REUSED)
        standing = self._by_study.get(wanted)
        is_new = standing is None or "repeat" in asked or standing.view.state in _STAND_NO_LONGER
        job = self._new(asked) if is_new or standing is None else standing
        self._by_study[wanted] = job
        if key:
            self._by_key[key] = (wanted, job)
        return shown(job.view, 202 if is_new else 200)

    def _new(self, asked: Mapping[str, str]) -> FakeJob:
        job = FakeJob(self._outcomes.popleft() if self._outcomes else self._well, asked=asked)
        self.jobs[job.view.id] = job
        return job

    def _validate(self, request: httpx2.Request) -> httpx2.Response:
        if digest_of(request) is None:
            return refusal(ProblemCode.EMPTY_UPLOAD)
        return shown(Validation(usable=True, n_files=1, size_bytes=len(request.content)))

    def _list(self, request: httpx2.Request) -> httpx2.Response:
        states = set(request.url.params.get_list("state"))
        chosen = [job.view for job in reversed(self.jobs.values()) if not states or job.view.state in states]
        start = int(request.url.params.get("cursor", "0"))
        more = start + _PAGE < len(chosen)
        page = tuple(chosen[start : start + _PAGE])
        return shown(JobList(jobs=page, cursor=str(start + _PAGE) if more else None))

    def _events(self, request: httpx2.Request) -> httpx2.Response:
        """Answer what has happened to all jobs, without waiting for more."""
        every = sorted(
            (event for job in self.jobs.values() for event in job.events), key=lambda event: event.at
        )
        return streamed(every, after=int(request.headers.get("last-event-id", "0")))

    def _job(self, request: httpx2.Request, job: FakeJob, what: str) -> httpx2.Response:
        match request.method, what:
            case "GET", "":
                job.step()
                pause = {} if job.view.state.is_terminal else {"Retry-After": str(_RETRY_AFTER_S)}
                return shown(job.view, headers=pause)
            case "POST", "cancel":
                job.cancel()
                return shown(job.view)
            case "DELETE", "":
                return self._purge(job)
            case "GET", "events":
                return job_events(job, after=int(request.headers.get("last-event-id", "0")))
            case "GET", "similar":
                return no_result(job) or self._similar(request, job)
        return no_result(job) or came_of(job, what, request.headers.get("range"))

    def _purge(self, job: FakeJob) -> httpx2.Response:
        if not job.view.state.is_terminal:
            return refusal(ProblemCode.JOB_NOT_FINAL, state=job.view.state.value)
        del self.jobs[job.view.id]
        self._by_study = {wanted: other for wanted, other in self._by_study.items() if other is not job}
        return httpx2.Response(204)

    def _similar(self, request: httpx2.Request, job: FakeJob) -> httpx2.Response:
        """Answer that every other result is quite alike, the newest first."""
        region = Region(request.url.params.get("region", Region.WHOLE))
        others = [
            NeighbourView(
                job_id=other.view.id,
                region=region,
                similarity=1.0,
                n_patches=N_PATCHES,
                created_at=other.view.created_at,
            )
            for other in reversed(self.jobs.values())
            if other is not job and other.view.state.has_result
        ]
        return shown(
            SimilarList(
                job_id=job.view.id,
                region=region,
                n_patches=N_PATCHES,
                bundle_sha256=BUNDLE.sha256,
                training=BUNDLE.training,
                n_compared=len(others),
                is_complete=True,
                neighbours=tuple(others[: int(request.url.params.get("limit", "10"))]),
            )
        )


def _well(result: StudyResult, files: Mapping[str, bytes] | None) -> Outcome:
    given = example_files(result) if files is None else files
    return Outcome(JobState(result.status), result=result, files=given)
