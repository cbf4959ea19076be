"""Jobs as tables, details and lines; also their progress and their events."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from jobstate.cli.view.text import (
    Cell,
    Column,
    field_lines,
    first_line,
    hanging,
    plural,
    printable,
    readable_json,
    styled,
    table,
    terminal_width,
)
from jobstate.cli.view.units import ago, duration, size, timestamp
from jobstate.domain.event import Event
from jobstate.domain.job import Job, row_of
from jobstate.domain.lifecycle import LEASED, STOP_PENDING, TERMINAL, State
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop import StopMode
from jobstate.wire.job_fields import labelled

_BROKEN: Final = (State.FAILED, State.RECOVERING)
"""The states of a job that are shown with its newest failure."""
_SHARES: Final = {"KIND": 2, "NODE": 2, "FAILURE": 3, "DESCRIPTOR": 3, "DETAIL": 3}
"""Shares of the free width of a list; the other columns are never truncated."""
_WIDE: Final = 120
"""The width from which a list has columns for both failures and descriptors."""
_NAMES: Final = len("last change")
"""The width of the longest field name in the details of a job; every job has it."""


def style_of(state: State) -> str:
    """The colour of a state, by its meaning."""
    if state is State.FAILED:
        return "red"
    if state in TERMINAL:
        return "green" if state is State.COMPLETED else "dim"
    if state in STOP_PENDING:
        return "yellow"
    return "cyan" if state in LEASED else ""


def job_table(jobs: Sequence[Job], present: datetime, width: int) -> Iterator[str]:
    """A page of jobs. Failures have a column; on a narrow terminal a failure takes the place of the descriptor."""
    failures = {
        job.id: Cell(first_line(job.failure.message), "red")
        for job in jobs
        if job.failure is not None and job.state in _BROKEN
    }
    titles = ["ID", "STATE", "KIND", "NODE", "CHANGED", "DESCRIPTOR"]
    if failures:
        titles[5:] = ["FAILURE", "DESCRIPTOR"] if width >= _WIDE else ["DETAIL"]
    rows = []
    for job in jobs:
        row = [Cell(str(job.id)), Cell(job.state.value, style_of(job.state)), Cell(job.kind)]
        row += [Cell(job.worker_id or job.node_id), Cell(ago(job.updated_at, present, units=1))]
        failure, descriptor = failures.get(job.id), Cell(row_of(job).descriptor_json)
        row += [failure or Cell(""), descriptor] if "FAILURE" in titles else [failure or descriptor]
        rows.append(row)
    return table([Column(title, _SHARES.get(title, 0)) for title in titles], rows, width)


def job_details(job: Job, present: datetime, width: int) -> Iterator[str]:
    """A line for each field of a job; fields without a value are left out."""
    at = functools.partial(timestamp, present=present)
    stop, failure = job.stop, job.failure
    fields: list[tuple[str, str, str]] = [
        ("id", str(job.id), ""),
        ("state", job.state.value, style_of(job.state)),
        ("kind", job.kind, ""),
        ("worker", job.worker_id or "", ""),
        ("pinned to", job.node_id, ""),
        *((label, value, "") for label, value in labelled(job)),
        ("pipeline", "" if job.pipeline_id is None else f"{job.pipeline_id}, run {job.run_id}", ""),
        ("labels", ", ".join(f"{name}={value}" for name, value in job.labels.items()), ""),
        ("attempt", f"{job.attempt}, charged {job.failures} of {job.max_attempts}", ""),
        ("priority", str(job.priority) if job.priority else "", ""),
        ("parallelism", str(job.parallelism) if job.parallelism > 1 else "", ""),
        ("created", at(job.created_at), ""),
        ("available", at(job.available_at) if job.worker_id is None and not job.is_terminal else "", ""),
        ("started", at(job.started_at), ""),
        ("lease until", at(job.lease_expires_at), ""),
        ("finished", at(job.finished_at), ""),
        ("last change", f"{job.trigger} by {job.actor}", ""),
        ("reason", job.reason or "", ""),
        ("stop", "" if stop is None else stop.mode.value, ""),
        ("stop reason", "" if stop is None or stop.reason == job.reason else stop.reason or "", ""),
        ("stop until", "" if stop is None or job.is_terminal else at(stop.deadline), ""),
        ("stop ended", "" if stop is None or stop.outcome is None else stop.outcome.value, ""),
        ("failure", "" if failure is None else failure.message, "red" if job.state in _BROKEN else ""),
        ("descriptor", readable_json(row_of(job).descriptor_json, width - _NAMES - 2), ""),
    ]
    yield from field_lines(fields, width, _NAMES)


def progress_lines(job: Job, tables: Mapping[str, TableProgress], width: int) -> Iterator[str]:
    """The state of a job, its progress for each table, and its failure."""
    yield state_line(job) + (
        "" if tables else ("; it reported no progress" if job.is_terminal else "; no progress reported yet")
    )
    if tables:
        head = [Column("TABLE", 1), Column("BLOCKS", 2), Column("FILES", right=True), Column("SIZE", right=True)]
        rows = [
            [
                Cell(name),
                Cell(blocks(progress)),
                Cell(f"{progress.files_count:,}"),
                Cell(size(progress.total_size_bytes)),
            ]
            for name, progress in tables.items()
        ]
        yield from table(head, rows, width)
    if job.failure is not None and job.state in _BROKEN:
        yield hanging("failure: ", first_line(job.failure.message), width)


def progress_line(job: Job, tables: Mapping[str, TableProgress]) -> str:
    """The state, progress and failure of a job in one line."""
    parts = [
        f"{name} {blocks(progress)} in {plural(progress.files_count, 'file')}" for name, progress in tables.items()
    ]
    if job.failure is not None and job.state in _BROKEN:
        parts.append(f"failure: {printable(first_line(job.failure.message))}")
    return "  ".join([job.state.value, ", ".join(parts)]).rstrip()


def state_line(job: Job) -> str:
    """The state of a job, and the worker that holds it."""
    return f"job {job.id} is {styled(job.state.value, style_of(job.state))}" + (
        f" on {job.worker_id}" if job.worker_id else ""
    )


def outcome(job: Job) -> str:
    """A line with the final state of a job, and its failure or the outcome of its stop."""
    if job.failure is not None and job.state in _BROKEN:
        text = f"{job.state}: {first_line(job.failure.message)}"
    else:
        text = f"{job.state} ({job.stop.outcome.value})" if job.stop and job.stop.outcome else job.state.value
    return hanging(f"job {job.id}: ", text, terminal_width())


def blocks(progress: TableProgress) -> str:
    """The contiguous range of blocks, and whether there is more after a gap."""
    if progress.start_block is None or progress.current_block is None:
        return ""
    return f"{progress.start_block:,} to {progress.current_block:,}" + (
        " (more after a gap)" if len(progress.ranges) > 1 else ""
    )


def event_line(event: Event, *, of_one_job: bool = False) -> str:
    """One event in one line; on a narrow terminal the rest is wrapped and indented."""
    head = f"{event.at:%Y-%m-%d %H:%M:%S}Z  " + ("" if of_one_job else f"job {event.job_id}  ")
    change = f"{event.to_state}" if event.is_note else f"{event.from_state or 'new'} → {event.to_state}"
    actor = f"{event.trigger} by {event.actor}"
    if event.node and not event.actor.endswith(f":{event.node}"):
        actor += f" on {event.node}"
    line = hanging(
        head,
        f"{change}  ({actor}{''.join(f'{separator}{cause}' for separator, cause in _causes(event))})",
        terminal_width(),
    )
    state = event.to_state.value
    return line.replace(f"→ {state}", f"→ {styled(state, style_of(event.to_state))}", 1)


def _causes(event: Event) -> Iterator[tuple[str, str]]:
    """The causes of an event, each with the separator before it."""
    detail, separator = event.detail, ": "
    mode = detail.get("mode") if detail.get("mode") != StopMode.CHECKPOINT.value else None  # the usual mode
    failure = first_line(detail["failure"]) if "failure" in detail else None
    retry = f"retry in {duration(detail['retry_in'])}" if "retry_in" in detail else None
    for cause in (event.reason, mode, detail.get("outcome"), failure, retry):
        if cause:
            yield separator, cause
            separator = "; "
