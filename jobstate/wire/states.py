"""How each dialect spells states, and which states its filter words select.

A strict client of a dialect never receives an unknown word: a state that the dialect lacks appears as the nearest one
that it has. Every document has the exact state too, in another field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.lifecycle import STATE_WORDS, State, states_named

_AMP_WORDS: Final = {
    State.CREATED: State.SCHEDULED,
    State.RESCALING: State.RUNNING,
    State.RECOVERING: State.SCHEDULED,
}
"""The Amp dialects have no word for these states; they show the one on the right."""
_PIPELINE_WORDS: Final = {
    State.SCHEDULED: "Scheduling",
    State.STOP_REQUESTED: State.STOPPING.value,
    State.COMPLETED: "Finished",
}
"""The words of the pipeline dialect that differ from those of the store."""


def _as_stored(state: State) -> str:
    return state.value


def _screaming(state: State) -> str:
    """StopRequested is STOP_REQUESTED."""
    return state.name


class Dialect(Enum):
    """A way to spell states."""

    DOCS = "docs"
    AMPCTL = "ampctl"
    SDK = "sdk"
    PIPELINE = "pipeline"


_SPELLINGS: Final[Mapping[Dialect, Mapping[State, str]]] = {
    Dialect.DOCS: {state: _as_stored(_AMP_WORDS.get(state, state)) for state in State},
    Dialect.AMPCTL: {
        state: "ERROR" if state is State.FAILED else _screaming(_AMP_WORDS.get(state, state)) for state in State
    },
    Dialect.SDK: {state: _screaming(_AMP_WORDS.get(state, state)) for state in State},
    Dialect.PIPELINE: {state: _PIPELINE_WORDS.get(state, state.value) for state in State},
}


def spelled(state: State, dialect: Dialect) -> str:
    """The word of the dialect for a state."""
    return _SPELLINGS[dialect][state]


def spelling(dialect: Dialect) -> Mapping[State, str]:
    """The word of the dialect for each state."""
    return _SPELLINGS[dialect]


def filter_words(dialect: Dialect) -> list[str]:
    """The words that `selected` accepts, in lower case without marks."""
    return sorted({_plain(word) for word in (*STATE_WORDS, *_SPELLINGS[dialect].values())} | _BORROWED.keys())


def selected(words: str | Iterable[str], dialect: Dialect, field: str = "status") -> frozenset[State]:
    """The states that filter words select together: a comma list, or several of them.

    A word of the dialect selects every state that the dialect spells so; any other word of the store or of another
    dialect selects exactly that state; `active`, `all`, `terminal` and `error` select groups. Case, `-` and `_` are
    ignored.

    Raises:
        InvalidRequest: A word is unknown or empty; a misspelt filter must not look like an empty list.
    """
    texts = [words] if isinstance(words, str) else list(words)
    found: frozenset[State] = frozenset()
    for word in (part for text in texts for part in text.split(",")):
        shown = frozenset(state for state in State if _plain(spelled(state, dialect)) == _plain(word))
        states = shown or states_named(word) or _BORROWED.get(_plain(word))
        if not states:
            raise InvalidRequest(field, f"has no word {word.strip()!r}; use {', '.join(filter_words(dialect))}")
        found |= states
    return found


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "").replace("_", "")


_BORROWED: Final[Mapping[str, frozenset[State]]] = {
    _plain(word): frozenset({state}) for state, word in _PIPELINE_WORDS.items() if states_named(word) is None
}
"""The words that only the pipeline dialect has, which the other dialects accept too."""
