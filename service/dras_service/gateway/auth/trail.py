"""Writes one audit entry for every action, before the first byte of its answer goes out.

An answer whose entry cannot be written is not given: the caller gets 503 instead and may ask again. What
is recorded hangs on the route's template, so that a route cannot forget it; nothing that a client sends is
written down but the id of a job that has the form of ours. A route whose address names no job says which it found
in `request.state.audited`. Failed logins are the gatekeeper's.
"""

import re
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from anyio import CapacityLimiter, to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dras_service.api.problems import Problem, ProblemCode
from dras_service.gateway.problems import problem_answer, retry_after
from dras_service.observability.http import Routes
from dras_service.security.actions import Action, Outcome, outcome_of
from dras_service.security.principal import Principal
from dras_service.store.errors import StoreError

ACTIONS: Mapping[tuple[str, str], Action] = MappingProxyType(
    {
        ("POST", "/v1/studies"): Action.STUDY_SUBMIT,
        ("POST", "/v1/validate"): Action.STUDY_VALIDATE,
        ("GET", "/v1/jobs/{job_id}/result"): Action.RESULT_READ,
        ("GET", "/v1/jobs/{job_id}/similar"): Action.SIMILAR_LIST,
        ("GET", "/v1/jobs/{job_id}/artifacts"): Action.ARTIFACT_LIST,
        ("GET", "/v1/jobs/{job_id}/artifacts/{name}"): Action.ARTIFACT_DOWNLOAD,
        ("POST", "/v1/jobs/{job_id}/cancel"): Action.JOB_CANCEL,
        ("DELETE", "/v1/jobs/{job_id}"): Action.JOB_PURGE,
        ("POST", "/v1/webhooks"): Action.WEBHOOK_CREATE,
        ("DELETE", "/v1/webhooks/{webhook_id}"): Action.WEBHOOK_REMOVE,
    }
)
# Of DICOMweb, which the OpenAPI document leaves to its standard; one action may have several addresses there.
DICOMWEB_ACTIONS: Mapping[tuple[str, str], Action] = MappingProxyType(
    {
        ("POST", "/dicom-web/studies"): Action.DICOM_STORE,
        ("POST", "/dicom-web/studies/{study}"): Action.DICOM_STORE,
        ("GET", "/dicom-web/studies/{study}"): Action.DICOM_RETRIEVE,
        ("GET", "/dicom-web/studies/{study}/series/{series}"): Action.DICOM_RETRIEVE,
        ("GET", "/dicom-web/studies/{study}/series/{series}/instances/{instance}"): Action.DICOM_RETRIEVE,
        ("POST", "/dicom-web/workitems"): Action.WORKITEM_CREATE,
        ("POST", "/dicom-web/workitems/{uid}"): Action.WORKITEM_UPDATE,
        ("POST", "/dicom-web/workitems/{uid}/cancelrequest"): Action.WORKITEM_CANCEL,
    }
)
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NO_OBJECT = "-"
_RETRY_AFTER_S = 5.0
_SERVICE_FAILED = 500


class Log(Protocol):
    """Where entries go."""

    def append(
        self, action: str, of: str, *, tenant: str, actor: str, outcome: str, detail: Mapping[str, Any]
    ) -> object:
        """Write one. Raises StoreError."""


class AuditTrail:
    """Wraps an application. The principal is in the request's state, where `callers` has put it."""

    def __init__(self, app: ASGIApp, *, log: Log, routes: Routes) -> None:
        self._app = app
        self._log = log
        self._routes = routes
        self._turn = CapacityLimiter(1)  # one chain, to which one entry is added at a time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's message stream."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        template, parameters = self._routes.find(scope["path"])
        # A HEAD or a range of a file is read as much as the whole is.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        named = ACTIONS.get((method, template)) or DICOMWEB_ACTIONS.get((method, template))
        action = named or (Action.CHANGE_OTHER if method in _CHANGING else None)
        if action is None:
            await self._app(scope, receive, send)
            return
        answer = _Answer(self._log, self._turn, action, parameters, scope=scope, send=send)
        try:
            await self._app(scope, receive, answer.forward)
        except Exception:
            await answer.record(500, _NO_OBJECT)
            raise


class _Answer:
    """One answer on its way out."""

    def __init__(
        self,
        log: Log,
        turn: CapacityLimiter,
        action: Action,
        parameters: Mapping[str, str],
        *,
        scope: Scope,
        send: Send,
    ) -> None:
        self._log = log
        self._turn = turn
        self._action = action
        self._parameters = parameters
        self._scope = scope
        self._send = send
        self._is_recorded = False
        self._is_withheld = False

    async def forward(self, message: Message) -> None:
        """Pass a message on once the entry is written; in its place a 503 where it cannot be."""
        if message["type"] == "http.response.start":
            await self._start(message)
        elif not self._is_withheld:
            await self._send(message)

    async def record(self, status: int, made: str) -> None:
        """Write the entry, once. Raises StoreError."""
        state = self._scope.get("state", {})
        principal: Principal | None = state.get("principal")
        if self._is_recorded or principal is None:
            return
        self._is_recorded = True
        outcome = outcome_of(status)
        asked = next(iter(self._parameters.values()), "")
        detail: dict[str, Any] = {"status": status}
        if "name" in self._parameters and outcome is Outcome.SUCCESS:
            detail["name"] = self._parameters["name"]  # it is in the index, so it is one of ours
        write = partial(
            self._log.append,
            self._action,
            asked if _ID.fullmatch(asked) else state.get("audited") or made,
            tenant=principal.tenant,
            actor=principal.actor,
            outcome=outcome,
            detail=detail,
        )
        await to_thread.run_sync(write, limiter=self._turn)

    async def _start(self, message: Message) -> None:
        try:
            await self.record(message["status"], _made(message))
        except StoreError:
            if message["status"] >= _SERVICE_FAILED:  # nothing was done, and nothing is given away: say why
                await self._send(message)
                return
            self._is_withheld = True
            problem = Problem.of(ProblemCode.NOT_READY, {"missing": "audit log"})
            answer = problem_answer(problem, retry_after(_RETRY_AFTER_S))
            await answer({"type": "http", "headers": []}, _nothing, self._send)
            return
        await self._send(message)


def _made(message: Message) -> str:
    """Return the id of what the answer says was made."""
    location = next((value for name, value in message["headers"] if name.lower() == b"location"), b"")
    found = _ID.search(location.decode("latin-1"))
    return found[0] if found else _NO_OBJECT


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
