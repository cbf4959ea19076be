"""`/openapi.json`: the answers of each route, without those that the framework adds and never gives."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from jobstate._version import __version__
from jobstate.http.documents import Problem

_ALWAYS: Final = (400, 401, 403, 413, 415, 500, 503)
_FRAMEWORKS_OWN: Final = "422"
_A_PROBLEM: Final = {"application/json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
"""By name and not as a model: the framework would build a validator for each status of each route."""


def answers(
    good: Mapping[int, Any], *refusals: int, headers: Mapping[str, str] | None = None
) -> dict[int | str, dict[str, Any]]:
    """The answers of a route: its documents by status, and the statuses of its errors.

    A document is a model, None for no body, or the content as `/openapi.json` has it.
    """
    described: dict[int | str, dict[str, Any]] = {}
    for status, model in good.items():
        described[status] = {"description": HTTPStatus(status).phrase}
        if isinstance(model, dict):
            described[status]["content"] = model
        elif model is not None:
            described[status]["model"] = model
        if headers:
            described[status]["headers"] = {
                name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
            }
    for status in sorted({*_ALWAYS, *refusals}):
        described[status] = {"content": _A_PROBLEM, "description": HTTPStatus(status).phrase}
    described[503]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return described


def describe(app: FastAPI) -> None:
    """Make the application describe exactly its own answers."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title="jobstate",
                version=__version__,
                summary="The truth about jobs",
                routes=app.routes,
                separate_input_output_schemas=False,
            )
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop(_FRAMEWORKS_OWN, None)
            documents = schema["components"]["schemas"]
            for unused in ("HTTPValidationError", "ValidationError"):
                documents.pop(unused, None)
            documents[Problem.__name__] = Problem.model_json_schema()
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]
