"""Commands that wait: wait, watch."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import click

from jobstate.cli import render
from jobstate.cli.parameters import DURATION, JOB_ID, Words
from jobstate.cli.session import Session, command
from jobstate.wire import documents
from jobstate.wire.states import Dialect, filter_words, selected

_AMPCTL = Dialect.AMPCTL
_UNTIL = Words(partial(filter_words, _AMPCTL))


@click.command("wait")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
@click.option("--timeout", type=DURATION, help="How long at most, for all of them together; then exit code 75.")
@click.option(
    "--until", default="terminal", show_default=True, type=_UNTIL, help="The states to wait for, with commas."
)
@command
def wait(session: Session, job_ids: tuple[int, ...], timeout: float | None, until: str) -> None:
    """Wait until jobs have ended, or are in another state."""
    wanted = selected(until, _AMPCTL, "until")
    with session.open() as store:
        began = time.monotonic()

        def act(job_id: int) -> tuple[Any, str]:
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - began))
            job = store.wait(job_id, until=wanted, timeout=left)
            return documents.job_document(job, _AMPCTL), render.outcome(job)

        session.each(job_ids, act)


@click.command("watch")
@click.option("-a", "--after", type=click.IntRange(0), metavar="EVENT", help="Begin behind this event.  [default: now]")
@click.option("--id", "job_id", type=JOB_ID, help="Only this job.")
@click.option("--timeout", type=DURATION, help="End after so long without an event.")
@command
def watch(session: Session, after: int | None, job_id: int | None, timeout: float | None) -> None:
    """Print what happens to jobs as it happens, until interrupted."""
    with session.open() as store:
        for event in store.watch(after=after, job=job_id, timeout=timeout):
            session.line(documents.event_document(event), render.event_line(event))
