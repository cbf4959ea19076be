"""What a verb asks for, as the words of a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from jobstate.domain import validation
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogFilter, LogLevel
from jobstate.wire.states import Dialect, selected
from jobstate.wire.text import format_instant, format_labels

RECORD: Final = {"view": "record"}
"""Values whole, as they are stored."""


class Words(NamedTuple):
    """States as filter words."""

    text: str
    exact: bool
    """False where the server selects more by these words, as `Scheduled` there is Created and Recovering too."""


def words(states: frozenset[State]) -> Words:
    """The words that select at least these states, whatever the profile of the server."""
    text = ",".join(sorted(state.value for state in states))
    return Words(text, all(selected(text, dialect) == states for dialect in (Dialect.DOCS, Dialect.SDK)))


def labels(wanted: Mapping[str, str] | None) -> str | None:
    """Labels to filter by; None for no such filter."""
    if not wanted:
        return None
    validation.labels_text(wanted)
    return format_labels(wanted)


def log_query(wanted: LogFilter) -> dict[str, object]:
    """Which entries of a log are wanted, as whole values."""
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
