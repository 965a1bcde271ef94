"""Whatever goes wrong becomes a problem document here, and nowhere else.

The service's own failures are rendered without their text, which stays in the log.
"""

import math
import re
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dras_service.api.problems import MEDIA_TYPE, PROBLEMS, InvalidField, Problem, ProblemCode
from dras_service.store.errors import QuotaExceeded, RequestKeyReused, StorageFull, StoreUnavailable

_CODE_OF_STATUS = {
    400: ProblemCode.BAD_REQUEST,
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    413: ProblemCode.BODY_TOO_LARGE,
}
_RETRY_AFTER_S = 5
_QUEUE_MOVES_S = 30.0

Responses: TypeAlias = dict[int | str, dict[str, Any]]  # FastAPI's form of what an address answers


class ProblemRaised(Exception):
    """A request that ends with a problem document."""

    def __init__(
        self,
        code: ProblemCode,
        *,
        study_code: str | None = None,
        retry_after_s: float | None = None,
        errors: Iterable[InvalidField] = (),
        **fields: str | float,
    ) -> None:
        self.problem = Problem.of(code, fields, study_code=study_code, errors=tuple(errors))
        self.headers = {} if retry_after_s is None else retry_after(retry_after_s)
        super().__init__(code)


class InvalidParameters(ProblemRaised):
    """A request whose parameters each keep their rule and together do not, or that FastAPI cannot check."""

    def __init__(self, *errors: InvalidField) -> None:
        super().__init__(ProblemCode.INVALID_PARAMETER, errors=errors)


def retry_after(seconds: float) -> dict[str, str]:
    """Return the header; RFC 9110, 10.2.3 takes whole seconds."""
    return {"Retry-After": str(math.ceil(seconds))}


def responses(*codes: ProblemCode) -> Responses:
    """Describe the problems an address may answer with, for OpenAPI."""
    by_status: dict[int | str, list[ProblemCode]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {
        status: {
            "description": "; ".join(f"{code}: {PROBLEMS[code].title}" for code in listed),
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {code.value: {"value": _example(code)} for code in listed},
                }
            },
        }
        for status, listed in by_status.items()
    }


def _example(code: ProblemCode) -> dict[str, Any]:
    """Return a document of `code`; its fields stand for themselves."""
    names = [name for _, name, _, _ in Formatter().parse(PROBLEMS[code].detail) if name]
    sample = {name: 10 if name.startswith("limit") or name.endswith("bytes") else "…" for name in names}
    return Problem.of(code, sample).model_dump(mode="json")


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""

    @app.exception_handler(ProblemRaised)
    async def _raised(_request: Request, error: ProblemRaised) -> JSONResponse:
        return problem_answer(error.problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        fields = tuple(
            InvalidField(field=".".join(map(str, _ours(fault))), rule=fault["type"])
            for fault in error.errors()
        )
        return problem_answer(Problem.of(ProblemCode.INVALID_PARAMETER, errors=fields))

    @app.exception_handler(HTTPException)
    async def _framework(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODE_OF_STATUS.get(error.status_code, ProblemCode.INTERNAL)
        allowed = _allow(request) if code is ProblemCode.METHOD_NOT_ALLOWED else {}
        # An address that no document lists has one route, whose methods the framework names.
        return problem_answer(Problem.of(code), allowed or error.headers)

    @app.exception_handler(StorageFull)
    async def _full(_request: Request, _error: StorageFull) -> JSONResponse:
        return problem_answer(Problem.of(ProblemCode.STORAGE_FULL))

    @app.exception_handler(QuotaExceeded)
    async def _quota(_request: Request, error: QuotaExceeded) -> JSONResponse:
        if error.quota == "max_queued_jobs":
            raised = ProblemRaised(
                ProblemCode.QUEUE_QUOTA, retry_after_s=_QUEUE_MOVES_S, limit=str(error.limit)
            )
        else:
            raised = ProblemRaised(ProblemCode.STORAGE_QUOTA, limit_bytes=error.limit)
        return problem_answer(raised.problem, raised.headers)

    @app.exception_handler(RequestKeyReused)
    async def _reused(_request: Request, _error: RequestKeyReused) -> JSONResponse:
        return problem_answer(Problem.of(ProblemCode.IDEMPOTENCY_KEY_REUSED))

    @app.exception_handler(StoreUnavailable)
    async def _unavailable(_request: Request, _error: StoreUnavailable) -> JSONResponse:
        return problem_answer(
            Problem.of(ProblemCode.NOT_READY, {"missing": "database"}), retry_after(_RETRY_AFTER_S)
        )

    @app.exception_handler(Exception)
    async def _defect(_request: Request, _error: Exception) -> JSONResponse:
        return problem_answer(Problem.of(ProblemCode.INTERNAL))


def _allow(request: Request) -> dict[str, str]:
    """Return every method of the address (RFC 9110, 15.5.6); the framework names those of its first route."""
    methods: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        # A variable stands for one segment.
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request.url.path):
            methods.update(operations)
    return {"Allow": ", ".join(sorted(method.upper() for method in methods))} if methods else {}


def _ours(fault: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return where a fault is, as far as the names are ours: that of an unknown field is the client's."""
    place: tuple[str | int, ...] = tuple(fault["loc"])
    return place[:-1] if fault["type"] == "extra_forbidden" else place


def problem_answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Answer with a problem document."""
    return JSONResponse(
        problem.model_dump(mode="json"),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )
