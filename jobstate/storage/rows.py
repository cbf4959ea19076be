"""Rows to values and back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from jobstate.domain.job import Event, Job, StopMode, StopOutcome
from jobstate.domain.lifecycle import State
from jobstate.storage.engine import Row
from jobstate.storage.tables import HOT_FIELDS, MUTABLE_FIELDS, column_of

_STATES: Final[dict[str | None, State]] = {state.value: state for state in State}
_MODES: Final[dict[str | None, StopMode | None]] = {None: None, **{mode.value: mode for mode in StopMode}}
_OUTCOMES: Final[dict[str | None, StopOutcome | None]] = {None: None, **{o.value: o for o in StopOutcome}}
_STATE, _CLEAN, _MODE, _OUTCOME = (HOT_FIELDS.index(f) for f in ("state", "clean", "stop_mode", "stop_outcome"))
_EVENT_STATES: Final = tuple([field.name for field in fields(Event)].index(name) for name in ("from_state", "to_state"))
_MUTABLE: Final = tuple((field, column_of(field)) for field in MUTABLE_FIELDS)


def job_of(row: Row) -> Job:
    """The job in a row of all its fields, in their order."""
    values = list(row)
    values[_STATE] = _STATES[row[_STATE]]
    values[_CLEAN] = bool(row[_CLEAN])
    if row[_MODE] is not None:
        values[_MODE] = _MODES[row[_MODE]]
        values[_OUTCOME] = _OUTCOMES[row[_OUTCOME]]
    return Job._make((*values, False))


def event_of(row: Row) -> Event:
    """The history entry in a row of all its columns."""
    values = list(row)
    for place in _EVENT_STATES:
        values[place] = _STATES.get(row[place])
    return Event(*values)


def version_of(job: Job) -> dict[str, Any]:
    """What an update writes for the next version of a job, by column."""
    values = {column: getattr(job, field) for field, column in _MUTABLE}
    values["id"] = job.id
    return values
