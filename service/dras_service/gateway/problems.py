"""Whatever goes wrong becomes a problem document here, and nowhere else.

The service's own failures are rendered without their text, which stays in the log.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dras_service.api.problems import MEDIA_TYPE, PROBLEMS, InvalidField, Problem, ProblemCode
from dras_service.store.errors import StorageFull, StoreUnavailable

_CODE_OF_STATUS = {
    400: ProblemCode.BAD_REQUEST,
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
}
_RETRY_AFTER_S = 5

Responses: TypeAlias = dict[int | str, dict[str, Any]]  # FastAPI's form of what an address answers


class ProblemRaised(Exception):
    """A request that ends with a problem document."""

    def __init__(
        self,
        code: ProblemCode,
        *,
        study_code: str | None = None,
        retry_after_s: float | None = None,
        **fields: str | float,
    ) -> None:
        self.problem = Problem.of(code, fields, study_code=study_code)
        self.headers = {} if retry_after_s is None else retry_after(retry_after_s)
        super().__init__(code)


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
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, listed in by_status.items()
    }


def add_problem_handlers(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""

    @app.exception_handler(ProblemRaised)
    async def _raised(_request: Request, error: ProblemRaised) -> JSONResponse:
        return _answer(error.problem, error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        fields = tuple(
            InvalidField(field=".".join(str(part) for part in fault["loc"]), rule=fault["type"])
            for fault in error.errors()
        )
        return _answer(Problem.of(ProblemCode.INVALID_PARAMETER, errors=fields))

    @app.exception_handler(HTTPException)
    async def _framework(_request: Request, error: HTTPException) -> JSONResponse:
        code = _CODE_OF_STATUS.get(error.status_code, ProblemCode.INTERNAL)
        return _answer(Problem.of(code), error.headers)

    @app.exception_handler(StorageFull)
    async def _full(_request: Request, _error: StorageFull) -> JSONResponse:
        return _answer(Problem.of(ProblemCode.STORAGE_FULL))

    @app.exception_handler(StoreUnavailable)
    async def _unavailable(_request: Request, _error: StoreUnavailable) -> JSONResponse:
        return _answer(
            Problem.of(ProblemCode.NOT_READY, {"missing": "database"}), retry_after(_RETRY_AFTER_S)
        )

    @app.exception_handler(Exception)
    async def _defect(_request: Request, _error: Exception) -> JSONResponse:
        return _answer(Problem.of(ProblemCode.INTERNAL))


def _answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse(
        problem.model_dump(mode="json"),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )
