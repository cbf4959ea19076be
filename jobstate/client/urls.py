"""Requests as parts of a URL: the path of a job, and filters as query parameters."""

from __future__ import annotations

from dataclasses import fields
from typing import Final, NamedTuple

from jobstate.domain import validation
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogFilter, LogLevel
from jobstate.ports.queries import Filter
from jobstate.wire.formats import format_instant, format_labels
from jobstate.wire.states import Dialect, selected

RECORD: Final = {"view": "record"}
"""Asks for whole values, as they are stored."""


def job_path(job_id: int) -> str:
    """The path of a job."""
    return f"/jobs/{job_id}"


def run_path(job_id: int) -> str:
    """The path of a job as a run of a pipeline."""
    return f"/api/v1/jobs/{job_id}"


class StateWords(NamedTuple):
    """States as filter words."""

    text: str
    exact: bool
    """False where the server selects more by these words, as `Scheduled` there is Created and Recovering too."""


def state_words(states: frozenset[State]) -> StateWords:
    """The words that select at least these states, whatever the profile of the server."""
    text = ",".join(sorted(state.value for state in states))
    return StateWords(text, all(selected(text, dialect) == states for dialect in (Dialect.DOCS, Dialect.SDK)))


def job_filter(wanted: Filter) -> dict[str, object]:
    """A filter of jobs, its states as filter words; see `StateWords.exact`."""
    parameters: dict[str, object] = {field.name: getattr(wanted, field.name) for field in fields(wanted)}
    del parameters["states"], parameters["labels"]
    label = format_labels(wanted.labels) if wanted.labels else None
    return {"status": state_words(wanted.states).text, "label": label, **parameters}


def log_filter(wanted: LogFilter) -> dict[str, object]:
    """A filter of log entries, which come as whole values."""
    since, until = (
        None if moment is None else format_instant(validation.instant(moment))
        for moment in (wanted.since_us, wanted.until_us)
    )
    return {
        **RECORD,
        "level": None if set(wanted.levels) == set(LogLevel) else ",".join(wanted.levels),
        "operator_id": wanted.operator_id,
        "task_index": wanted.task_index,
        "since": since,
        "until": until,
    }
