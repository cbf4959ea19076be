"""How a store performs each request of `jobstate.operations`: on its repository, at the time of its clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from jobstate.core import watch
from jobstate.core.context import Context
from jobstate.core.watch import Idle, run_steps
from jobstate.domain import leases, rescale_requests, stop_requests, validation
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import CheckpointNotFound, EventNotFound, JobNotFound
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.logs import LogEntry
from jobstate.domain.metrics import JobMetrics, job_metrics
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop_requests import StopResult
from jobstate.operations import requests
from jobstate.operations.requests import Performers
from jobstate.ports.queries import LogPage, OutputPage, Page, Slice
from jobstate.ports.repository import WorkerInfo
from jobstate.store.prune import prune

PERFORMERS: Final[Performers[Context]] = Performers()
performs: Final = PERFORMERS.performs


# Commands.


@performs(requests.SubmitCommand)
def _submit(context: Context, command: requests.SubmitCommand) -> Job:
    return Job(context.repository.jobs.submit([command.job], context.clock.now(), command.by)[0])


@performs(requests.ScheduleCommand)
def _schedule(context: Context, command: requests.ScheduleCommand) -> Job:
    decide = partial(leases.schedule, now=context.clock.now(), by=command.by)
    return Job(context.repository.jobs.change(command.job_id, decide).job)


@performs(requests.StopCommand)
def _stop(context: Context, command: requests.StopCommand) -> StopResult:
    now = context.clock.now()
    deadline = now + (context.stop_timeout_us if command.timeout_us is None else command.timeout_us)
    decision = context.repository.jobs.change(
        command.job_id,
        lambda job: stop_requests.stop(job, command.mode, deadline, context.chance(), now, command.by),
    )
    finish = validation.instant_or_none(stop_requests.expected_finish_us(decision.job))
    return StopResult(bool(decision.steps), Job(decision.job), finish)


@performs(requests.RescaleCommand)
def _rescale(context: Context, command: requests.RescaleCommand) -> Job:
    now = context.clock.now()
    decision = context.repository.jobs.change(
        command.job_id,
        lambda job: rescale_requests.rescale(job, command.parallelism, context.chance(), now, command.by),
    )
    return Job(decision.job)


@performs(requests.FailCommand)
def _fail(context: Context, command: requests.FailCommand) -> Job:
    now = context.clock.now()
    decision = context.repository.jobs.change(
        command.job_id, lambda job: leases.fail_by_operator(job, command.message, now, command.by)
    )
    return Job(decision.job)


@performs(requests.RestartCommand)
def _restart(context: Context, command: requests.RestartCommand) -> Job:
    expiry = context.expiry_policy(command.by.name, limit=1)
    jobs = context.repository.jobs
    return Job(jobs.restart(command.job_id, command.restart, context.clock.now(), expiry, command.by))


@performs(requests.DeleteCommand)
def _delete(context: Context, command: requests.DeleteCommand) -> bool:
    return context.repository.jobs.delete(command.job_id, context.clock.now(), command.by)


PERFORMERS.performs(requests.PruneCommand)(prune)


# Jobs, history, workers.


@performs(requests.JobQuery)
def _job(context: Context, query: requests.JobQuery) -> Job:
    row = context.repository.jobs.find(query.job_id)
    if row is None:
        raise JobNotFound(query.job_id)
    return Job(row)


@performs(requests.ListQuery)
def _list(context: Context, query: requests.ListQuery) -> Page:
    rows = context.repository.jobs.page(query.wanted, query.limit + 1, query.after)
    jobs = [Job(row) for row in rows[: query.limit]]
    return Page(jobs, jobs[-1].id if len(rows) > query.limit else None)


@performs(requests.EventsQuery)
def _events(context: Context, query: requests.EventsQuery) -> Sequence[Event]:
    events = context.repository.history.events(query.job_id)
    if not events:
        raise JobNotFound(query.job_id)
    return events


@performs(requests.EventQuery)
def _event(context: Context, query: requests.EventQuery) -> Event:
    for event in _events(context, requests.EventsQuery(query.job_id)):
        if event.id == query.event_id:
            return event
    raise EventNotFound(query.job_id, query.event_id)


@performs(requests.WorkersQuery)
def _workers(context: Context, _: requests.WorkersQuery) -> Sequence[WorkerInfo]:
    return context.repository.workers.listed()


# Reports. What is empty may also belong to a job that does not exist: `_require` raises JobNotFound then.


def _require(context: Context, job_id: int) -> None:
    _job(context, requests.JobQuery(job_id))


@performs(requests.ProgressQuery)
def _progress(context: Context, query: requests.ProgressQuery) -> dict[str, TableProgress]:
    progress = context.repository.reports.progress(query.job_id)
    if not progress:
        _require(context, query.job_id)
    return progress


@performs(requests.CheckpointsQuery)
def _checkpoints(context: Context, query: requests.CheckpointsQuery) -> Slice[Checkpoint]:
    rows = context.repository.reports.checkpoints(query.job_id, query.limit + 1, query.offset, query.completed)
    if not rows:
        _require(context, query.job_id)
    return Slice(rows[: query.limit], len(rows) > query.limit)


@performs(requests.CheckpointQuery)
def _checkpoint(context: Context, query: requests.CheckpointQuery) -> Checkpoint:
    checkpoint = context.repository.reports.find_checkpoint(query.job_id, query.number)
    if checkpoint is None:
        _require(context, query.job_id)
        raise CheckpointNotFound(query.job_id, f"chk_{query.number}")
    return checkpoint


@performs(requests.MetricsQuery)
def _metrics(context: Context, query: requests.MetricsQuery) -> JobMetrics:
    job = _job(context, requests.JobQuery(query.job_id))
    reported = context.repository.telemetry.metrics(query.job_id)
    return job_metrics(reported, context.clock.now() if job.worker_id is not None else None)


@performs(requests.LogsQuery)
def _logs(context: Context, query: requests.LogsQuery) -> LogPage:
    telemetry, limit = context.repository.telemetry, query.place.limit
    # The extent first: a caller that next asks for entries after `total` then misses none that came in between.
    extent = telemetry.log_extent(query.job_id)
    entries = telemetry.logs(query.job_id, query.wanted, query.place._replace(limit=limit + 1))
    if not extent.total:
        _require(context, query.job_id)
    return LogPage(entries[:limit], len(entries) > limit, *extent)


@performs(requests.OutputQuery)
def _output(context: Context, query: requests.OutputQuery) -> OutputPage:
    telemetry = context.repository.telemetry
    rows = telemetry.output(query.job_id, query.operator_id, query.limit + 1, query.offset)
    extent = telemetry.output_extent(query.job_id, query.operator_id)
    if not extent.total:
        _require(context, query.job_id)
    return OutputPage(rows[: query.limit], len(rows) > query.limit, *extent)


# Waiting. The steps are public: `jobstate.aio` awaits the time between them.


def wait_steps(context: Context, query: requests.WaitQuery) -> Iterator[Sequence[Job] | Idle]:
    """The steps of `JobStore.wait`."""
    return watch.wait_steps(context, query.job_id, query.states, query.timeout, query.by)


def watch_steps(context: Context, query: requests.WatchQuery) -> Iterator[Sequence[Event] | Idle]:
    """The steps of `JobStore.watch`."""
    after = context.repository.history.newest() if query.after is None else query.after
    return watch.watch_steps(context, after, query.job_id, query.timeout)


def log_steps(context: Context, query: requests.FollowLogsQuery) -> Iterator[Sequence[LogEntry] | Idle]:
    """The steps of `JobStore.follow_logs`. Raises JobNotFound."""
    _require(context, query.job_id)
    return watch.log_steps(context, query.job_id, query.wanted, query.after, query.by)


@performs(requests.WaitQuery)
def _wait(context: Context, query: requests.WaitQuery) -> Job:
    return next(run_steps(context, wait_steps(context, query)))


@performs(requests.WatchQuery)
def _watch(context: Context, query: requests.WatchQuery) -> Iterator[Event]:
    return run_steps(context, watch_steps(context, query))


@performs(requests.FollowLogsQuery)
def _follow_logs(context: Context, query: requests.FollowLogsQuery) -> Iterator[LogEntry]:
    return run_steps(context, log_steps(context, query))
