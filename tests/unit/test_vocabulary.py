"""The spellings of states, transcribed from the contract by hand, and what filter words select."""

from __future__ import annotations

import pytest

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.wire.states import Dialect, selected, spelled

TABLE = {
    State.CREATED: ("Scheduled", "SCHEDULED", "SCHEDULED", "Created"),
    State.SCHEDULED: ("Scheduled", "SCHEDULED", "SCHEDULED", "Scheduling"),
    State.RUNNING: ("Running", "RUNNING", "RUNNING", "Running"),
    State.RESCALING: ("Running", "RUNNING", "RUNNING", "Rescaling"),
    State.RECOVERING: ("Scheduled", "SCHEDULED", "SCHEDULED", "Recovering"),
    State.STOP_REQUESTED: ("StopRequested", "STOP_REQUESTED", "STOP_REQUESTED", "Stopping"),
    State.STOPPING: ("Stopping", "STOPPING", "STOPPING", "Stopping"),
    State.STOPPED: ("Stopped", "STOPPED", "STOPPED", "Stopped"),
    State.COMPLETED: ("Completed", "COMPLETED", "COMPLETED", "Finished"),
    State.FAILED: ("Failed", "ERROR", "FAILED", "Failed"),
}


@pytest.mark.parametrize("state", list(State))
def test_each_dialect_spells_a_state_as_the_contract_says(state: State) -> None:
    assert tuple(spelled(state, dialect) for dialect in Dialect) == TABLE[state]


@pytest.mark.parametrize("dialect", [Dialect.DOCS, Dialect.AMPCTL, Dialect.SDK])
@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("active", LIVE),
        ("all", frozenset(State)),
        ("terminal", TERMINAL),
        ("error", {State.FAILED}),
        ("failed", {State.FAILED}),
        ("running", {State.RUNNING, State.RESCALING}),
        ("SCHEDULED", {State.SCHEDULED, State.CREATED, State.RECOVERING}),
        ("recovering", {State.RECOVERING}),
        ("created", {State.CREATED}),
        ("stop_requested", {State.STOP_REQUESTED}),
        ("Stop-Requested", {State.STOP_REQUESTED}),
        ("stopping", {State.STOPPING}),
        ("Scheduling", {State.SCHEDULED}),
        ("finished", {State.COMPLETED}),
        ("completed, stopped", {State.COMPLETED, State.STOPPED}),
        ("scheduled,running,error", {*State} - {State.COMPLETED, State.STOPPED, State.STOP_REQUESTED, State.STOPPING}),
    ],
)
def test_a_word_selects_what_the_dialect_shows_so(dialect: Dialect, word: str, states: frozenset[State]) -> None:
    assert selected(word, dialect) == states


@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("active", LIVE),
        ("all", frozenset(State)),
        ("terminal", TERMINAL),
        ("error", {State.FAILED}),
        ("running", {State.RUNNING}),
        ("Rescaling", {State.RESCALING}),
        ("Scheduling", {State.SCHEDULED}),
        ("scheduled", {State.SCHEDULED}),
        ("created", {State.CREATED}),
        ("stopping", {State.STOPPING, State.STOP_REQUESTED}),
        ("stop_requested", {State.STOP_REQUESTED}),
        ("finished", {State.COMPLETED}),
        ("COMPLETED", {State.COMPLETED}),
        ("finished,failed, Stopped", TERMINAL),
    ],
)
def test_a_word_of_the_pipeline_dialect_selects_what_it_shows_so(word: str, states: frozenset[State]) -> None:
    assert selected(word, Dialect.PIPELINE, "state") == states


@pytest.mark.parametrize("word", ["", "runing", "running,", "active,,all", "*"])
def test_a_misspelt_word_is_an_error_and_never_an_empty_list(word: str) -> None:
    with pytest.raises(InvalidRequest, match="status: has no word"):
        selected(word, Dialect.DOCS)


def test_words_combine_by_union() -> None:
    assert selected(["running", "completed"], Dialect.SDK) == selected("running,completed", Dialect.SDK)
