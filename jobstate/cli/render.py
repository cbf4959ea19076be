"""How jobs look to people: aligned tables, relative times, sizes in units."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from jobstate.cli.text import Cell, Column, cells, columns, counted, folded, grid, hanging, headline, printable, styled
from jobstate.domain.event import Event
from jobstate.domain.job import Job, row_of
from jobstate.domain.lifecycle import LEASED, STOP_PENDING, TERMINAL, State
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop import StopMode
from jobstate.system import SystemClock

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_BROKEN: Final = (State.FAILED, State.RECOVERING)
"""The states in which the newest failure of a job is what matters about it."""
_SHARES: Final = {"KIND": 2, "NODE": 2, "FAILURE": 3, "DESCRIPTOR": 3, "DETAIL": 3}
"""Of the room in a list; the other columns are never cut: what one types next, and what one looks for."""
_WIDE: Final = 120
"""Columns from which on a list has room for failures and descriptors beside each other."""
_NAMES: Final = len("last change")
"""The width of the longest name of a field in the details of a job; every job has it."""


def now() -> datetime:
    """The present, for relative times."""
    return datetime.fromtimestamp(SystemClock().now() / 1_000_000, UTC)


def span(seconds: float, units: int = 2) -> str:
    """A duration in its largest units: `2h 5m`."""
    left = max(0, round(seconds))
    told: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(told) < units:
            told.append(f"{left // size}{unit}")
            left %= size
    return " ".join(told) or "0s"


def ago(at: datetime | None, present: datetime, units: int = 2) -> str:
    """How long ago, or in how long."""
    if at is None:
        return ""
    seconds = (present - at).total_seconds()
    return f"{span(seconds, units)} ago" if seconds >= 0 else f"in {span(-seconds, units)}"


def look_of(state: State) -> str:
    """The colour of a state, by what it means."""
    if state is State.FAILED:
        return "red"
    if state in TERMINAL:
        return "green" if state is State.COMPLETED else "dim"
    if state in STOP_PENDING:
        return "yellow"
    return "cyan" if state in LEASED else ""


def job_grid(jobs: Sequence[Job], present: datetime, width: int) -> Iterator[str]:
    """A page of jobs. What went wrong with some has a column, or takes the descriptor's where both find no room."""
    failures = {
        job.id: Cell(headline(job.failure.message), "red")
        for job in jobs
        if job.failure is not None and job.state in _BROKEN
    }
    titles = ["ID", "STATE", "KIND", "NODE", "CHANGED", "DESCRIPTOR"]
    if failures:
        titles[5:] = ["FAILURE", "DESCRIPTOR"] if width >= _WIDE else ["DETAIL"]
    rows = []
    for job in jobs:
        row = [Cell(str(job.id)), Cell(job.state.value, look_of(job.state)), Cell(job.kind)]
        row += [Cell(job.worker_id or job.node_id), Cell(ago(job.updated_at, present, units=1))]
        failure, descriptor = failures.get(job.id), Cell(row_of(job).descriptor_json)
        row += [failure or Cell(""), descriptor] if "FAILURE" in titles else [failure or descriptor]
        rows.append(row)
    return grid([Column(title, _SHARES.get(title, 0)) for title in titles], rows, width)


def job_details(job: Job, present: datetime, width: int) -> Iterator[str]:
    """One job, a field a line; what is not there is left out."""
    at = functools.partial(when, present=present)
    stop, failure = job.stop, job.failure
    fields: list[tuple[str, str, str]] = [
        ("id", str(job.id), ""),
        ("state", job.state.value, look_of(job.state)),
        ("kind", job.kind, ""),
        ("worker", job.worker_id or "", ""),
        ("pinned to", job.node_id, ""),
        ("key", job.key or "", ""),
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
        ("descriptor", readable(row_of(job).descriptor_json, width - _NAMES - 2), ""),
    ]
    yield from field_lines(fields, width, _NAMES)


def field_lines(fields: Iterable[tuple[str, str, str]], width: int, names: int) -> Iterator[str]:
    """Fields (name, value, how the value looks), a line each and folded; those without a value are left out.

    Args:
        fields: The fields.
        width: Of the terminal.
        names: The width of the longest name.
    """
    for name, value, look in fields:
        if value:
            first, *rest = folded(value, max(width - names - 2, 20))
            yield f"{styled(name.ljust(names), 'bold')}  {styled(first, look)}"
            yield from (f"{' ' * names}  {styled(line, look)}".rstrip() for line in rest)


