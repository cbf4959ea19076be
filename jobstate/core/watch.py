"""Waiting for a job, and watching what happens: both look at the change counter of the store, not at the jobs.

What is looked at is one thing, how the time between two looks passes another: here it is slept, in `jobstate.aio` it is
awaited. So each of them is a series of steps, which are looks at the store, with a `Rest` wherever nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from jobstate.core.context import Context, PollInterval
from jobstate.domain import leases
from jobstate.domain.errors import JobNotFound, WaitTimeout
from jobstate.domain.event import Actor, Event
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogEntry, LogFilter
from jobstate.ports.queries import LogRange

_WATCH_BATCH: Final = 500
_SETTLE_BATCH: Final = 1000

T = TypeVar("T")


class Idle(NamedTuple):
    """Nothing more is to be found until the store changes, this job is overdue, or the time has come to give up."""

    job: JobRow | None
    give_up: float | None
    """By the monotonic clock of the store; None: never."""


def follow(context: Context, steps: Iterator[Sequence[T] | Idle]) -> Iterator[T]:
    """All that the steps find, one after the other."""
    while True:
        seen = context.repository.version()  # before the look, so that no change falls in between
        found = next(steps, None)
        if found is None:
            return
        if isinstance(found, Idle):
            _rest(context, found, seen)
        else:
            yield from found


def is_due(rest: Idle, clock_now: int, monotonic: float) -> bool:
    """Whether to look again, though the store did not change."""
    if rest.give_up is not None and monotonic >= rest.give_up:
        return True
    return rest.job is not None and leases.is_overdue(rest.job, clock_now)


def waiting(
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
        if _settled(context, job, by):
            continue
        waited = clock.monotonic() - began
        if job.is_terminal or (timeout is not None and waited >= timeout):
            raise WaitTimeout(job_id, job.state, waited)
        yield Idle(job, None if timeout is None else began + timeout)


def watching(
    context: Context, after: int, job_id: int | None, timeout: float | None
) -> Iterator[Sequence[Event] | Idle]:
    """Every history entry after that one, then each new one; see `JobStore.watch`."""
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


def following_logs(
    context: Context, job_id: int, wanted: LogFilter, after: int, by: Actor
) -> Iterator[Sequence[LogEntry] | Idle]:
    """Every entry of a job after that one, then each new one, until it has ended; see `JobStore.follow_logs`."""
    repository = context.repository
    while True:
        job = repository.jobs.find(job_id)
        entries, after = _looked_through(context, job_id, wanted, after)
        if entries:
            yield entries
            continue
        if job is None or job.is_terminal:
            return
        if not _settled(context, job, by):
            yield Idle(job, None)


def _settled(context: Context, job: JobRow, by: Actor) -> bool:
    """Whether the job was overdue, and something was settled."""
    now = context.clock.now()
    return leases.is_overdue(job, now) and bool(
        context.repository.leases.settle(now, context.settling(by.name, limit=_SETTLE_BATCH))
    )


def _rest(context: Context, rest: Idle, seen: int) -> None:
    clock, pauses = context.clock, PollInterval()
    while rest.give_up is None or clock.monotonic() < rest.give_up:
        clock.sleep(pauses.next())
        if context.repository.version() != seen or is_due(rest, clock.now(), clock.monotonic()):
            return


def _looked_through(context: Context, job_id: int, wanted: LogFilter, after: int) -> tuple[list[LogEntry], int]:
    """What is wanted of the entries after that one, and the number of the last one that was looked at."""
    telemetry = context.repository.telemetry
    newest = telemetry.newest_log(job_id)  # before the look, so that nothing that comes in between is passed over
    if newest <= after:
        return [], after
    entries = telemetry.logs(job_id, wanted, LogRange(_WATCH_BATCH, after=after))
    looked_at = [entry.number for entry in entries[-1:]]
    if len(entries) < _WATCH_BATCH:
        looked_at.append(newest)
    return entries, max(looked_at)
