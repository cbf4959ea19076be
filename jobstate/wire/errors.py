"""Errors outside the process: a code that never changes, and the fields from which a client rebuilds the error."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jobstate.domain.errors import (
    CheckpointNotFound,
    DuplicateJob,
    EventNotFound,
    InvalidRequest,
    JobNotFound,
    JobNotTerminal,
    JobStateError,
    LeaseLost,
    OperatorNotFound,
    RestartNotAllowed,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TransitionNotAllowed,
    WaitTimeout,
    WorkerNotFound,
)
from jobstate.domain.lifecycle import State

CODES: Final[Mapping[type[JobStateError], str]] = {
    InvalidRequest: "INVALID_REQUEST",
    JobNotFound: "JOB_NOT_FOUND",
    CheckpointNotFound: "CHECKPOINT_NOT_FOUND",
    OperatorNotFound: "OPERATOR_NOT_FOUND",
    EventNotFound: "EVENT_NOT_FOUND",
    WorkerNotFound: "WORKER_NOT_FOUND",
    JobNotTerminal: "JOB_CONFLICT",
    TransitionNotAllowed: "TRANSITION_NOT_ALLOWED",
    RestartNotAllowed: "RESTART_NOT_ALLOWED",
    DuplicateJob: "DUPLICATE_JOB",
    LeaseLost: "LEASE_LOST",
    WaitTimeout: "WAIT_TIMEOUT",
    StoreBusy: "STORE_BUSY",
    StoreFull: "STORE_FULL",
    StoreUnavailable: "STORE_UNAVAILABLE",
    StoreError: "DATABASE_ERROR",
}
"""The code of each class, and of its subclasses without a code of their own."""

_FACTORIES: Final[Mapping[str, Callable[..., JobStateError]]] = {
    "JOB_CONFLICT": lambda job_id, state: JobNotTerminal(job_id, State(state)),
    "TRANSITION_NOT_ALLOWED": lambda job_id, state, *rest: TransitionNotAllowed(job_id, State(state), *rest),
    "RESTART_NOT_ALLOWED": lambda job_id, state, why: RestartNotAllowed(job_id, State(state), why),
    "WAIT_TIMEOUT": lambda job_id, state, timeout: WaitTimeout(job_id, State(state), timeout),
    "DATABASE_ERROR": StoreError,
    **{
        CODES[kind]: kind
        for kind in (
            JobNotFound,
            CheckpointNotFound,
            OperatorNotFound,
            EventNotFound,
            WorkerNotFound,
            DuplicateJob,
            LeaseLost,
            StoreBusy,
            StoreFull,
            StoreUnavailable,
        )
    },
}


def code_of(error: JobStateError) -> str:
    """The code of an error; an error of a client may have its own."""
    code = next((CODES[kind] for kind in type(error).__mro__ if kind in CODES), None)
    return code or getattr(error, "code", None) or "UNEXPECTED_ANSWER"


def fields_of(error: JobStateError) -> Sequence[Any]:
    """The fields from which `error_of` rebuilds the error, as JSON."""
    # Not `args`: TimeoutError is an OSError, which keeps two of three.
    return [list(value) if isinstance(value, tuple) else value for value in vars(error).values()]


def error_of(code: str, fields: Sequence[Any]) -> JobStateError | None:
    """The error with this code and these fields; None where this version does not know the code."""
    # A refused argument has a code that says where in the request it was, and the two fields of InvalidRequest.
    make = _FACTORIES.get(code, InvalidRequest if code.startswith(("INVALID_", "LIMIT_")) else None)
    if make is None:
        return None
    try:
        return make(*fields)
    except (TypeError, ValueError):
        return None
