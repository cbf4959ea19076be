"""Stop requests in each state: idempotent, never a step back, never an error for a job that exists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobstate.domain import validation
from jobstate.domain.event import SWEEPER, Actor
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow
from jobstate.domain.leases import halt, settle, unheld_outcome
from jobstate.domain.lifecycle import LIFECYCLE, STOP_PENDING, Trigger
from jobstate.domain.stop import SEVERITY, StopMode, StopOutcome
from jobstate.domain.transitions import Decision, decided, move, note


@dataclass(frozen=True, slots=True)
class StopResult:
    """The result of a stop request.

    Attributes:
        changed: Whether anything was written. False for a job that had ended before, and for a repeated request.
        job: The job after the request.
        expected_finish_time: When the job stops at the latest; its finish time if it has ended.
    """

    changed: bool
    job: Job
    expected_finish_time: datetime | None


def stop(job: JobRow, mode: StopMode, deadline: int, chance: float, now: int, by: Actor) -> Decision:
    """Decide a stop request, after settling an expired lease or a passed deadline of the job.

    Args:
        mode: How hard; see the table of stops in the guide to the store.
        deadline: When the stop ends at the latest, microseconds since 1970 UTC.
        chance: A random number in 0..1, for settling.
    """
    settled = settle(job, now, Actor(f"{SWEEPER}{by.name}", by.reason), chance, unheld_too=False)
    return settled.then(_decide(settled.job, mode, deadline, now, by))


def _decide(job: JobRow, mode: StopMode, deadline: int, now: int, by: Actor) -> Decision:
    if job.is_terminal:
        return Decision(job)
    if job.state in STOP_PENDING:
        return _again(job, mode, deadline, now, by)
    wanted: dict[str, Any] = {"stop_mode": mode, "stop_reason": by.reason}
    if mode is StopMode.FORCE or Trigger.REQUEST_STOP not in LIFECYCLE[job.state]:
        outcome = StopOutcome.FORCED if job.worker_id is not None else unheld_outcome(job)
        return decided(halt(job, outcome, now, by, **wanted))
    detail = {"mode": mode.value, "deadline": validation.instant(deadline).isoformat()}
    return decided(move(job, Trigger.REQUEST_STOP, now, by, detail=detail, stop_deadline_us=deadline, **wanted))


def _again(job: JobRow, mode: StopMode, deadline: int, now: int, by: Actor) -> Decision:
    """A stop is pending: severity only rises, the deadline only gets earlier, the first reason is kept."""
    if mode is StopMode.FORCE:
        outcome = StopOutcome.FORCED if job.worker_id is not None else unheld_outcome(job)
        return decided(halt(job, outcome, now, by, stop_mode=mode))
    assert job.stop_mode is not None
    changes: dict[str, Any] = {}
    detail: dict[str, Any] = {}
    if SEVERITY.index(mode) > SEVERITY.index(job.stop_mode):
        changes["stop_mode"] = mode
        detail["mode"] = mode.value
    if job.stop_deadline_us is None or deadline < job.stop_deadline_us:
        changes["stop_deadline_us"] = deadline
        detail["deadline"] = validation.instant(deadline).isoformat()
    if not changes:
        return Decision(job)
    return decided(note(job, Trigger.REQUEST_STOP.value, now, by, detail=detail, **changes))


def expected_finish_us(job: JobRow) -> int | None:
    """When a job with a stop ends at the latest: its finish time, or the deadline of the stop."""
    return job.finished_us if job.is_terminal else job.stop_deadline_us
