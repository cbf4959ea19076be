"""Leases: the claim, the verbs of the holder, and how a lost lease or a passed deadline is settled.

Every verb of a worker names id and token. A stale token raises `LeaseLost` before anything else is checked. Until a
claim, a sweep or another call settles a lost lease, the row decides and not the clock: a late write with the current
token is accepted.

`claim`, `renew` and `complete` exist a second time as single SQL statements in `jobstate.storage`, where the hot path
runs; `jobstate/testing/contract/areas/agreement.py` holds the two against each other for every store. Change both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobstate.domain.errors import LeaseLost, TransitionNotAllowed
from jobstate.domain.event import SWEEPER, Actor
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import CLAIMABLE, HELD, LEASED, STOP_PENDING, State, Trigger
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.domain.transitions import Decision, decided, move, target


def claimable(job: JobRow, node_id: str, now: int) -> bool:
    """Whether the worker may take the lease: the job waits, its time has come, and it is not pinned elsewhere."""
    return job.state in CLAIMABLE and job.available_us <= now and job.node_id in ("", node_id)


def claim(job: JobRow, node_id: str, expires: int, now: int, by: Actor) -> Decision:
    """Give the lease on a claimable job to a worker until `expires` (microseconds)."""
    claimed = move(
        job,
        Trigger.CLAIM,
        now,
        by,
        worker_id=node_id,
        lease_token=job.lease_token + 1,
        lease_expires_us=expires,
        claimed_us=now,
        started_us=now if job.started_us is None else job.started_us,
        attempt=job.attempt + 1,
        clean=False,
    )
    return decided(claimed)


def check_lease(job: JobRow, token: int) -> None:
    """Raise LeaseLost unless `token` is the token of the current holder."""
    if job.lease_token != token or job.worker_id is None or job.state not in LEASED:
        raise LeaseLost(job.id, token)


def is_undone(job: JobRow, claimed: JobRow) -> bool:
    """Whether a claim was rolled back with its transaction: then the store gives its token out once more.

    Args:
        job: The job as it is now.
        claimed: The job as it was claimed.
    """
    if job.lease_token != claimed.lease_token:
        return job.lease_token < claimed.lease_token
    return job.claimed_us != claimed.claimed_us or job.worker_id not in (None, claimed.worker_id)


def renew(job: JobRow, token: int, expires: int, now: int) -> Decision:
    """Renew the lease, or end a stop that is past its deadline: a hung worker must not outlive it."""
    check_lease(job, token)
    if deadline_passed(job, now):
        return settle(job, now, Actor(f"{SWEEPER}{job.worker_id}"), 0.0)
    return Decision(job._replace(lease_expires_us=expires))


def complete(job: JobRow, token: int, now: int, by: Actor) -> Decision:
    """Complete the job. Completion beats a pending stop. Repeated with the same token: no change."""
    if _own_end(job, token) and job.state is State.COMPLETED:
        return Decision(job)
    check_holder(job, token, Trigger.COMPLETE)
    return decided(move(job, Trigger.COMPLETE, now, by, failure_json=None))


def fail(job: JobRow, token: int, failure: Failure, chance: float, now: int, by: Actor) -> Decision:
    """Fail the run: the job is retried, or fails for good. While a stop is pending, a retryable failure ends it.

    Repeated with the same token after the job ended this way: no change.
    """
    if _own_end(job, token) and (job.state is State.FAILED or job.stop_outcome is StopOutcome.WORKER_FAILED):
        return Decision(job)
    check_holder(job, token, Trigger.FAIL)
    if job.state in STOP_PENDING and failure.kind is FailureKind.ERROR:
        return finish_pending_stop(job, StopOutcome.WORKER_FAILED, now, by, failure_json=failure.to_json())
    if failure.kind is FailureKind.FATAL:
        return decided(_failed(job, failure, now, by, fenced=False))
    return decided(_charged(job, failure, chance, now, by, lost=False))


def release(job: JobRow, token: int, available: int, now: int, by: Actor) -> Decision:
    """Return the job uncharged to the queue, due from `available` on. While a stop is pending, this ends it."""
    check_holder(job, token, Trigger.RELEASE)
    if job.state in STOP_PENDING:
        return finish_pending_stop(job, worker_outcome(job), now, by)
    return decided(move(job, Trigger.RELEASE, now, by, available_us=available))


def begin_stop(job: JobRow, token: int, now: int, by: Actor) -> Decision:
    """Acknowledge the stop. Repeated: no change."""
    check_holder(job, token, Trigger.BEGIN_STOP)
    if job.state is State.STOPPING:
        return Decision(job)
    return decided(move(job, Trigger.BEGIN_STOP, now, by))


def finish_stop(job: JobRow, token: int, now: int, by: Actor) -> Decision:
    """Finish the stop; from StopRequested it is acknowledged first. Repeated: no change."""
    if _own_end(job, token) and job.state is State.STOPPED:
        return Decision(job)
    check_holder(job, token, Trigger.FINISH_STOP)
    if job.state not in STOP_PENDING:
        target(job, Trigger.FINISH_STOP)
    return finish_pending_stop(job, worker_outcome(job), now, by)


def finish_pending_stop(
    job: JobRow, outcome: StopOutcome, now: int, by: Actor, failure_json: str | None = None
) -> Decision:
    """Take a job with a pending stop through Stopping to Stopped."""
    steps = [job]
    if job.state is State.STOP_REQUESTED:
        steps.append(move(job, Trigger.BEGIN_STOP, now, by))
    failure = job.failure_json if failure_json is None else failure_json
    detail = {"outcome": outcome.value}
    steps.append(
        move(steps[-1], Trigger.FINISH_STOP, now, by, detail=detail, stop_outcome=outcome, failure_json=failure)
    )
    return decided(*steps[1:])


def worker_outcome(job: JobRow) -> StopOutcome:
    """The outcome of a stop that the worker itself finished."""
    if job.stop_mode is StopMode.IMMEDIATE:
        return StopOutcome.IMMEDIATE
    return StopOutcome.CHECKPOINTED if job.clean else StopOutcome.NO_CHECKPOINT


def unheld_outcome(job: JobRow) -> StopOutcome:
    """The outcome of a stop when no worker held the job."""
    return StopOutcome.NEVER_STARTED if job.attempt == 0 else StopOutcome.BETWEEN_RUNS


def lease_lost(job: JobRow, now: int) -> bool:
    """Whether the lease has expired."""
    return job.lease_expires_us is not None and job.lease_expires_us <= now


def deadline_passed(job: JobRow, now: int) -> bool:
    """Whether a pending stop is past its deadline."""
    return job.state in STOP_PENDING and job.stop_deadline_us is not None and job.stop_deadline_us <= now


def is_overdue(job: JobRow, now: int) -> bool:
    """Whether `settle` would change the job."""
    if job.state in STOP_PENDING and job.worker_id is None:
        return True
    return lease_lost(job, now) or deadline_passed(job, now)


def settle(job: JobRow, now: int, by: Actor, chance: float, *, unheld_too: bool = True) -> Decision:
    """Settle what is overdue: an expired lease, a passed deadline, a stop of a job that no worker holds.

    Args:
        chance: A random number in 0..1, for the jitter of a retry.
        unheld_too: Also end a stop of an unheld job before its deadline. A second stop passes False: the job stays
            StopRequested.
    """
    if job.state in HELD and lease_lost(job, now):
        failure = Failure(f"the lease of {job.worker_id} ran out", FailureKind.ERROR, "lease")
        return decided(_charged(job, failure, chance, now, Actor(by.name, failure.message), lost=True))
    if job.state not in STOP_PENDING:
        return Decision(job)
    repeated = Actor(by.name, job.stop_reason)
    if job.worker_id is None:
        if unheld_too or deadline_passed(job, now):
            return finish_pending_stop(job, unheld_outcome(job), now, repeated)
    elif lease_lost(job, now) or deadline_passed(job, now):
        return decided(halt(job, _overdue_outcome(job, now), now, repeated))
    return Decision(job)


def halt(job: JobRow, outcome: StopOutcome, now: int, by: Actor, **changes: Any) -> JobRow:
    """Stop the job without its worker, and fence the worker if there is one."""
    return move(
        job,
        Trigger.HALT,
        now,
        by,
        detail={"outcome": outcome.value},
        stop_outcome=outcome,
        **changes,
    )


def fail_by_operator(job: JobRow, message: str, now: int, by: Actor) -> Decision:
    """Fail any job that the lifecycle lets fail, and fence its worker."""
    failure = Failure(message, FailureKind.FATAL, "operator")
    return decided(_failed(job, failure, now, by, fenced=True))


def schedule(job: JobRow, now: int, by: Actor) -> Decision:
    """Move a held job into the queue. A job in the queue stays as it is."""
    if job.state is State.SCHEDULED:
        return Decision(job)
    return decided(move(job, Trigger.SCHEDULE, now, by, available_us=max(job.available_us, now)))


def _overdue_outcome(job: JobRow, now: int) -> StopOutcome:
    """The outcome by what came first: the end of the lease or the deadline of the stop."""
    if not lease_lost(job, now):
        return StopOutcome.TIMED_OUT
    if not deadline_passed(job, now):
        return StopOutcome.WORKER_LOST
    assert job.lease_expires_us is not None and job.stop_deadline_us is not None
    return StopOutcome.WORKER_LOST if job.lease_expires_us <= job.stop_deadline_us else StopOutcome.TIMED_OUT


def _own_end(job: JobRow, token: int) -> bool:
    """Whether the holder of `token` ended the job itself: then the token has not risen."""
    return job.lease_token == token and job.worker_id is None and job.is_terminal


def check_holder(job: JobRow, token: int, trigger: Trigger) -> None:
    """Raise LeaseLost for a stale token, TransitionNotAllowed when the holder has ended the job in another way."""
    if _own_end(job, token):
        raise TransitionNotAllowed(job.id, job.state, trigger.value, ())
    check_lease(job, token)


def _charged(job: JobRow, failure: Failure, chance: float, now: int, by: Actor, *, lost: bool) -> JobRow:
    """Charge the run to the job: retry after a delay, or fail when the attempts are spent."""
    lasted = now - job.claimed_us if job.claimed_us is not None else 0
    # Nobody knows how long a lost run really worked; a job that kills its worker must not count as healthy.
    failures = 1 if not lost and job.retry.ran_healthily(lasted) else job.failures + 1
    if failures >= job.max_attempts:
        return _failed(job, failure, now, by, fenced=lost, failures=failures)
    delay = round(job.retry.delay(failures, chance) * 1_000_000)
    return move(
        job,
        Trigger.RECOVER,
        now,
        by,
        detail={"failure": failure.summary, "failures": failures, "retry_in": delay / 1_000_000},
        failures=failures,
        failure_json=failure.to_json(),
        available_us=now + delay,
    )


def _failed(job: JobRow, failure: Failure, now: int, by: Actor, *, fenced: bool, failures: int | None = None) -> JobRow:
    return move(
        job,
        Trigger.FAIL,
        now,
        by,
        detail={"failure": failure.summary},
        fenced=fenced,
        failures=job.failures if failures is None else failures,
        failure_json=failure.to_json(),
    )


@dataclass(frozen=True, slots=True)
class Renewal:
    """The answer of a heartbeat for one lease.

    `held` is False when the lease is lost; then the rest is empty. Times are microseconds since 1970 UTC.
    """

    job_id: int
    token: int
    held: bool
    state: State | None = None
    stop_mode: StopMode | None = None
    stop_deadline_us: int | None = None
    stop_reason: str | None = None
    rescale_to: int | None = None


@dataclass(frozen=True, slots=True)
class ClockWatch:
    """Detects that the clock of this process jumped forward (suspend, NTP), and grants one lease of grace.

    Until `grace_until` (monotonic seconds) no lease is settled as lost: the holders slept too and will heartbeat.
    """

    wall_us: int
    monotonic: float
    grace_until: float = float("-inf")

    def observed(self, wall_us: int, monotonic: float, tolerated: float, grace: float) -> ClockWatch:
        """The watch after reading both clocks again.

        Args:
            tolerated: Seconds by which the wall clock may run ahead of the monotonic one without notice.
            grace: Seconds of grace after a jump.
        """
        ahead = (wall_us - self.wall_us) / 1_000_000 - (monotonic - self.monotonic)
        until = monotonic + grace if ahead > tolerated else self.grace_until
        return ClockWatch(wall_us, monotonic, until)

    @property
    def in_grace(self) -> bool:
        """Whether expired leases are left alone, as of the last reading."""
        return self.monotonic < self.grace_until
