"""Errors as answers: one body for every error, also for those of the framework."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from jobstate.domain.errors import InvalidRequest, JobStateError, StoreClosed, StoreUnavailable
from jobstate.wire.errors import code_of, fields_of

FIELDS_HEADER: Final = "X-Jobstate-Error-Fields"
RETRY_AFTER: Final = "1"
"""Seconds after which a client repeats a request to a busy or missing store."""

_MAX_FIELDS: Final = 4096
_STATUS: Final[Mapping[str, int]] = {
    "JOB_NOT_FOUND": 404,
    "CHECKPOINT_NOT_FOUND": 404,
    "OPERATOR_NOT_FOUND": 404,
    "EVENT_NOT_FOUND": 404,
    "WORKER_NOT_FOUND": 404,
    "WAIT_TIMEOUT": 408,
    "JOB_CONFLICT": 409,
    "TRANSITION_NOT_ALLOWED": 409,
    "RESTART_NOT_ALLOWED": 409,
    "DUPLICATE_JOB": 409,
    "LEASE_LOST": 409,
    "STORE_BUSY": 503,
    "STORE_FULL": 503,
    "STORE_UNAVAILABLE": 503,
    "DATABASE_ERROR": 500,
}
_FRAMEWORK_ERRORS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("INVALID_REQUEST", "body: must be JSON in UTF-8, without thousands of levels, or numbers of so many digits"),
    404: ("NOT_FOUND", "no such path; /openapi.json lists the paths"),
    405: ("METHOD_NOT_ALLOWED", "this path does not support this method; the Allow header names the supported ones"),
    408: ("REQUEST_TIMEOUT", "the body did not arrive in time; repeat the request"),
    413: ("PAYLOAD_TOO_LARGE", "the body is too large; store large data elsewhere and refer to it in the descriptor"),
}
_PATH_CODES: Final[Mapping[str, str]] = {
    "job_id": "INVALID_JOB_ID",
    "checkpoint_id": "INVALID_CHECKPOINT_ID",
    "event_id": "INVALID_EVENT_ID",
    "node_id": "INVALID_NODE_ID",
    "operator_id": "INVALID_OPERATOR_ID",
}
_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a field of this document; /openapi.json lists the fields",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must be printable text on one line",
    "string_unicode": "must not contain lone surrogates",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "dict_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
}
"""Our message for each type of error that pydantic reports."""
_KEY_MARK: Final = "[key]"
"""How pydantic marks that the name of an entry is wrong, not its value."""
_IN_HEADERS: Final = frozenset({"actor", "reason"})
_log: Final = logging.getLogger(__name__)


def problem(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None, fields: Sequence[Any] | None = None
) -> JSONResponse:
    """The answer to a request that the server does not carry out."""
    answer = JSONResponse({"error_code": code, "error_message": message}, status, dict(headers or {}))
    text = "" if fields is None else json.dumps(fields)
    if text and len(text) <= _MAX_FIELDS:
        answer.headers[FIELDS_HEADER] = text
    return answer


def too_large() -> JSONResponse:
    """The answer to a body that exceeds the limit."""
    return problem(413, *_FRAMEWORK_ERRORS[413])


def add_error_handlers(app: FastAPI) -> None:
    """Make the application answer every error with our body."""
    app.add_exception_handler(JobStateError, _of_library)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(Exception, _of_defect)


def _of_library(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, JobStateError)
    if isinstance(error, StoreClosed):  # during the request: the file was replaced, or the server is stopping
        error = StoreUnavailable(error.path, "the server closed it during the call; repeat the call")
    if isinstance(error, InvalidRequest):
        place = "header" if error.field in _IN_HEADERS else "body" if request.method == "POST" else "query"
        return _refused(request, place, error.field, error.problem)
    status = _STATUS[code_of(error)]
    headers = {"Retry-After": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s %r: %s", request.method, request.scope["path"], error)
    return problem(status, code_of(error), str(error), headers, fields_of(error))


def _of_validation(request: Request, error: Exception) -> JSONResponse:
    """The first error that pydantic found, with our message."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place, *rest = first["loc"]
    if first["type"] == "json_invalid":
        return _refused(request, "body", "body", f"is not JSON: {first['ctx']['error']} at character {rest[0]}")
    if place == "query" and rest == ["limit"]:
        if first.get("input") == 0:
            return _limited("LIMIT_INVALID", "limit", "must be at least 1, not 0")
        if first["type"] == "less_than_equal":
            return _limited("LIMIT_TOO_LARGE", "limit", f"must be at most {first['ctx']['le']}")
    text = _message_of(first)
    # Behind the parameter pydantic names its own types; only the name of a label or of a field of `retry` is ours.
    named = rest[: 2 if rest[:1] in (["labels"], ["retry"]) else 1]
    if rest[-1:] == [_KEY_MARK]:
        named, text = named[:1], f"names {text}"
    elif place == "header" and first["type"] == "string_pattern_mismatch":
        text = "must be printable ASCII; percent-encode the rest"
    return _refused(request, str(place), ".".join(str(part) for part in named) or str(place), text)


def _message_of(error: Mapping[str, Any]) -> str:
    context = {name: _short(value) for name, value in error.get("ctx", {}).items()}
    given = context.get("error")
    if isinstance(given, InvalidRequest):
        return given.problem
    message = _MESSAGES.get(error["type"])
    return str(error["msg"]) if message is None else message.format(**context)


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _limited(code: str, field: str, text: str) -> JSONResponse:
    return problem(400, code, f"{field}: {text}", fields=[field, text])


def _refused(request: Request, place: str, field: str, text: str) -> JSONResponse:
    if place == "path":
        code = _PATH_CODES[field]
    elif place in ("body", "header"):
        code = "INVALID_REQUEST"
    else:
        code = "INVALID_QUERY_PARAM" if request.method == "DELETE" else "INVALID_QUERY_PARAMETERS"
    return problem(400, code, f"{field}: {text}", fields=[field, text])


def _of_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code, message = _FRAMEWORK_ERRORS.get(error.status_code, ("INVALID_REQUEST", str(error.detail)))
    headers = {"Allow": _allowed(request)} if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else error.headers
    return problem(error.status_code, code, message, headers)


def _allowed(request: Request) -> str:
    """The methods that this path supports; the framework names those of the first matching route only."""
    fitting = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in fitting for method in route.methods}))


def _of_defect(request: Request, _: Exception) -> JSONResponse:
    """The framework raises the error again after this answer, so that the log has its traceback."""
    return problem(500, "INTERNAL_ERROR", f"{request.method} {request.scope['path']} failed; the server's log says why")