def when(instant: datetime | None, present: datetime) -> str:
    """An instant, and how long ago that was."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S} UTC ({ago(instant, present)})"


def readable(document: str, width: int) -> str:
    """JSON in one line where it fits or is no object, else a field a line."""
    if cells(document) <= width or not document.startswith("{"):
        return document
    write = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    return "{" + ",\n ".join(f"{write(name)}:{write(value)}" for name, value in json.loads(document).items()) + "}"


def progress_lines(job: Job, tables: Mapping[str, TableProgress], width: int) -> Iterator[str]:
    """How far a job got, per table; where it stands, and what went wrong."""
    yield standing(job) + ("" if tables else ("; it reported nothing" if job.is_terminal else "; nothing reported yet"))
    if tables:
        head = [Column("TABLE", 1), Column("BLOCKS", 2), Column("FILES", right=True), Column("SIZE", right=True)]
        rows = [
            [Cell(name), Cell(blocks(table)), Cell(f"{table.files_count:,}"), Cell(size(table.total_size_bytes))]
            for name, table in tables.items()
        ]
        yield from grid(head, rows, width)
    if job.failure is not None and job.state in _BROKEN:
        yield hanging("failure: ", headline(job.failure.message), width)


def progress_line(job: Job, tables: Mapping[str, TableProgress]) -> str:
    """The same in one line."""
    told = [f"{name} {blocks(table)} in {counted(table.files_count, 'file')}" for name, table in tables.items()]
    if job.failure is not None and job.state in _BROKEN:
        told.append(f"failure: {printable(headline(job.failure.message))}")
    return "  ".join([job.state.value, ", ".join(told)]).rstrip()


def standing(job: Job) -> str:
    """Which state a job is in, and who has it."""
    return f"job {job.id} is {styled(job.state.value, look_of(job.state))}" + (
        f" on {job.worker_id}" if job.worker_id else ""
    )


def outcome(job: Job) -> str:
    """A line about the state that a job came to, and how or why."""
    if job.failure is not None and job.state in _BROKEN:
        told = f"{job.state}: {headline(job.failure.message)}"
    else:
        told = f"{job.state} ({job.stop.outcome.value})" if job.stop and job.stop.outcome else job.state.value
    return hanging(f"job {job.id}: ", told, columns())


def size(count: int) -> str:
    """Bytes in their unit."""
    from rich.filesize import decimal

    return decimal(count)


def blocks(table: TableProgress) -> str:
    """The contiguous range, and that more lies behind a gap."""
    if table.start_block is None or table.current_block is None:
        return ""
    return f"{table.start_block:,} to {table.current_block:,}" + (
        " (more behind a gap)" if len(table.ranges) > 1 else ""
    )


def event_line(event: Event, *, of_one_job: bool = False) -> str:
    """One history entry: one line; on a terminal that is too narrow for it, the rest is indented."""
    begin = f"{event.at:%Y-%m-%d %H:%M:%S}Z  " + ("" if of_one_job else f"job {event.job_id}  ")
    moved = f"{event.to_state}" if event.is_note else f"{event.from_state or 'new'} → {event.to_state}"
    by_whom = f"{event.trigger} by {event.actor}"
    if event.node and not event.actor.endswith(f":{event.node}"):
        by_whom += f" on {event.node}"
    line = hanging(begin, f"{moved}  ({by_whom}{''.join(f'{mark}{why}' for mark, why in _whys(event))})", columns())
    shown = event.to_state.value
    return line.replace(f"→ {shown}", f"→ {styled(shown, look_of(event.to_state))}", 1)


def _whys(event: Event) -> Iterator[tuple[str, str]]:
    """What there is to say about why, each with the mark that stands before it."""
    detail, mark = event.detail, ": "
    mode = detail.get("mode") if detail.get("mode") != StopMode.CHECKPOINT.value else None  # as most stops are
    failure = headline(detail["failure"]) if "failure" in detail else None
    retry = f"again in {span(detail['retry_in'])}" if "retry_in" in detail else None
    for why in (event.reason, mode, detail.get("outcome"), failure, retry):
        if why:
            yield mark, why
            mark = "; "
