"""Commands that show what jobs say: logs, errors."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Final

import click

import jobstate
from jobstate.cli import text
from jobstate.cli.entries import entry_lines, extent
from jobstate.cli.parameters import JOB_ID, MOMENT, Number, Words
from jobstate.cli.session import Session, command
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.ports.queries import LogPage
from jobstate.wire import telemetry as wire

_ENTRY: Final = Number("an entry", wire.LOG_PREFIX, wire.ERROR_PREFIX)
_OPERATOR: Final = click.option("--operator", "operator_id", metavar="ID", help="Only what this operator says.")
_LIMIT: Final = click.option(
    "-l", "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Most entries to show."
)
_BEFORE: Final = click.option("-b", "--before", type=_ENTRY, metavar="ENTRY", help="Only older ones than this entry.")


@click.command("logs")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--level", type=Words(lambda: list(LogLevel)), help="Only info, warn or error; several with commas.")
@_OPERATOR
@click.option("--task", "task_index", type=click.IntRange(0), metavar="INDEX", help="Only what this task says.")
@click.option("--since", type=MOMENT, help="Only from this time on: such as 2026-01-31T12:00:00Z, or 10m ago.")
@click.option("--until", type=MOMENT, help="Only before this time.")
@_LIMIT
@_BEFORE
@click.option("-f", "--follow", is_flag=True, help="Go on with what it says until it ends; with --json, a line each.")
@command
def logs(
    session: Session,
    job_id: int,
    level: str | None,
    operator_id: str | None,
    task_index: int | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    before: int | None,
    *,
    follow: bool,
) -> None:
    """Show what a job says, newest at the bottom."""
    if follow and (until is not None or before is not None):
        raise click.UsageError("--follow goes on with what is new; leave out --until and --before")
    wanted: dict[str, Any] = {"level": _levels(level), "operator_id": operator_id, "task_index": task_index}
    with session.open() as store:
        page = store.logs(job_id, since=since, until=until, limit=limit, before=before, **wanted)
        if follow:
            _follow(session, store, job_id, page, since, wanted)
            return
    filtered = any(value is not None for value in (level, operator_id, task_index, since, until))
    nothing = "no entries match" if page.total else f"job {job_id} has said nothing yet"
    session.answer(wire.logs_document(page), lambda: _say(page, nothing, filtered=filtered))


@click.command("errors")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--level", type=Words(wire.ERROR_LEVELS.values), help="Only error or warning.")
@_OPERATOR
@_LIMIT
@_BEFORE
@command
def errors(
    session: Session, job_id: int, level: str | None, operator_id: str | None, limit: int, before: int | None
) -> None:
    """Show the warnings and errors of a job, newest at the bottom.

    What made a run fail is among them, with its traceback.
    """
    with session.open() as store:
        page = store.errors(job_id, level=_levels(level), operator_id=operator_id, limit=limit, before=before)
    chosen = level is not None or operator_id is not None or before is not None
    nothing = "no entries match" if chosen else f"job {job_id} has met no errors"
    session.answer(wire.errors_document(page), lambda: _say(page, nothing, filtered=True))


def _levels(words: str | None) -> list[str] | None:
    return None if words is None else [word.strip() for word in words.split(",")]


def _say(page: LogPage, nothing: str, *, filtered: bool) -> None:
    """The entries, oldest first; what is not shown is said below, and not among what goes into a pipe."""
    if not page.entries:
        click.echo(nothing, err=True)
    for entry in reversed(page.entries):
        click.echo(_lines(entry))
    more = extent(page, filtered=filtered)
    if more:
        click.echo(text.hanging("", more, text.columns()), err=not sys.stdout.isatty())


def _follow(
    session: Session,
    store: jobstate.JobStore | jobstate.JobClient,
    job_id: int,
    page: LogPage,
    since: datetime | None,
    wanted: dict[str, Any],
) -> None:
    """The page, then every entry behind it, until the job has ended."""
    for entry in reversed(page.entries):
        session.line(wire.log_document(entry), _lines(entry))
    behind = page.entries[0].number if page.entries else 0
    for entry in store.follow_logs(job_id, after=behind, **wanted):
        if since is None or entry.time >= since:
            session.line(wire.log_document(entry), _lines(entry))


def _lines(entry: LogEntry) -> str:
    return "\n".join(entry_lines(entry, text.columns()))
