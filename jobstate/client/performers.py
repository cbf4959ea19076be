"""How a client performs each request of `jobstate.operations`: as an HTTP request, its answer read as a value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from jobstate.client import urls
from jobstate.client.long_poll import wait
from jobstate.client.urls import RECORD, job_path, run_path
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.event import Actor, Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL
from jobstate.domain.logs import LogEntry
from jobstate.domain.metrics import JobMetrics
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop_requests import StopResult
from jobstate.operations import requests
from jobstate.operations.requests import Performers
from jobstate.ports.queries import LogPage, OutputPage, Page, Slice
from jobstate.ports.repository import WorkerInfo
from jobstate.wire import records

if TYPE_CHECKING:
    from jobstate.client.connection import Connection

_PRUNE_TAKES: Final = 3600.0
"""Seconds that a server may take to remove millions of jobs."""

Value = TypeVar("Value")

PERFORMERS: Final[Performers[Connection]] = Performers()
performs: Final = PERFORMERS.performs


def _read(
    connection: Connection, path: str, make: Callable[[Any], Value], query: Mapping[str, object] | None = None
) -> Value:
    return connection.read(connection.ask("GET", path, query, safe=True), make)


def _change(connection: Connection, method: str, path: str, by: Actor, body: Mapping[str, Any] | None = None) -> Job:
    return connection.read(connection.ask(method, path, RECORD, by=by, body=body), records.job_of)


# Commands.


@performs(requests.SubmitCommand)
def _submit(connection: Connection, command: requests.SubmitCommand) -> Job:
    job = command.job
    body = records.submission_record(job)
    answer = connection.ask("POST", "/jobs", RECORD, by=command.by, body=body, safe=job.key is not None)
    return connection.read(answer, records.job_of)


@performs(requests.ScheduleCommand)
def _schedule(connection: Connection, command: requests.ScheduleCommand) -> Job:
    return _change(connection, "PUT", f"{job_path(command.job_id)}/schedule", command.by)


@performs(requests.StopCommand)
def _stop(connection: Connection, command: requests.StopCommand) -> StopResult:
    seconds = None if command.timeout_us is None else command.timeout_us / 1_000_000
    query = {**RECORD, "mode": command.mode.value, "timeout_seconds": seconds}
    answer = connection.ask("PUT", f"{job_path(command.job_id)}/stop", query, by=command.by, safe=True)
    return connection.read(answer, records.stop_of)


@performs(requests.RescaleCommand)
def _rescale(connection: Connection, command: requests.RescaleCommand) -> Job:
    body = {"parallelism": command.parallelism}
    return _change(connection, "POST", f"{run_path(command.job_id)}/rescale", command.by, body)


@performs(requests.FailCommand)
def _fail(connection: Connection, command: requests.FailCommand) -> Job:
    return _change(connection, "PUT", f"{job_path(command.job_id)}/fail", command.by)  # its reason is the message


@performs(requests.RestartCommand)
def _restart(connection: Connection, command: requests.RestartCommand) -> Job:
    body = {"checkpoint_id": command.restart.checkpoint, "parallelism": command.restart.parallelism}
    return _change(connection, "POST", f"{run_path(command.job_id)}/restart", command.by, body)


@performs(requests.DeleteCommand)
def _delete(connection: Connection, command: requests.DeleteCommand) -> bool:
    answer = connection.ask("DELETE", job_path(command.job_id), by=command.by, safe=True)
    return connection.number(answer, "X-Deleted-Count") > 0


@performs(requests.PruneCommand)
def _prune(connection: Connection, command: requests.PruneCommand) -> int:
    age = command.older_than_us
    query = {
        "status": "terminal" if command.states == TERMINAL else next(iter(command.states)).value,
        "older_than": None if age is None else f"{age / 1_000_000:.6f}s",
        "dry_run": "true" if command.dry_run else "false",
    }
    # A repeated prune would count only the jobs that the first one left.
    answer = connection.ask("DELETE", "/jobs", query, by=command.by, safe=command.dry_run, lasting=_PRUNE_TAKES)
    removed = connection.number(answer, "X-Deleted-Count")
    if command.progress is not None and removed and not command.dry_run:
        command.progress(removed, removed)
    return removed


# Jobs, history, workers.


@performs(requests.JobQuery)
def _job(connection: Connection, query: requests.JobQuery) -> Job:
    return _read(connection, job_path(query.job_id), records.job_of, RECORD)


@performs(requests.ListQuery)
def _list(connection: Connection, query: requests.ListQuery) -> Page:
    """A page, of as many pages of the server as it takes where the words for the states select too much."""
    wanted, after, exact = query.wanted, query.after, urls.state_words(query.wanted.states).exact
    parameters = {**RECORD, **urls.job_filter(wanted), "limit": query.limit}
    jobs: list[Job] = []
    while True:
        page = _read(connection, "/jobs", _page_of, {**parameters, "last_job_id": after})
        if exact:
            return page
        jobs += [job for job in page.jobs if job.state in wanted.states]
        after = page.next_cursor
        if len(jobs) > query.limit:
            return Page(jobs[: query.limit], jobs[query.limit - 1].id)
        if after is None:
            return Page(jobs, None)


def _page_of(document: Any) -> Page:
    return Page([records.job_of(record) for record in document["jobs"]], document["next_cursor"])


@performs(requests.EventsQuery)
def _events(connection: Connection, query: requests.EventsQuery) -> Sequence[Event]:
    return _read(
        connection,
        f"{job_path(query.job_id)}/events",
        lambda document: [records.event_of(event) for event in document["events"]],
    )


@performs(requests.EventQuery)
def _event(connection: Connection, query: requests.EventQuery) -> Event:
    return _read(connection, f"{job_path(query.job_id)}/events/{query.event_id}", records.event_of)


@performs(requests.WorkersQuery)
def _workers(connection: Connection, _: requests.WorkersQuery) -> Sequence[WorkerInfo]:
    return _read(connection, "/workers", lambda document: [records.worker_of(worker) for worker in document["workers"]])


# Reports.


@performs(requests.ProgressQuery)
def _progress(connection: Connection, query: requests.ProgressQuery) -> dict[str, TableProgress]:
    return _read(connection, f"{job_path(query.job_id)}/progress", records.progress_of, RECORD)


@performs(requests.CheckpointsQuery)
def _checkpoints(connection: Connection, query: requests.CheckpointsQuery) -> Slice[Checkpoint]:
    completed = None if query.completed is None else str(query.completed).lower()
    parameters = {**RECORD, "limit": query.limit, "offset": query.offset, "completed": completed}
    return _read(connection, f"{run_path(query.job_id)}/checkpoints", records.checkpoints_of, parameters)


@performs(requests.CheckpointQuery)
def _checkpoint(connection: Connection, query: requests.CheckpointQuery) -> Checkpoint:
    path = f"{run_path(query.job_id)}/checkpoints/{query.number}"
    return _read(connection, path, records.checkpoint_of, RECORD)


@performs(requests.MetricsQuery)
def _metrics(connection: Connection, query: requests.MetricsQuery) -> JobMetrics:
    return _read(connection, f"{run_path(query.job_id)}/metrics", records.metrics_of, RECORD)


@performs(requests.LogsQuery)
def _logs(connection: Connection, query: requests.LogsQuery) -> LogPage:
    parameters = {**urls.log_filter(query.wanted), **query.place._asdict()}
    return _read(connection, f"{run_path(query.job_id)}/logs", records.logs_of, parameters)


@performs(requests.OutputQuery)
def _output(connection: Connection, query: requests.OutputQuery) -> OutputPage:
    parameters = {**RECORD, "operator_id": query.operator_id, "limit": query.limit, "offset": query.offset}
    return _read(connection, f"{run_path(query.job_id)}/output", records.output_of, parameters)


# Waiting. The streams need urllib3, which `jobstate.connect` asks for, when they are first used.


@performs(requests.WaitQuery)
def _wait(connection: Connection, query: requests.WaitQuery) -> Job:
    return wait(connection, query.job_id, query.states, query.timeout)


@performs(requests.WatchQuery)
def _watch(connection: Connection, query: requests.WatchQuery) -> Iterator[Event]:
    from jobstate.client.event_stream import watch

    return watch(connection, query.after, query.job_id, query.timeout)


@performs(requests.FollowLogsQuery)
def _follow_logs(connection: Connection, query: requests.FollowLogsQuery) -> Iterator[LogEntry]:
    from jobstate.client.log_stream import follow_logs

    _job(connection, requests.JobQuery(query.job_id))  # raises JobNotFound at once
    return follow_logs(connection, query.job_id, urls.log_filter(query.wanted), query.after)
