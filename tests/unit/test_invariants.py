"""A row holds what its state requires and nothing that its state rules out."""

from __future__ import annotations

from typing import Any

import pytest

from jobstate.domain.invariants import SHAPE, TOGETHER, Presence, faults
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.stop import StopMode, StopOutcome
from tests.unit.building import ERROR, NOW, WORKER, Life, lives, one_per_state
from tests.values import replace

SOME: dict[str, Any] = {
    "worker_id": WORKER,
    "lease_expires_us": NOW,
    "claimed_us": NOW,
    "started_us": NOW,
    "finished_us": NOW,
    "rescale_to": 4,
    "stop_mode": StopMode.CHECKPOINT,
    "stop_deadline_us": NOW,
    "stop_outcome": StopOutcome.FORCED,
    "failure_json": ERROR.to_json(),
}


def _with(subject: JobRow, field: str, value: Any) -> JobRow:
    changes: dict[str, Any] = {field: value}
    return replace(subject, **changes)


@pytest.mark.parametrize("life", lives().values(), ids=lives())
def test_every_version_that_legal_steps_write_fits_its_state(life: Life) -> None:
    assert [fault for version in life.versions for fault in faults(version)] == []


def test_the_table_speaks_of_fields_that_a_job_has() -> None:
    names = set(JobRow._fields)
    assert {rule.field for rule in SHAPE} == set(SOME) <= names
    assert {name for pair in TOGETHER for name in pair} <= names
    assert all(rule.required <= rule.allowed for rule in SHAPE)


@pytest.mark.parametrize(
    ("field", "states"),
    [
        ("worker_id", {State.RUNNING, State.RESCALING}),
        ("lease_expires_us", {State.RUNNING, State.RESCALING}),
        ("claimed_us", {State.RUNNING, State.RESCALING}),
        ("started_us", {State.RUNNING, State.RESCALING, State.COMPLETED}),
        ("finished_us", {State.STOPPED, State.COMPLETED, State.FAILED}),
        ("rescale_to", {State.RESCALING}),
        ("stop_mode", {State.STOP_REQUESTED, State.STOPPING, State.STOPPED}),
        ("stop_deadline_us", {State.STOP_REQUESTED, State.STOPPING}),
        ("stop_outcome", {State.STOPPED}),
        ("failure_json", {State.FAILED}),
    ],
)
def test_a_field_is_required_exactly_where_the_design_needs_it(field: str, states: set[State]) -> None:
    assert {rule.field: rule.required for rule in SHAPE}[field] == states


@pytest.mark.parametrize("rule", SHAPE, ids=lambda rule: rule.field)
def test_what_is_missing_or_does_not_belong_is_found(rule: Presence) -> None:
    for state, subject in one_per_state().items():
        missing = list(faults(_with(subject, rule.field, None)))
        present = list(faults(_with(subject, rule.field, SOME[rule.field])))
        assert (f"{rule.field} is missing in {state}" in missing) == (state in rule.required)
        assert (f"{rule.field} is set in {state}" in present) == (state not in rule.allowed)


@pytest.mark.parametrize("name", ["worker_id", "lease_expires_us"])
def test_a_holder_and_its_lease_stand_together(name: str) -> None:
    half = _with(lives()["StopRequested, held"].job, name, None)
    assert list(faults(half)) == ["worker_id and lease_expires_us do not stand together"]


@pytest.mark.parametrize("counts", [(-1, 1, 1), (2, 1, 1), (0, 2, 1), (0, -1, 0)])
def test_counts_that_cannot_be_are_found(counts: tuple[int, int, int]) -> None:
    failures, attempt, token = counts
    odd = replace(lives()["Running"].job, failures=failures, attempt=attempt, lease_token=token)
    assert [fault for fault in faults(odd) if fault.startswith("counts do not fit")]
