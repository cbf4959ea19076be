"""Runs handlers in the thread of the test, one job after the other: no thread, no sleep, no heartbeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jobstate.core.arguments import Duration
from jobstate.core.context import DEFAULT_LEASE
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest, JobStateError
from jobstate.domain.job import Job, row_of
from jobstate.domain.lifecycle import CLAIMABLE, LIVE
from jobstate.store.job_store import JobStore
from jobstate.testing.staged_store import Stage, stage_of
from jobstate.worker.handlers import Handler, call_handler, check_handler
from jobstate.worker.run import Run
from jobstate.worker.session import claim_runs

WORKER: Final = "worker-01"
_TRIES: Final = 10
_PAUSE: Final = 0.1
_MOST_RUNS: Final = 10_000

Handlers = Mapping[str, Handler]


@dataclass(frozen=True, slots=True)
class RunOne:
    """`run_one` for one store, with default handlers."""

    stage: Stage
    handlers: Handlers

    def __call__(
        self, handlers: Handlers | None = None, *, node_id: str = WORKER, lease: Duration = DEFAULT_LEASE
    ) -> Job | None:
        """Run the next job; see `run_one`."""
        chosen = self.handlers if handlers is None else handlers
        if not chosen:
            raise InvalidRequest(
                "handlers", "must name at least one kind and its handler, here or in jobstate_handlers"
            )
        for kind, handler in chosen.items():
            check_handler(kind, handler)
        run = _claimed(self.stage, list(chosen), validation.text("node_id", node_id), lease)
        if run is None:
            return None
        self.stage.stepped_runs.add(run)
        try:
            self.stage.notice_changes()
            with run:
                call_handler(chosen[run.job.kind], run)
        finally:
            self.stage.stepped_runs.discard(run)
        return self.stage.direct.get(run)


@dataclass(frozen=True, slots=True)
class Drain:
    """`drain` for one store, with default handlers."""

    stage: Stage
    handlers: Handlers

    def __call__(
        self,
        handlers: Handlers | None = None,
        *,
        turn_clock: bool = False,
        node_id: str = WORKER,
        lease: Duration = DEFAULT_LEASE,
    ) -> list[Job]:
        """Run jobs until none is due; see `drain`."""
        step = RunOne(self.stage, self.handlers)
        ran: list[Job] = []
        while len(ran) < _MOST_RUNS:
            job = step(handlers, node_id=node_id, lease=lease)
            if job is not None:
                ran.append(job)
            elif not turn_clock or not _advance_to_next(self.stage, self.handlers if handlers is None else handlers):
                return ran
        raise AssertionError(f"after {_MOST_RUNS} runs jobs are still due; the last run left {ran[-1]!r}")


def run_one(
    handlers: Handlers, *, node_id: str = WORKER, lease: Duration = DEFAULT_LEASE, store: JobStore | None = None
) -> Job | None:
    """Claim the next job, call the handler for its kind, and settle the job, as a worker would.

    There is no heartbeat: a handler that advances the clock past its lease loses the job. A run notices stops at once.

    Args:
        handlers: By kind; only jobs of these kinds are claimed.
        node_id: The name of the worker.
        lease: How long the lease lasts from the claim.
        store: A staged store; default the one that was staged last.

    Returns:
        The job after the run; None when no job is due.
    """
    return RunOne(stage_of(store), handlers)(node_id=node_id, lease=lease)


def drain(
    handlers: Handlers,
    *,
    turn_clock: bool = False,
    node_id: str = WORKER,
    lease: Duration = DEFAULT_LEASE,
    store: JobStore | None = None,
) -> list[Job]:
    """`run_one` until no job of these kinds is due.

    Args:
        handlers: By kind.
        turn_clock: When no job is due, advance the clock to the next lease expiry, deadline, retry or start and
            continue, until every job of these kinds has ended or waits for another process.
        node_id: The name of the worker.
        lease: How long each lease lasts.
        store: A staged store; default the one that was staged last.

    Returns:
        The job after each run, in order; a job that ran twice appears twice.
    """
    return Drain(stage_of(store), handlers)(turn_clock=turn_clock, node_id=node_id, lease=lease)


def _claimed(stage: Stage, kinds: list[str], node_id: str, lease: Duration) -> Run | None:
    """A run of the next job; like a worker it retries a bounded number of times when the store is busy."""
    seconds = validation.duration_us("lease", lease, positive=True) / 1_000_000
    for attempt in range(1, _TRIES + 1):
        try:
            runs = claim_runs(stage.context(), node_id, kinds, seconds, 1)
        except JobStateError as error:
            if not error.retryable or attempt == _TRIES:
                raise
            stage.clock.sleep(_PAUSE)
        else:
            return runs[0] if runs else None
    return None


def _advance_to_next(stage: Stage, handlers: Handlers) -> bool:
    """Advance the clock to the next due time of these kinds; False if there is none."""
    now = stage.clock.now()
    instants = [
        instant
        for kind in handlers
        for job in stage.direct.iterate(LIVE, kind=kind)
        for instant in (
            row_of(job).available_us if job.state in CLAIMABLE else None,
            row_of(job).lease_expires_us,
            row_of(job).stop_deadline_us,
        )
        if instant is not None and instant > now
    ]
    if not instants:
        return False
    stage.manual_clock.set(validation.instant(min(instants)))
    return True
