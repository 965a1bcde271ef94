"""The OpenAPI document: FastAPI's, with its own error model replaced by ours."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dras_service.api.problems import Problem

_REPLACED = ("HTTPValidationError", "ValidationError")
_REF = "#/components/schemas/{model}"


def add_openapi(app: FastAPI) -> None:
    """Make `app` describe itself with problem documents for every error."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _REPLACED:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template=_REF)
    schemas |= problem.pop("$defs", {}) | {"Problem": problem}
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                _tighten(parameter)
            # FastAPI promises a 422 of its own wherever there is a parameter, a plain string included.
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
    return document


def _tighten(parameter: dict[str, Any]) -> None:
    """Say of a parameter what pydantic's schema cannot: that absence is no `null`, and that text is JSON."""
    schema = parameter.get("schema", {})
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema.update(kinds[0])
    if json_schema := schema.pop("contentSchema", None):
        parameter["content"] = {"application/json": {"schema": json_schema}}
        parameter.pop("example", None)
        parameter.pop("examples", None)
        del parameter["schema"]
