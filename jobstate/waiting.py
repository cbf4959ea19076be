"""Waiting for a job, and watching what happens: both look at the change counter of the store, not at the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobstate.context import Context, Pauses
from jobstate.domain import leases
from jobstate.domain.errors import JobNotFound, WaitTimeout
from jobstate.domain.job import By, Event, Job
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogEntry, LogFilter
from jobstate.repository import Place

_WATCH_BATCH: Final = 500
_SETTLE_BATCH: Final = 1000


def wait(context: Context, job_id: int, wanted: frozenset[State], timeout: float | None, by: By) -> Job:
    """The job, once it is in one of the wanted states; see `JobStore.wait`."""
    clock, repository = context.clock, context.repository
    began = clock.monotonic()
    while True:
        seen = repository.version()
        job = repository.jobs.find(job_id)
        if job is None:
            raise JobNotFound(job_id)
        if job.state in wanted:
            return job
        if leases.is_overdue(job, clock.now()) and repository.leases.settle(
            clock.now(), context.settling(by.actor, limit=_SETTLE_BATCH)
        ):
            continue
        waited = clock.monotonic() - began
        if job.is_terminal or (timeout is not None and waited >= timeout):
            raise WaitTimeout(job_id, job.state, waited)
        pauses = Pauses()
        clock.sleep(pauses.next())
        while repository.version() == seen and not leases.is_overdue(job, clock.now()):
            if timeout is not None and clock.monotonic() - began >= timeout:
                break
            clock.sleep(pauses.next())


def watch(context: Context, after: int, job_id: int | None, timeout: float | None) -> Iterator[Event]:
    """Every history entry after that one, then each new one; see `JobStore.watch`."""
    clock, repository = context.clock, context.repository
    while True:
        seen = repository.version()
        events = repository.history.after(after, _WATCH_BATCH, job_id)
        for event in events:
            after = event.id
            yield event
        if events:
            continue
        began, pauses = clock.monotonic(), Pauses()
        while repository.version() == seen:
            if timeout is not None and clock.monotonic() - began >= timeout:
                return
            clock.sleep(pauses.next())


def follow_logs(context: Context, job_id: int, wanted: LogFilter, after: int, by: By) -> Iterator[LogEntry]:
    """Every entry of a job after that one, then each new one, until it has ended; see `JobStore.follow_logs`."""
    clock, repository = context.clock, context.repository
    while True:
        seen = repository.version()
        job = repository.jobs.find(job_id)
        entries = repository.telemetry.logs(job_id, wanted, Place(_WATCH_BATCH, after=after))
        for entry in entries:
            after = entry.number
            yield entry
        if entries:
            continue
        if job is None or job.is_terminal:
            return
        if leases.is_overdue(job, clock.now()) and repository.leases.settle(
            clock.now(), context.settling(by.actor, limit=_SETTLE_BATCH)
        ):
            continue
        pauses = Pauses()
        clock.sleep(pauses.next())
        while repository.version() == seen and not leases.is_overdue(job, clock.now()):
            clock.sleep(pauses.next())
