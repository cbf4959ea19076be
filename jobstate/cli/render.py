"""How things look to people: aligned tables, relative times, sizes in units; colours only on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from jobstate.domain.job import Event, Job
from jobstate.domain.lifecycle import LEASED, STOP_PENDING, TERMINAL, State
from jobstate.domain.ranges import TableProgress
from jobstate.system import SystemClock

_PLAIN_WIDTH: Final = 10_000
_NARROWEST: Final = 8
_GAP: Final = 2
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def console(*, stderr: bool = False) -> Console:
    """Where output goes. Piped, it is plain and never cut."""
    on_terminal = Console(stderr=stderr, highlight=False)
    return on_terminal if on_terminal.is_terminal else Console(stderr=stderr, width=_PLAIN_WIDTH, highlight=False)


def now() -> datetime:
    """The present, for relative times."""
    return datetime.fromtimestamp(SystemClock().now() / 1_000_000, UTC)


def span(seconds: float) -> str:
    """A duration in its two largest units: `2h 5m`."""
    left = max(0, round(seconds))
    told: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(told) < 2:
            told.append(f"{left // size}{unit}")
            left %= size
    return " ".join(told) or "0s"


def ago(at: datetime | None, present: datetime) -> str:
    """How long ago, or in how long."""
    if at is None:
        return ""
    seconds = (present - at).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def state_text(state: State) -> Text:
    """A state, coloured by what it means."""
    if state is State.FAILED:
        style = "red"
    elif state in TERMINAL:
        style = "green" if state is State.COMPLETED else "dim"
    elif state in STOP_PENDING:
        style = "yellow"
    else:
        style = "cyan" if state in LEASED else ""
    return Text(state.value, style=style)


def grid(titles: Sequence[str], rows: Sequence[Sequence[str | Text]], width: int) -> Table:
    """A table without lines, as wide as its cells need and `width` allows: the last column gives way first."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    left = width
    for number, title in enumerate(titles):
        needed = max(len(title), *(row[number].cell_len for row in cells)) if cells else len(title)
        room = max(_NARROWEST, left if number == len(titles) - 1 else width // 4)
        table.add_column(title, no_wrap=True, overflow="ellipsis", width=min(needed, room))
        left -= min(needed, room) + _GAP
    for row in cells:
        table.add_row(*row)
    return table


def job_grid(jobs: Sequence[Job], present: datetime, width: int) -> Table:
    """A page of jobs."""
    rows = [
        (
            str(job.id),
            state_text(job.state),
            job.kind,
            job.worker_id or job.node_id,
            ago(job.updated_at, present),
            job.descriptor_json,
        )
        for job in jobs
    ]
    return grid(("ID", "STATE", "KIND", "NODE", "CHANGED", "DESCRIPTOR"), rows, width)


def job_details(job: Job, present: datetime) -> Table:
    """One job, a field a line; what is not there is left out."""

    def at(instant: datetime | None) -> str:
        return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S} UTC ({ago(instant, present)})"

    fields: list[tuple[str, str | Text]] = [
        ("id", str(job.id)),
        ("state", state_text(job.state)),
        ("kind", job.kind),
        ("worker", job.worker_id or ""),
        ("pinned to", job.node_id),
        ("key", job.key or ""),
        ("pipeline", "" if job.pipeline_id is None else f"{job.pipeline_id}, run {job.run_id}"),
        ("labels", ", ".join(f"{name}={value}" for name, value in job.labels.items())),
        ("attempt", f"{job.attempt}, charged {job.failures} of {job.max_attempts}"),
        ("priority", str(job.priority) if job.priority else ""),
        ("parallelism", str(job.parallelism) if job.parallelism > 1 else ""),
        ("created", at(job.created_at)),
        ("available", at(job.available_at) if job.worker_id is None and not job.is_terminal else ""),
        ("started", at(job.started_at)),
        ("lease until", at(job.lease_expires_at)),
        ("finished", at(job.finished_at)),
        ("last change", f"{job.trigger} by {job.actor}" + (f": {job.reason}" if job.reason else "")),
    ]
    stop, failure = job.stop, job.failure
    if stop is not None:
        fields += [
            ("stop", stop.mode.value + (f": {stop.reason}" if stop.reason else "")),
            ("stop until", "" if job.is_terminal else at(stop.deadline)),
            ("stop ended", "" if stop.outcome is None else stop.outcome.value),
        ]
    if failure is not None:
        fields.append(("failure", Text(failure.message, style="red")))
    fields.append(("descriptor", job.descriptor_json))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def progress_grid(tables: dict[str, TableProgress], width: int) -> Table:
    """How far a job got, per table."""
    rows = [
        (name, blocks(table), f"{table.files_count:,}", decimal(table.total_size_bytes))
        for name, table in tables.items()
    ]
    return grid(("TABLE", "BLOCKS", "FILES", "SIZE"), rows, width)


def blocks(table: TableProgress) -> str:
    """The contiguous range, and that more lies behind a gap."""
    if table.start_block is None or table.current_block is None:
        return ""
    return f"{table.start_block:,} to {table.current_block:,}" + (
        " (more behind a gap)" if len(table.ranges) > 1 else ""
    )


def event_line(event: Event) -> str:
    """One history entry."""
    moved = f"{event.to_state}" if event.is_note else f"{event.from_state or 'new'} → {event.to_state}"
    on = f" on {event.node}" if event.node else ""
    why = f": {event.reason}" if event.reason else ""
    return f"{event.at:%Y-%m-%d %H:%M:%S}  job {event.job_id}  {moved}  ({event.trigger} by {event.actor}{on}{why})"
