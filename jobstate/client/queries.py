"""What a verb asks for, as the words of a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from jobstate.domain import checked
from jobstate.domain.lifecycle import State
from jobstate.wire import labels as label_text
from jobstate.wire.vocabulary import Dialect, selected

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
    checked.labels_text(wanted)
    return label_text.written(wanted)


def text(field: str, value: str | None) -> str | None:
    """A text to filter by; None for no such filter."""
    return None if value is None else checked.text(field, value)
