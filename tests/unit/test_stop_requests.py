"""Every cell of the table of stops: what a stop does in each state, held or not, once, again, and harder."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import product
from typing import Final, NamedTuple

import pytest

from jobstate.domain import leases, stop_requests, validation
from jobstate.domain.event import Actor
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import STOP_PENDING, State
from jobstate.domain.stop import SEVERITY, StopMode, StopOutcome
from jobstate.domain.stop_requests import StopResult, expected_finish_us
from jobstate.domain.transitions import Decision
from tests.unit.building import (
    FATAL,
    HOLDER,
    LEASE,
    NOW,
    OPERATOR,
    SECOND,
    TIMEOUT,
    WORKER,
    born,
    claimed,
    failed,
    lives,
    triggers,
)
from tests.values import replace

LATER: Final = NOW + SECOND
DEADLINE: Final = LATER + TIMEOUT
AGAIN: Final = Actor("cli:ben", "hurry up")
CHECKPOINT, IMMEDIATE, FORCE = StopMode.CHECKPOINT, StopMode.IMMEDIATE, StopMode.FORCE
ALL: Final = lives()


class Cell(NamedTuple):
    """What the design's table says about one state and mode."""

    history: str
    """The triggers written, in order; empty: no event."""
    state: State
    mode: StopMode | None
    outcome: StopOutcome | None = None


def _ends(outcome: StopOutcome, mode: StopMode) -> Cell:
    return Cell("halt", State.STOPPED, mode, outcome)


def _asked(mode: StopMode) -> Cell:
    return Cell("request_stop", State.STOP_REQUESTED, mode)


NEVER, BETWEEN, FORCED = StopOutcome.NEVER_STARTED, StopOutcome.BETWEEN_RUNS, StopOutcome.FORCED
TABLE: Final[dict[str, dict[StopMode, Cell]]] = {
    "Created": {mode: _ends(NEVER, mode) for mode in StopMode},
    "Scheduled": {CHECKPOINT: _asked(CHECKPOINT), IMMEDIATE: _asked(IMMEDIATE), FORCE: _ends(NEVER, FORCE)},
    "Scheduled, ran before": {
        CHECKPOINT: _asked(CHECKPOINT),
        IMMEDIATE: _asked(IMMEDIATE),
        FORCE: _ends(BETWEEN, FORCE),
    },
    "Running": {CHECKPOINT: _asked(CHECKPOINT), IMMEDIATE: _asked(IMMEDIATE), FORCE: _ends(FORCED, FORCE)},
    "Rescaling": {CHECKPOINT: _asked(CHECKPOINT), IMMEDIATE: _asked(IMMEDIATE), FORCE: _ends(FORCED, FORCE)},
    "Recovering": {mode: _ends(BETWEEN, mode) for mode in StopMode},
    "StopRequested, held": {
        CHECKPOINT: Cell("", State.STOP_REQUESTED, CHECKPOINT),
        IMMEDIATE: Cell("request_stop", State.STOP_REQUESTED, IMMEDIATE),
        FORCE: _ends(FORCED, FORCE),
    },
    "StopRequested, never claimed": {
        CHECKPOINT: Cell("", State.STOP_REQUESTED, CHECKPOINT),
        IMMEDIATE: Cell("request_stop", State.STOP_REQUESTED, IMMEDIATE),
        FORCE: _ends(NEVER, FORCE),
    },
    "StopRequested, ran before": {
        CHECKPOINT: Cell("", State.STOP_REQUESTED, CHECKPOINT),
        IMMEDIATE: Cell("request_stop", State.STOP_REQUESTED, IMMEDIATE),
        FORCE: _ends(BETWEEN, FORCE),
    },
    "Stopping, held": {
        CHECKPOINT: Cell("", State.STOPPING, CHECKPOINT),
        IMMEDIATE: Cell("request_stop", State.STOPPING, IMMEDIATE),
        FORCE: _ends(FORCED, FORCE),
    },
    "Stopped": {mode: Cell("", State.STOPPED, FORCE, FORCED) for mode in StopMode},
    "Completed": {mode: Cell("", State.COMPLETED, None) for mode in StopMode},
    "Failed": {mode: Cell("", State.FAILED, None) for mode in StopMode},
}
CELLS: Final = [
    pytest.param(name, mode, cell, id=f"{name} - {mode}") for name, row in TABLE.items() for mode, cell in row.items()
]
PENDING: Final = sorted(name for name, life in ALL.items() if life.job.state in STOP_PENDING)
ENDED: Final = sorted(name for name, life in ALL.items() if life.job.is_terminal)


def stop(job: JobRow, mode: StopMode, deadline: int = DEADLINE, now: int = LATER, by: Actor = AGAIN) -> Decision:
    return stop_requests.stop(job, mode, deadline, 0.0, now, by)


