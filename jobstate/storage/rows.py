"""Rows to values and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from jobstate.domain.job import SUBMIT, By, Event, Job, NewJob, StopMode, StopOutcome
from jobstate.domain.lifecycle import State, Trigger
from jobstate.storage.engine import Row
from jobstate.storage.tables import HOT_FIELDS, MUTABLE_FIELDS

_STATES: Final[dict[str | None, State]] = {state.value: state for state in State}
_MODES: Final[dict[str | None, StopMode | None]] = {None: None, **{mode.value: mode for mode in StopMode}}
_OUTCOMES: Final[dict[str | None, StopOutcome | None]] = {None: None, **{o.value: o for o in StopOutcome}}
_STATE, _CLEAN, _MODE, _OUTCOME = (HOT_FIELDS.index(f) for f in ("state", "clean", "stop_mode", "stop_outcome"))
_ATTEMPT, _TOKEN, _WORKER, _EXPIRES = (
    HOT_FIELDS.index(f) for f in ("attempt", "lease_token", "worker_id", "lease_expires_us")
)
_CLAIMED, _UPDATED, _STARTED, _SEQ = (HOT_FIELDS.index(f) for f in ("claimed_us", "updated_us", "started_us", "seq"))
_TRIGGER, _ACTOR, _REASON, _DETAIL = (HOT_FIELDS.index(f) for f in ("trigger", "actor", "reason", "detail_json"))
_CLAIM: Final = Trigger.CLAIM.value
_EVENT_STATES: Final = tuple([field.name for field in fields(Event)].index(name) for name in ("from_state", "to_state"))
_mutable: Final = attrgetter(*MUTABLE_FIELDS)


def job_of(row: Row) -> Job:
    """The job in a row of all its fields, in their order."""
    values = list(row)
    values[_STATE] = _STATES[row[_STATE]]
    values[_CLEAN] = bool(row[_CLEAN])
    if row[_MODE] is not None:
        values[_MODE] = _MODES[row[_MODE]]
        values[_OUTCOME] = _OUTCOMES[row[_OUTCOME]]
    return Job._make((*values, False))


def submitted_job(job_id: int, new: NewJob, available: int, now: int, by: By, spec: tuple[Any, ...]) -> Job:
    """The job whose two rows were just written; `spec` holds its last fields. By place: a call by name costs more."""
    # fmt: off
    return Job._make((
        job_id, new.state, new.kind, new.node_id, new.priority, available, new.key, new.parallelism,
        None,  # rescale_to
        0, 0, 0,  # attempt, failures, lease_token
        None, None, None,  # worker_id, lease_expires_us, claimed_us
        False,  # clean
        None, None, None, None,  # the stop
        None,  # failure_json
        now, now,  # created_us, updated_us
        None, None,  # started_us, finished_us
        1, SUBMIT, by.actor, by.reason,
        None,  # detail_json
        *spec,
        False,  # deduplicated
    ))
    # fmt: on


def claimed_job(row: Sequence[Any], worker: str, until: int, now: int, actor: str) -> Job:
    """The job in a row that was read, as the claim that was then written leaves it."""
    values = list(row)
    values[_STATE] = State.RUNNING
    values[_ATTEMPT] += 1
    values[_TOKEN] += 1
    values[_WORKER] = worker
    values[_EXPIRES] = until
    values[_CLAIMED] = now
    values[_CLEAN] = False
    values[_UPDATED] = now
    if values[_STARTED] is None:
        values[_STARTED] = now
    values[_SEQ] += 1
    values[_TRIGGER] = _CLAIM
    values[_ACTOR] = actor
    values[_REASON] = values[_DETAIL] = None
    values.append(False)  # deduplicated
    return Job._make(values)


def event_of(row: Row) -> Event:
    """The history entry in a row of all its columns."""
    values = list(row)
    for place in _EVENT_STATES:
        values[place] = _STATES.get(row[place])
    return Event(*values)


def version_of(job: Job) -> tuple[Any, ...]:
    """What an update writes for the next version of a job: its id, then every column that may change."""
    return (job.id, *_mutable(job))
