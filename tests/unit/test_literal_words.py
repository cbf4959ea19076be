"""The words that type checkers know are those that the calls take."""

from __future__ import annotations

from enum import Enum
from typing import Any, get_args

import pytest

from jobstate.core import arguments
from jobstate.domain.lifecycle import STATE_WORDS, State, StateWord, states_named
from jobstate.domain.logs import LogLevel
from jobstate.domain.metrics import OperatorKind, OperatorWord
from jobstate.domain.operator_actions import prunable
from jobstate.domain.stop import StopMode
from jobstate.ports.queries import SortKey


def words(kind: Any) -> set[str]:
    """The strings of a Literal, or of a union with some in it."""
    return {word for part in get_args(kind) for word in ([part] if isinstance(part, str) else words(part))}


def test_every_filter_word_is_a_literal_once_and_no_other_is() -> None:
    assert len(words(StateWord)) == len(STATE_WORDS)
    assert {states_named(word) for word in words(StateWord)} == {states_named(word) for word in STATE_WORDS}


def test_the_words_of_a_prune_are_those_of_ended_jobs() -> None:
    taken = set()
    for word in words(StateWord):
        try:
            prunable(word)
            taken.add(word)
        except ValueError:
            pass
    assert words(arguments.PruneFilter) == taken


@pytest.mark.parametrize(
    ("kind", "values"),
    [(arguments.ModeWord, StopMode), (OperatorWord, OperatorKind)],
)
def test_the_words_of_an_enumeration_are_its_values(kind: Any, values: type[Enum]) -> None:
    assert words(kind) == {member.value for member in values}


def test_levels_and_sorts() -> None:
    assert words(arguments.LevelWord) == {*LogLevel, "warning"}
    assert words(arguments.SortWord) == {sign + key for key in SortKey for sign in ("", "-")}
    assert State in get_args(arguments.StateFilter)
