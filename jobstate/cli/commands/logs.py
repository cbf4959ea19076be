"""The commands that show what a job logged: logs, errors."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Final, cast

import click

import jobstate
from jobstate.cli.options import JOB_ID, MOMENT, Number, Words, limit_option, operator_option
from jobstate.cli.session import Session, command
from jobstate.cli.view.logs import entry_lines, not_shown
from jobstate.cli.view.text import hanging, terminal_width
from jobstate.core.arguments import LevelWord
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.ports.queries import LogPage
from jobstate.wire import telemetry as wire

_ENTRY: Final = Number("an entry", wire.LOG_PREFIX, wire.ERROR_PREFIX)
_OPERATOR: Final = operator_option("Only entries of this operator.")
_BEFORE: Final = click.option("-b", "--before", type=_ENTRY, metavar="ENTRY", help="Only entries older than this one.")


@click.command("logs")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option(
    "--level", type=Words(lambda: list(LogLevel)), help="Only info, warn or error; several separated by commas."
)
@_OPERATOR
@click.option("--task", "task_index", type=click.IntRange(0), metavar="INDEX", help="Only entries of this task.")
@click.option("--since", type=MOMENT, help="Only from this time on: such as 2026-01-31T12:00:00Z, or 10m ago.")
@click.option("--until", type=MOMENT, help="Only before this time.")
@limit_option("entries")
@_BEFORE
@click.option(
    "-f", "--follow", is_flag=True, help="Then show new entries until the job ends; with --json, one line for each."
)
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
    """Show the log of a job, newest at the bottom."""
    if follow and (until is not None or before is not None):
        raise click.UsageError("--follow shows new entries; leave out --until and --before")
    filters: dict[str, Any] = {"level": _levels(level), "operator_id": operator_id, "task_index": task_index}
    with session.open() as store:
        page = store.logs(job_id, since=since, until=until, limit=limit, before=before, **filters)
        if follow:
            _follow(session, store, job_id, page, since, filters)
            return
    filtered = any(value is not None for value in (level, operator_id, task_index, since, until))
    empty = "no entries match" if page.total else f"job {job_id} has logged nothing yet"
    session.answer(wire.logs_document(page), lambda: _show(page, empty, filtered=filtered))


@click.command("errors")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--level", type=Words(wire.ERROR_LEVELS.values), help="Only error or warning.")
@_OPERATOR
@limit_option("entries")
@_BEFORE
@command
def errors(
    session: Session, job_id: int, level: str | None, operator_id: str | None, limit: int, before: int | None
) -> None:
    """Show the warnings and errors of a job, newest at the bottom.

    The error that made a run fail is among them, with its traceback.
    """
    with session.open() as store:
        page = store.errors(job_id, level=_levels(level), operator_id=operator_id, limit=limit, before=before)
    filtered = level is not None or operator_id is not None or before is not None
    empty = "no entries match" if filtered else f"job {job_id} has no errors or warnings yet"
    session.answer(wire.errors_document(page), lambda: _show(page, empty, filtered=True))


def _levels(words: str | None) -> list[LevelWord] | None:
    """The levels of an option; the call that takes them checks the words."""
    return None if words is None else [cast("LevelWord", word.strip()) for word in words.split(",")]


def _show(page: LogPage, empty: str, *, filtered: bool) -> None:
    """Print the entries, oldest first; what the page leaves out goes below, and never into a pipe."""
    if not page.entries:
        click.echo(empty, err=True)
    for entry in reversed(page.entries):
        click.echo(_text(entry))
    rest = not_shown(page, filtered=filtered)
    if rest:
        click.echo(hanging("", rest, terminal_width()), err=not sys.stdout.isatty())


def _follow(
    session: Session,
    store: jobstate.JobStore | jobstate.JobClient,
    job_id: int,
    page: LogPage,
    since: datetime | None,
    filters: dict[str, Any],
) -> None:
    """Print the page, then every later entry, until the job has ended."""
    for entry in reversed(page.entries):
        session.line(wire.log_document(entry), _text(entry))
    newest = page.entries[0].number if page.entries else 0
    for entry in store.follow_logs(job_id, after=newest, **filters):
        if since is None or entry.time >= since:
            session.line(wire.log_document(entry), _text(entry))


def _text(entry: LogEntry) -> str:
    return "\n".join(entry_lines(entry, terminal_width()))
