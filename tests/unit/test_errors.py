"""Every error carries fields, survives a pickle, and says in its message what to do next."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest

from jobstate.domain import errors
from jobstate.domain.errors import (
    CheckpointNotFound,
    DuplicateJob,
    EventNotFound,
    Fatal,
    InvalidRequest,
    JobNotFound,
    JobNotTerminal,
    JobStateError,
    JobStopping,
    LeaseLost,
    OperatorNotFound,
    RestartNotAllowed,
    StoreBusy,
    StoreError,
    StoreFull,
    TransitionNotAllowed,
    WaitTimeout,
    WorkerNotFound,
)
from jobstate.domain.lifecycle import LIFECYCLE, LIVE, STOP_PENDING, TERMINAL, State

FIELDS: dict[type[BaseException], dict[str, Any]] = {
    InvalidRequest: {"field": "lease", "problem": "must be greater than 0"},
    TransitionNotAllowed: {"job_id": 7, "state": State.CREATED, "trigger": "claim", "allowed": ("schedule", "halt")},
    JobNotTerminal: {"job_id": 7, "state": State.RUNNING},
    LeaseLost: {"job_id": 7, "token": 3},
    JobNotFound: {"job_id": 7},
    CheckpointNotFound: {"job_id": 7, "checkpoint_id": "chk_3"},
    OperatorNotFound: {"job_id": 7, "operator_id": "sink_1"},
    RestartNotAllowed: {"job_id": 7, "state": State.RUNNING, "why": "it is live; stop it first"},
    EventNotFound: {"job_id": 7, "event_id": 12},
    WorkerNotFound: {"node_id": "worker-01"},
    DuplicateJob: {"key": "eth:0", "job_id": 7, "why": "its kind is 'load'"},
    WaitTimeout: {"job_id": 7, "state": State.RUNNING, "timeout": 2.5},
    JobStopping: {"job_id": 7, "mode": "checkpoint", "reason": "wrong input"},
}
NEXT_STEP: dict[type[BaseException], str] = {
    InvalidRequest: "must be",
    TransitionNotAllowed: "allowed there: schedule, halt",
    JobNotTerminal: "stop it first",
    LeaseLost: "drop this run",
    DuplicateJob: "wait for it to end or use another key",
}
"""Where the error is about something the caller can do; a job that is not there leaves nothing to do."""


def _store_errors() -> list[type[StoreError]]:
    found: list[type[StoreError]] = [StoreError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return [kind for kind in found if kind.__module__ == errors.__name__]


def _all_errors() -> list[BaseException]:
    made = [kind(**fields) for kind, fields in FIELDS.items()]
    made.extend(kind("jobs.db", "the disk is full; free some space") for kind in _store_errors())
    return [*made, JobStateError("something"), Fatal("bad input")]


def _name(error: BaseException) -> str:
    return type(error).__name__


def test_every_error_of_the_module_is_tested_here() -> None:
    defined = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, BaseException) and kind.__module__ == errors.__name__
    }
    assert {type(error) for error in _all_errors()} == defined


@pytest.mark.parametrize("error", _all_errors(), ids=_name)
def test_an_error_survives_a_pickle(error: BaseException) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert again.args == error.args
        assert vars(again) == vars(error)
        assert str(again) == str(error)


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_an_error_carries_its_fields(kind: type[BaseException]) -> None:
    assert vars(kind(**FIELDS[kind])) == FIELDS[kind]


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_a_message_names_what_it_is_about(kind: type[BaseException]) -> None:
    fields = FIELDS[kind]
    shown = str(kind(**fields))
    for value in fields.values():
        assert all(str(part) in shown for part in (value if isinstance(value, tuple) else [value]))


@pytest.mark.parametrize("kind", NEXT_STEP, ids=lambda kind: kind.__name__)
def test_a_message_names_the_next_step(kind: type[BaseException]) -> None:
    assert NEXT_STEP[kind] in str(kind(**FIELDS[kind]))


@pytest.mark.parametrize("kind", _store_errors(), ids=lambda kind: kind.__name__)
def test_an_error_of_the_store_names_the_store_and_the_problem(kind: type[StoreError]) -> None:
    error = kind("jobs.db", "the disk is full; free some space")
    assert (error.path, error.problem) == ("jobs.db", "the disk is full; free some space")
    assert str(error) == "jobs.db: the disk is full; free some space"


@pytest.mark.parametrize("state", sorted(LIVE))
def test_a_refused_delete_names_the_ways_out(state: State) -> None:
    message = str(JobNotTerminal(7, state))
    ways = ("wait", "sweep", "force") if state in STOP_PENDING else ("stop it first",)
    assert all(way in message for way in ways)


@pytest.mark.parametrize("state", State)
def test_a_refused_transition_names_what_is_allowed(state: State) -> None:
    message = str(TransitionNotAllowed(7, state, "resume", tuple(LIFECYCLE[state])))
    assert all(trigger in message for trigger in LIFECYCLE[state])
    assert ("terminal" in message) == (state in TERMINAL)


def test_repeating_helps_only_where_nothing_but_time_or_space_is_missing() -> None:
    retryable = {type(error) for error in _all_errors() if getattr(error, "retryable", False)}
    assert retryable == {StoreBusy, StoreFull, WaitTimeout}


def test_errors_can_be_caught_by_what_python_calls_them() -> None:
    assert issubclass(InvalidRequest, ValueError)
    assert issubclass(JobNotFound, LookupError)
    assert issubclass(WaitTimeout, TimeoutError)


def test_there_is_one_tree() -> None:
    outside = {type(error) for error in _all_errors() if not isinstance(error, JobStateError)}
    assert outside == {Fatal, JobStopping}


def test_an_except_exception_in_a_handler_cannot_eat_a_stop() -> None:
    assert not issubclass(JobStopping, Exception)
    assert str(JobStopping(7, "immediate")) == "job 7 is to stop (immediate)"
