"""The commands on a job's events: events (the past), watch and wait (what is to come)."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import click

from jobstate.cli.options import DURATION, JOB_ID, Words
from jobstate.cli.session import TRY_AGAIN, Session, command
from jobstate.cli.view.jobs import event_line, outcome
from jobstate.wire import documents
from jobstate.wire.states import Dialect, filter_words, selected

_AMPCTL = Dialect.AMPCTL
_UNTIL = Words(partial(filter_words, _AMPCTL))


@click.command("events")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@command
def events(session: Session, job_id: int) -> None:
    """Show the history of a job: what happened, who did it, why."""
    with session.open() as store:
        history = store.events(job_id)
    document = {"job_id": job_id, "events": [documents.event_document(event) for event in history]}
    session.answer(document, lambda: click.echo("\n".join(event_line(event, of_one_job=True) for event in history)))


@click.command("watch")
@click.option(
    "-a", "--after", type=click.IntRange(0), metavar="EVENT", help="Start after this event.  [default: the newest]"
)
@click.option("--id", "job_id", type=JOB_ID, help="Only events of this job.")
@click.option("--timeout", type=DURATION, help="End after so long without an event.")
@command
def watch(session: Session, after: int | None, job_id: int | None, timeout: float | None) -> None:
    """Print events of jobs as they happen, until interrupted."""
    with session.open() as store:
        for event in store.watch(after=after, job=job_id, timeout=timeout):
            session.line(documents.event_document(event), event_line(event))


@click.command("wait")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
@click.option(
    "--timeout", type=DURATION, help=f"How long to wait for all of them together; then exit code {TRY_AGAIN}."
)
@click.option(
    "--until", default="terminal", show_default=True, type=_UNTIL, help="The states to wait for, separated by commas."
)
@command
def wait(session: Session, job_ids: tuple[int, ...], timeout: float | None, until: str) -> None:
    """Wait until jobs have ended, or are in another state."""
    states = selected(until, _AMPCTL, "until")
    with session.open() as store:
        started = time.monotonic()

        def act(job_id: int) -> tuple[Any, str]:
            left = None if timeout is None else max(0.0, timeout - (time.monotonic() - started))
            job = store.wait(job_id, until=states, timeout=left)
            return documents.job_document(job, _AMPCTL), outcome(job)

        session.each(job_ids, act)
