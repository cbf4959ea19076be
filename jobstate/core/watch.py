"""The steps of `wait`, `watch` and `follow_logs`: each reads the store, or yields `Idle` when there is nothing new.

A step does not wait. `run_steps` sleeps between the steps, `jobstate.aio` awaits; both poll the change counter of the
store, not the jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from jobstate.core.context import Context
from jobstate.domain import leases
from jobstate.domain.errors import JobNotFound, WaitTimeout
from jobstate.domain.event import Actor, Event
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogEntry, LogFilter
from jobstate.ports.queries import LogRange

SHORTEST_PAUSE: Final = 0.004
LONGEST_PAUSE: Final = 0.04
_GROWTH: Final = 1.1
_WATCH_BATCH: Final = 500
_SETTLE_BATCH: Final = 1000

T = TypeVar("T")


class PollInterval:
    """Seconds between two polls of the change counter of a store.

    Short after a change, so that the next one is noticed within milliseconds; then longer, so that an idle process
    stays under 1 % of a core.
    """

    def __init__(self) -> None:
        self._next = SHORTEST_PAUSE

    def next(self) -> float:
        """How long to pause now."""
        pause = self._next
        self._next = min(LONGEST_PAUSE, pause * _GROWTH)
        return pause

    def reset(self) -> None:
        """Poll often again, after a change."""
        self._next = SHORTEST_PAUSE


class Idle(NamedTuple):
    """Nothing new until the store changes, this job is overdue, or the timeout is reached."""

    job: JobRow | None
    give_up: float | None
    """When the timeout is reached, by the monotonic clock of the store; None: never."""


def run_steps(context: Context, steps: Iterator[Sequence[T] | Idle]) -> Iterator[T]:
    """Everything that the steps find, one by one; sleeps while they are idle."""
    while True:
        version = context.repository.version()  # read before the step, so that no change falls in between
        found = next(steps, None)
        if found is None:
            return
        if isinstance(found, Idle):
            _sleep_while(context, found, version)
        else:
            yield from found


def is_due(idle: Idle, now: int, monotonic: float) -> bool:
    """Whether the next step is due although the store did not change."""
    if idle.give_up is not None and monotonic >= idle.give_up:
        return True
    return idle.job is not None and leases.is_overdue(idle.job, now)


def wait_steps(
    context: Context, job_id: int, wanted: frozenset[State], timeout: float | None, by: Actor
) -> Iterator[Sequence[Job] | Idle]:
    """The job, once it is in one of the wanted states; see `JobStore.wait`."""
    clock, repository = context.clock, context.repository
    began = clock.monotonic()
    while True:
        job = repository.jobs.find(job_id)
        if job is None:
            raise JobNotFound(job_id)
        if job.state in wanted:
            yield (Job(job),)
            return
        if _settle_overdue(context, job, by):
            continue
        waited = clock.monotonic() - began
        if job.is_terminal or (timeout is not None and waited >= timeout):
            raise WaitTimeout(job_id, job.state, waited)
        yield Idle(job, None if timeout is None else began + timeout)


def watch_steps(
    context: Context, after: int, job_id: int | None, timeout: float | None
) -> Iterator[Sequence[Event] | Idle]:
    """Every history entry with an id above `after`, then each new one; see `JobStore.watch`."""
    clock, history = context.clock, context.repository.history
    quiet_since: float | None = None
    while True:
        events = history.after(after, _WATCH_BATCH, job_id)
        if events:
            after, quiet_since = events[-1].id, None
            yield events
            continue
        if quiet_since is None:
            quiet_since = clock.monotonic()
        give_up = None if timeout is None else quiet_since + timeout
        if give_up is not None and clock.monotonic() >= give_up:
            return
        yield Idle(None, give_up)


def log_steps(
    context: Context, job_id: int, wanted: LogFilter, after: int, by: Actor
) -> Iterator[Sequence[LogEntry] | Idle]:
    """Every log entry numbered above `after`, then each new one until the job has ended; see `JobStore.follow_logs`."""
    repository = context.repository
    while True:
        job = repository.jobs.find(job_id)
        entries, after = _next_entries(context, job_id, wanted, after)
        if entries:
            yield entries
            continue
        if job is None or job.is_terminal:
            return
        if not _settle_overdue(context, job, by):
            yield Idle(job, None)


def _settle_overdue(context: Context, job: JobRow, by: Actor) -> bool:
    """Settle overdue jobs if this one is overdue; whether any was settled."""
    now = context.clock.now()
    return leases.is_overdue(job, now) and bool(
        context.repository.leases.settle(now, context.expiry_policy(by.name, limit=_SETTLE_BATCH))
    )


def _sleep_while(context: Context, idle: Idle, version: int) -> None:
    clock, pauses = context.clock, PollInterval()
    while idle.give_up is None or clock.monotonic() < idle.give_up:
        clock.sleep(pauses.next())
        if context.repository.version() != version or is_due(idle, clock.now(), clock.monotonic()):
            return


def _next_entries(context: Context, job_id: int, wanted: LogFilter, after: int) -> tuple[list[LogEntry], int]:
    """Wanted entries numbered above `after`, and the number up to which the log was read."""
    telemetry = context.repository.telemetry
    newest = telemetry.newest_log(job_id)  # read before the entries, so that none written in between is skipped
    if newest <= after:
        return [], after
    entries = telemetry.logs(job_id, wanted, LogRange(_WATCH_BATCH, after=after))
    numbers = [entry.number for entry in entries[-1:]]
    if len(entries) < _WATCH_BATCH:
        numbers.append(newest)
    return entries, max(numbers)
