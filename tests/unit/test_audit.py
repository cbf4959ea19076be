"""A history that legal steps left behind is accepted, and each way of spoiling it is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobstate.domain.audit import AuditReport, Finding, audit_job
from jobstate.domain.event import Event
from jobstate.domain.lifecycle import State
from jobstate.domain.stop import StopMode
from tests.unit.building import (
    Life,
    agreed,
    born,
    claimed,
    completed,
    failed,
    history,
    job,
    lives,
    released,
    stopped,
)
from tests.values import replace

LONG: Life = completed(
    agreed(stopped(stopped(claimed(released(claimed(failed(claimed(born())))))), StopMode.IMMEDIATE))
)
"""A life with a retry, a release, a note and a stop that completion beat."""


def problems(life: Life, events: list[Event]) -> list[str]:
    return [finding.problem for finding in audit_job(life.job, events)]


@pytest.mark.parametrize("life", [*lives().values(), LONG], ids=[*lives(), "long"])
def test_a_history_of_legal_steps_leads_to_its_row(life: Life) -> None:
    assert problems(life, history(life.versions)) == []


def test_a_held_job_may_be_let_into_the_queue() -> None:
    created = born(state=State.CREATED)
    assert problems(created, history(created.versions)) == []


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda events: [], "it has no history"),
        (lambda events: events[1:], "its history does not begin with its submission"),
        (lambda events: [replace(events[0], trigger="claim"), *events[1:]], "does not begin with its submission"),
        (lambda events: [replace(events[0], to_state=State.RUNNING), *events[1:]], "does not begin with"),
        (lambda events: [replace(events[0], from_state=State.CREATED), *events[1:]], "does not begin with"),
        (lambda events: events[:-1], "its history ends at entry"),
        (lambda events: [*events[:3], *events[4:]], "history entry 3 is followed by 5"),
        (lambda events: [*events[:3], events[2], *events[3:]], "history entry 3 is followed by 3"),
        (lambda events: [*events[:2], events[3], events[2], *events[4:]], "history entry 2 is followed by 4"),
        (lambda events: [*events[:-1], replace(events[-1], to_state=State.FAILED)], "-complete-> Failed"),
        (lambda events: [*events[:-1], replace(events[-1], attempt=9)], "the attempt went from 3 to 9"),
        (lambda events: [*events[:-1], replace(events[-1], token=9)], "the token went from 5 to 9"),
        (lambda events: [*events[:-1], replace(events[-1], token=7)], "the token went from 5 to 7"),
        (lambda events: [*events[:-1], replace(events[-1], token=4)], "the token went from 5 to 4"),
        (lambda events: [replace(event, token=event.token + 1) for event in events], "not those of its newest"),
    ],
)
def test_a_spoilt_history_is_found_out(spoil: Callable[[list[Event]], list[Event]], problem: str) -> None:
    assert any(problem in found for found in problems(LONG, spoil(history(LONG.versions))))


@pytest.mark.parametrize("state", State)
def test_a_row_in_another_state_than_its_history_is_found_out(state: State) -> None:
    moved = Life(replace(LONG.job, state=state), LONG.versions)
    expected = [] if state is LONG.job.state else [f"its history ends in Completed, its row says {state}"]
    assert [problem for problem in problems(moved, history(LONG.versions)) if "ends in" in problem] == expected


def test_a_row_that_does_not_fit_its_state_is_found_out() -> None:
    odd = Life(replace(LONG.job, worker_id="worker-01"), LONG.versions)
    assert "worker_id is set in Completed" in problems(odd, history(LONG.versions))


def test_a_finding_names_its_job() -> None:
    (finding,) = audit_job(job(), [])
    assert finding == Finding(7, "it has no history")
    assert str(finding) == "job 7: it has no history"
    assert str(Finding(None, "the schema was changed")) == "the schema was changed"


def test_a_report_is_well_exactly_when_it_found_nothing() -> None:
    assert AuditReport(3, 12, ()).ok
    assert not AuditReport(3, 12, (Finding(7, "it has no history"),)).ok