def test_the_table_has_a_row_for_every_state_and_every_way_of_standing_in_it() -> None:
    assert set(TABLE) == set(ALL)
    assert {life.job.state for life in ALL.values()} == set(State)
    assert all(set(row) == set(StopMode) for row in TABLE.values())


@pytest.mark.parametrize(("name", "mode", "cell"), CELLS)
def test_a_stop_does_what_its_cell_says(name: str, mode: StopMode, cell: Cell) -> None:
    decision = stop(ALL[name].job, mode)
    after = decision.job
    assert triggers(decision) == ([cell.history] if cell.history else [])
    assert (after.state, after.stop_mode, after.stop_outcome) == (cell.state, cell.mode, cell.outcome)


@pytest.mark.parametrize(("name", "mode", "cell"), CELLS)
def test_the_same_stop_again_succeeds_and_writes_nothing(name: str, mode: StopMode, cell: Cell) -> None:
    once = stop(ALL[name].job, mode).job
    assert stop(once, mode) == Decision(once)
    assert stop(once, mode, DEADLINE + SECOND, by=OPERATOR) == Decision(once)
    assert once.state is cell.state


@pytest.mark.parametrize(("name", "mode", "cell"), CELLS)
def test_a_stop_fences_the_worker_exactly_when_it_takes_the_lease_away(name: str, mode: StopMode, cell: Cell) -> None:
    before = ALL[name].job
    after = stop(before, mode).job
    fenced = before.worker_id is not None and cell.state is State.STOPPED
    assert after.lease_token == before.lease_token + fenced
    assert after.worker_id == (None if fenced else before.worker_id)


@pytest.mark.parametrize(("name", "mode", "cell"), CELLS)
def test_a_stop_says_when_it_is_over(name: str, mode: StopMode, cell: Cell) -> None:
    before = ALL[name].job
    after = stop(before, mode).job
    if before.is_terminal:
        expected = before.finished_us
    elif after.is_terminal:
        expected = LATER
    else:
        expected = NOW + TIMEOUT if before.state in STOP_PENDING else DEADLINE
    assert expected_finish_us(after) == expected
    assert cell.state is after.state


@pytest.mark.parametrize("name", sorted(set(ALL) - set(PENDING) - set(ENDED)))
@pytest.mark.parametrize("mode", StopMode)
def test_a_stop_records_who_asked_and_why(name: str, mode: StopMode) -> None:
    after = stop(ALL[name].job, mode).job
    assert (after.actor, after.reason, after.stop_reason) == (*AGAIN, AGAIN.reason)


@pytest.mark.parametrize("name", ["Scheduled", "Running", "Rescaling"])
def test_a_request_records_how_hard_and_until_when(name: str) -> None:
    after = stop(ALL[name].job, IMMEDIATE).job
    deadline = validation.instant(DEADLINE).isoformat()
    assert json.loads(after.detail_json or "") == {"mode": "immediate", "deadline": deadline}
    assert (after.stop_mode, after.stop_deadline_us) == (IMMEDIATE, DEADLINE)


def test_a_stop_drops_the_rescale_target() -> None:
    assert ALL["Rescaling"].job.rescale_to == 4
    assert stop(ALL["Rescaling"].job, CHECKPOINT).job.rescale_to is None


@pytest.mark.parametrize("name", PENDING)
def test_severity_only_rises(name: str) -> None:
    for first, second in product(SEVERITY, repeat=2):
        after = stop(stop(ALL[name].job, first).job, second).job
        assert after.stop_mode is max(first, second, key=SEVERITY.index)


@pytest.mark.parametrize("name", PENDING)
def test_a_deadline_only_gets_earlier(name: str) -> None:
    before = ALL[name].job
    assert before.stop_deadline_us == NOW + TIMEOUT
    for mode, offset in product((CHECKPOINT, IMMEDIATE), (-TIMEOUT + 1, -SECOND, 0, SECOND)):
        after = stop(before, mode, before.stop_deadline_us + offset, now=NOW)
        assert after.job.stop_deadline_us == before.stop_deadline_us + min(offset, 0)
        assert len(after.steps) == (offset < 0 or mode is IMMEDIATE)


@pytest.mark.parametrize("name", PENDING)
def test_a_change_of_a_pending_stop_leaves_a_note_of_what_changed(name: str) -> None:
    before = ALL[name].job
    earlier = NOW + TIMEOUT - 1
    (harder,) = stop(before, IMMEDIATE).steps
    (sooner,) = stop(before, CHECKPOINT, earlier).steps
    (both,) = stop(before, IMMEDIATE, earlier).steps
    assert harder.state is sooner.state is both.state is before.state
    until = {"deadline": validation.instant(earlier).isoformat()}
    assert json.loads(harder.detail_json or "") == {"mode": "immediate"}
    assert json.loads(sooner.detail_json or "") == until
    assert json.loads(both.detail_json or "") == {"mode": "immediate", **until}
    assert (both.actor, both.reason) == AGAIN


