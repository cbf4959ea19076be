"""The command that shows how far a job got: progress."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Final

import click

import jobstate
from jobstate.cli.options import JOB_ID
from jobstate.cli.session import Session, command
from jobstate.cli.view import jobs as view
from jobstate.cli.view.bars import TableBars
from jobstate.cli.view.text import terminal_width
from jobstate.domain.lifecycle import State
from jobstate.domain.progress import TableProgress
from jobstate.wire import documents
from jobstate.wire.states import Dialect

_AMPCTL = Dialect.AMPCTL
_FOLLOW_INTERVAL: Final = 0.2
"""Seconds between two reads of a job that is followed."""


@click.command("progress")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option(
    "-f", "--follow", is_flag=True, help="Show it live until the job ends; with --json, one line for each change."
)
@command
def progress(session: Session, job_id: int, *, follow: bool) -> None:
    """Show how far a job got, for each table that it writes."""
    with session.open() as store:
        if follow:
            _follow(session, store, job_id)
            return
        job, tables = store.get(job_id), store.progress(job_id)
    session.answer(
        documents.progress_document(job, tables, _AMPCTL),
        lambda: click.echo("\n".join(view.progress_lines(job, tables, terminal_width()))),
    )


def _follow(session: Session, store: jobstate.JobStore | jobstate.JobClient, job_id: int) -> None:
    """Show progress until the job ends: live bars on a terminal, a line for each change elsewhere."""
    on_terminal = sys.stdout.isatty() and not session.as_json
    previous: tuple[State, Mapping[str, TableProgress]] | None = None
    bars = TableBars() if on_terminal else None
    with nullcontext() if bars is None else bars.drawn():
        while True:
            job, tables = store.get(job_id), store.progress(job_id)
            if (job.state, tables) != previous:
                previous = (job.state, tables)
                if bars is None:
                    session.line(documents.progress_document(job, tables, _AMPCTL), view.progress_line(job, tables))
                else:
                    bars.show(job, tables)
            if job.is_terminal:
                break
            time.sleep(_FOLLOW_INTERVAL)
    if on_terminal:
        click.echo(next(view.progress_lines(job, tables, terminal_width())))
