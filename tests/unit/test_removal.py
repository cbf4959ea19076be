"""Only jobs that have ended are removed."""

from __future__ import annotations

import pytest

from jobstate.domain.errors import InvalidRequest, JobNotTerminal
from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.domain.operator_actions import PRUNE_WORDS, check_deletable, prunable
from tests.unit.building import LEASE, NOW, TIMEOUT, Life, lives


@pytest.mark.parametrize("life", lives().values(), ids=lives())
def test_a_job_may_be_deleted_exactly_when_it_has_ended(life: Life) -> None:
    if life.job.is_terminal:
        assert check_deletable(life.job) is None  # type: ignore[func-returns-value]
    else:
        with pytest.raises(JobNotTerminal) as found:
            check_deletable(life.job)
        assert (found.value.job_id, found.value.state) == (life.job.id, life.job.state)


def test_a_delete_takes_no_time_so_nothing_is_settled_for_it() -> None:
    overdue = lives()["StopRequested, held"].job
    assert overdue.lease_expires_us == NOW + LEASE < NOW + TIMEOUT
    with pytest.raises(JobNotTerminal):
        check_deletable(overdue)


@pytest.mark.parametrize(
    ("word", "states"),
    [
        ("terminal", TERMINAL),
        ("completed", {State.COMPLETED}),
        ("stopped", {State.STOPPED}),
        ("error", {State.FAILED}),
        ("failed", {State.FAILED}),
        (" Completed ", {State.COMPLETED}),
        (State.STOPPED, {State.STOPPED}),
    ],
)
def test_a_prune_word_selects_states_that_have_ended(word: str, states: frozenset[State]) -> None:
    assert prunable(word) == states


@pytest.mark.parametrize("word", ["", "all", "active", "nonsense", *sorted(LIVE)])
def test_a_prune_word_that_would_touch_live_jobs_is_refused(word: str) -> None:
    with pytest.raises(InvalidRequest, match="live jobs are kept") as found:
        prunable(word)
    assert found.value.field == "status"
    assert all(offered in found.value.problem for offered in PRUNE_WORDS)


def test_every_word_that_is_offered_is_understood() -> None:
    assert frozenset().union(*(prunable(word) for word in PRUNE_WORDS)) == TERMINAL