@pytest.mark.parametrize("name", PENDING)
@pytest.mark.parametrize("mode", StopMode)
def test_the_first_reason_is_kept(name: str, mode: StopMode) -> None:
    assert stop(ALL[name].job, mode).job.stop_reason == OPERATOR.reason


@pytest.mark.parametrize("name", ENDED)
@pytest.mark.parametrize("mode", StopMode)
def test_a_stop_of_a_job_that_ended_changes_nothing(name: str, mode: StopMode) -> None:
    before = ALL[name].job
    assert stop(before, mode, now=LATER + 10**12) == Decision(before)


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED])
def test_a_stop_of_a_job_that_ended_in_spite_of_one_changes_nothing(state: State) -> None:
    stopping_job = ALL["Stopping, held"].job
    ended = (
        leases.complete(stopping_job, 1, NOW, HOLDER).job
        if state is State.COMPLETED
        else leases.fail(stopping_job, 1, FATAL, 0.0, NOW, HOLDER).job
    )
    assert ended.state is state
    assert stop(ended, FORCE) == Decision(ended)


@pytest.mark.parametrize("name", ["Running", "Rescaling"])
@pytest.mark.parametrize("mode", StopMode)
def test_a_lost_lease_is_settled_before_the_stop_is_decided(name: str, mode: StopMode) -> None:
    decision = stop(ALL[name].job, mode, now=NOW + LEASE)
    assert triggers(decision) == ["recover", "halt"]
    assert (decision.job.state, decision.job.stop_outcome) == (State.STOPPED, BETWEEN)
    assert [step.actor for step in decision.steps] == [f"sweep:{AGAIN.name}", AGAIN.name]
    assert decision.job.stop_reason == AGAIN.reason


def test_a_stop_that_finds_the_last_attempt_lost_leaves_the_job_failed() -> None:
    decision = stop(claimed(born(max_attempts=1)).job, CHECKPOINT, now=NOW + LEASE)
    assert triggers(decision) == ["fail"]
    assert (decision.job.state, decision.job.stop_mode) == (State.FAILED, None)


@pytest.mark.parametrize("name", PENDING)
@pytest.mark.parametrize("mode", StopMode)
def test_a_passed_deadline_is_settled_before_the_stop_is_decided(name: str, mode: StopMode) -> None:
    before = replace(ALL[name].job, lease_expires_us=None if ALL[name].job.worker_id is None else NOW + 2 * TIMEOUT)
    after = stop(before, mode, DEADLINE + TIMEOUT, now=NOW + TIMEOUT).job
    held = before.worker_id is not None
    unheld = NEVER if before.attempt == 0 else BETWEEN
    assert (after.state, after.stop_outcome) == (State.STOPPED, StopOutcome.TIMED_OUT if held else unheld)
    assert (after.stop_mode, after.actor) == (CHECKPOINT, f"sweep:{AGAIN.name}")
    assert after.reason == after.stop_reason == OPERATOR.reason


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping, held"])
def test_a_lease_lost_while_stopping_is_settled_before_a_second_stop(name: str) -> None:
    after = stop(ALL[name].job, FORCE, now=NOW + LEASE).job
    assert (after.state, after.stop_outcome, after.stop_mode) == (State.STOPPED, StopOutcome.WORKER_LOST, CHECKPOINT)


def test_a_stop_between_runs_keeps_the_failure_of_the_last_one() -> None:
    recovering = failed(claimed(born())).job
    assert stop(recovering, CHECKPOINT).job.failure == recovering.failure is not None


def test_a_stop_keeps_the_worker_until_it_agrees() -> None:
    asked = stop(ALL["Running"].job, CHECKPOINT).job
    assert (asked.worker_id, asked.lease_expires_us) == (WORKER, NOW + LEASE)


def test_a_stop_without_a_reason_has_none() -> None:
    asked = stop(ALL["Running"].job, CHECKPOINT, by=Actor("cli:ana")).job
    assert (asked.reason, asked.stop_reason) == (None, None)
    assert stop(asked, IMMEDIATE).job.stop_reason is None


def test_the_deadline_may_lie_beyond_the_calendar() -> None:
    asked = stop(ALL["Running"].job, CHECKPOINT, validation.MAX_ID).job
    assert asked.stop_deadline_us == validation.MAX_ID
    assert asked.stop is not None and asked.stop.deadline == validation.instant(validation.MAX_ID)


def test_nothing_is_expected_to_finish_where_no_stop_was_asked_for() -> None:
    assert expected_finish_us(ALL["Running"].job) is None


def test_a_result_tells_whether_anything_changed() -> None:
    asked = Job(stop(ALL["Running"].job, CHECKPOINT).job)
    finish = validation.instant(DEADLINE)
    result = StopResult(True, asked, finish)
    assert (result.changed, result.job, result.expected_finish_time) == (True, asked, finish)
    assert finish - validation.instant(LATER) == timedelta(microseconds=TIMEOUT)
