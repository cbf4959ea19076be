"""Laws of stops, held against jobs that generated lives lead to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobstate.domain import leases, stop_requests
from jobstate.domain.event import Actor
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import STOP_PENDING, TERMINAL
from jobstate.domain.stop import SEVERITY, StopMode
from jobstate.domain.transitions import Decision
from tests.property.walking import RestartRequest, law_of_lives, steps, walk, walks
from tests.unit.building import NOW, SWEEPER, TIMEOUT, Life

Walk = tuple[Life, list[RestartRequest]]
modes = st.sampled_from(StopMode)
waits = st.integers(0, 2 * TIMEOUT)


def _lived(chosen: Walk) -> tuple[JobRow, int]:
    """The job that a walk leads to, and the time by then."""
    subject, now = chosen[0].job, NOW
    for each in walk(*chosen):
        now = each.now
        subject = each.before if each.decision is None else each.decision.job
    return subject, now


def _severity(mode: StopMode | None) -> int:
    return -1 if mode is None else SEVERITY.index(mode)


@law_of_lives
@given(walks, modes, waits, st.integers(1, TIMEOUT), st.floats(0, 1))
def test_a_second_identical_stop_writes_nothing(
    chosen: Walk, mode: StopMode, wait: int, timeout: int, chance: float
) -> None:
    subject, now = _lived(chosen)
    now += wait
    once = stop_requests.stop(subject, mode, now + timeout, chance, now, Actor("cli:ana", "first")).job
    twice = stop_requests.stop(once, mode, now + timeout, chance, now, Actor("cli:ana", "first"))
    assert twice == Decision(once)


@law_of_lives
@given(walks, modes, waits, st.integers(0, TIMEOUT), st.floats(0, 1))
def test_a_stop_is_never_refused_and_never_lost(
    chosen: Walk, mode: StopMode, wait: int, timeout: int, chance: float
) -> None:
    subject, now = _lived(chosen)
    now += wait
    after = stop_requests.stop(subject, mode, now + timeout, chance, now, Actor("cli:ana")).job
    assert after.state in STOP_PENDING | TERMINAL
    assert mode is not StopMode.FORCE or after.state in TERMINAL
    assert stop_requests.expected_finish_us(after) is not None


@law_of_lives
@given(walks, modes, waits, st.integers(0, TIMEOUT))
def test_every_stop_ends_with_a_sweep_at_its_deadline(chosen: Walk, mode: StopMode, wait: int, timeout: int) -> None:
    subject, now = _lived(chosen)
    now += wait
    after = stop_requests.stop(subject, mode, now + timeout, 0.0, now, Actor("cli:ana")).job
    deadline = stop_requests.expected_finish_us(after)
    assert deadline is not None
    assert leases.settle(after, deadline, SWEEPER, 0.0).job.is_terminal


@law_of_lives
@given(walks)
def test_severity_only_rises_deadlines_only_fall_and_the_first_reason_is_kept(chosen: Walk) -> None:
    for _, before, after in steps(walk(*chosen)):
        if before.state in STOP_PENDING:
            assert _severity(after.stop_mode) >= _severity(before.stop_mode)
            assert before.stop_deadline_us is not None and after.stop_deadline_us is not None
            assert after.stop_deadline_us <= before.stop_deadline_us
            assert after.stop_reason == before.stop_reason


@law_of_lives
@given(walks, st.lists(st.tuples(modes, st.integers(1, TIMEOUT)), min_size=1, max_size=6))
def test_many_stops_come_to_the_hardest_and_the_earliest_of_them(
    chosen: Walk, asked: list[tuple[StopMode, int]]
) -> None:
    subject, now = _lived(chosen)
    first = stop_requests.stop(subject, *_request(asked[0], now)).job
    after = first
    for request in asked[1:]:
        after = stop_requests.stop(after, *_request(request, now)).job
    if first.state in STOP_PENDING:
        assert first.stop_mode is not None and first.stop_deadline_us is not None
        hardest = max([first.stop_mode, *(mode for mode, _ in asked)], key=SEVERITY.index)
        assert after.stop_mode is hardest
        if hardest is not StopMode.FORCE:
            assert after.stop_deadline_us == min(first.stop_deadline_us, *(now + timeout for _, timeout in asked))
    else:
        assert after == first


def _request(asked: tuple[StopMode, int], now: int) -> tuple[StopMode, int, float, int, Actor]:
    return asked[0], now + asked[1], 0.0, now, Actor("cli:ana")
