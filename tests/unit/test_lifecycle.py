"""The table is the one that was designed, and what is computed from it is what it says."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, cast

import pytest

from jobstate.domain import lifecycle
from jobstate.domain.lifecycle import (
    AUTHORITY,
    CLAIMABLE,
    EDGES,
    HELD,
    INITIAL,
    LEASE_EFFECT,
    LEASED,
    LIFECYCLE,
    LIVE,
    NOTED,
    STATE_WORDS,
    STOP_PENDING,
    TERMINAL,
    Authority,
    LeaseEffect,
    State,
    Trigger,
    sources,
    states_named,
)

DESIGNED = """
from \\ trigger | schedule  | claim   | complete  | fail   | recover    | rescale   | resume  | release   | request_stop  | begin_stop | finish_stop | halt
Created         | Scheduled |         |           |        |            |           |         |           |               |            |             | Stopped
Scheduled       |           | Running |           | Failed |            |           |         |           | StopRequested |            |             | Stopped
Running         |           |         | Completed | Failed | Recovering | Rescaling |         | Scheduled | StopRequested |            |             | Stopped
Rescaling       |           |         | Completed | Failed | Recovering |           | Running | Scheduled | StopRequested |            |             | Stopped
Recovering      |           | Running |           | Failed |            |           |         |           |               |            |             | Stopped
StopRequested   |           |         | Completed | Failed |            |           |         |           |               | Stopping   |             | Stopped
Stopping        |           |         | Completed | Failed |            |           |         |           |               |            | Stopped     | Stopped
Stopped         |           |         |           |        |            |           |         |           |               |            |             |
Completed       |           |         |           |        |            |           |         |           |               |            |             |
Failed          |           |         |           |        |            |           |         |           |               |            |             |
"""  # noqa: E501


def _designed() -> set[tuple[str, str, str]]:
    """The design's table, written here a second time on purpose."""
    head, *rows = ([cell.strip() for cell in line.split("|")] for line in DESIGNED.strip().splitlines())
    return {(row[0], trigger, to) for row in rows for trigger, to in zip(head[1:], row[1:], strict=True) if to}


def test_the_table_has_exactly_the_31_edges_of_the_design() -> None:
    assert {(str(source), str(trigger), str(to)) for source, trigger, to in EDGES} == _designed()
    assert len(EDGES) == len(set(EDGES)) == 31


def test_every_state_has_a_row_and_every_trigger_an_edge_and_an_effect() -> None:
    assert set(LIFECYCLE) == set(State)
    assert {trigger for _, trigger, _ in EDGES} == set(Trigger) == set(LEASE_EFFECT)


def test_states_are_spelled_as_they_are_stored() -> None:
    assert [str(state) for state in State] == [
        "Created",
        "Scheduled",
        "Running",
        "Rescaling",
        "Recovering",
        "StopRequested",
        "Stopping",
        "Stopped",
        "Completed",
        "Failed",
    ]


def test_the_ends_are_the_rows_without_an_edge() -> None:
    assert {State.STOPPED, State.COMPLETED, State.FAILED} == TERMINAL
    assert set(State) == TERMINAL | LIVE
    assert not TERMINAL & LIVE


def test_a_job_is_born_held_or_in_the_queue() -> None:
    assert INITIAL == (State.CREATED, State.SCHEDULED)


def test_only_waiting_jobs_are_claimed() -> None:
    assert {State.SCHEDULED, State.RECOVERING} == CLAIMABLE


def test_worker_verbs_apply_only_where_a_worker_may_hold_the_lease() -> None:
    assert {State.RUNNING, State.RESCALING, State.STOP_REQUESTED, State.STOPPING} == LEASED


def test_only_a_stop_may_wait_in_a_leased_state_without_a_holder() -> None:
    assert {State.RUNNING, State.RESCALING} == HELD
    assert LEASED - HELD == STOP_PENDING


def test_a_pending_stop_is_requested_or_agreed_to() -> None:
    assert {State.STOP_REQUESTED, State.STOPPING} == STOP_PENDING


def test_a_job_asked_to_stop_can_only_go_on_stopping_or_end() -> None:
    assert {to for source, _, to in EDGES if source in STOP_PENDING} <= STOP_PENDING | TERMINAL


def test_every_leased_state_can_complete_and_lose_its_worker() -> None:
    assert sources(Trigger.COMPLETE) == LEASED
    assert sources(Trigger.HALT) == LIVE


def test_the_lease_is_lost_whenever_it_is_taken_away_or_given_back() -> None:
    by_effect = {effect: {t for t, e in LEASE_EFFECT.items() if e is effect} for effect in LeaseEffect}
    assert by_effect[LeaseEffect.TAKES] == {Trigger.CLAIM}
    assert by_effect[LeaseEffect.LOSES] == {Trigger.RECOVER, Trigger.RELEASE, Trigger.HALT}
    assert by_effect[LeaseEffect.ENDS] == {Trigger.COMPLETE, Trigger.FAIL, Trigger.FINISH_STOP}


def test_a_trigger_that_leads_to_an_end_never_keeps_the_lease() -> None:
    assert not [t for _, t, to in EDGES if to in TERMINAL and LEASE_EFFECT[t] is LeaseEffect.KEEPS]


@pytest.mark.parametrize("name", ["LIFECYCLE", "LEASE_EFFECT"])
def test_the_tables_cannot_be_changed(name: str) -> None:
    table = cast("MutableMapping[Any, Any]", getattr(lifecycle, name))
    with pytest.raises(TypeError):
        table["Created"] = {}


@pytest.mark.parametrize("state", State)
def test_every_spelling_of_a_state_names_it(state: State) -> None:
    words = {
        state.value,
        state.value.lower(),
        state.name,
        state.name.lower(),
        state.name.replace("_", "-"),
        f" {state} ",
    }
    assert {states_named(word) for word in words} == {frozenset({state})}


def test_group_words_name_their_states() -> None:
    assert states_named("active") == LIVE
    assert states_named("terminal") == TERMINAL
    assert states_named("ALL") == frozenset(State)
    assert states_named("error") == frozenset({State.FAILED})


@pytest.mark.parametrize("word", ["", " ", "runing", "Running,Stopped", "none", "-"])
def test_a_misspelt_word_names_nothing(word: str) -> None:
    assert states_named(word) is None


def test_every_word_that_is_offered_is_understood() -> None:
    assert all(states_named(word) for word in STATE_WORDS)
    assert len(STATE_WORDS) == len(set(STATE_WORDS)) == len(State) + 4


def test_only_the_holder_ends_its_run_well_and_only_others_ask_something_of_it() -> None:
    assert {trigger for trigger, who in AUTHORITY.items() if who is Authority.HOLDER} == {
        Trigger.COMPLETE,
        Trigger.RESUME,
        Trigger.RELEASE,
    }
    assert {trigger for trigger, who in AUTHORITY.items() if who is Authority.OTHERS} == {
        *(Trigger.SCHEDULE, Trigger.CLAIM, Trigger.RESCALE, Trigger.REQUEST_STOP, Trigger.HALT),
    }
    assert {trigger: who for trigger, who in AUTHORITY.items() if who not in (Authority.HOLDER, Authority.OTHERS)} == {
        Trigger.FAIL: Authority.EITHER,
        Trigger.RECOVER: Authority.HOLDER_UNTIL_EXPIRY,
        Trigger.BEGIN_STOP: Authority.HOLDER_IF_ANY,
        Trigger.FINISH_STOP: Authority.HOLDER_IF_ANY,
    }


def test_only_a_request_that_changed_or_its_answer_is_noted_without_a_change_of_state() -> None:
    assert {Trigger.RESUME, Trigger.RESCALE, Trigger.REQUEST_STOP} == NOTED
