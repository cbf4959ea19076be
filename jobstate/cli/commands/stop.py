"""The commands that end jobs: stop, fail."""

from __future__ import annotations

from typing import Any

import click

import jobstate
from jobstate.cli.options import DURATION, JOB_ID, REASON
from jobstate.cli.session import Session, command
from jobstate.cli.view.jobs import outcome
from jobstate.cli.view.units import ago, now
from jobstate.domain.stop import DEFAULT_STOP_TIMEOUT
from jobstate.wire import documents
from jobstate.wire.states import Dialect

_AMPCTL = Dialect.AMPCTL


@click.command("stop")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True, type=JOB_ID)
@click.option(
    "--mode",
    type=click.Choice([mode.value for mode in jobstate.StopMode]),
    default=jobstate.StopMode.CHECKPOINT.value,
    show_default=True,
    help="Stop after a last checkpoint, without one, or at once.",
)
@click.option(
    "--timeout",
    type=DURATION,
    help=f"How long the worker may take before the job is stopped without it.  [default: {DEFAULT_STOP_TIMEOUT:g}s]",
)
@click.option("--wait", is_flag=True, help="Wait until the jobs have ended.")
@REASON
@command
def stop(
    session: Session, job_ids: tuple[int, ...], mode: str, timeout: float | None, reason: str | None, *, wait: bool
) -> None:
    """Request that jobs stop.

    A job that has ended or is already stopping stays as it is and is not an error.
    """
    with session.open() as store:

        def act(job_id: int) -> tuple[Any, str]:
            result = store.stop(job_id, mode=jobstate.StopMode(mode), timeout=timeout, reason=reason)
            document = documents.stop_document(result, _AMPCTL)
            if wait and not result.job.is_terminal:
                job = store.wait(job_id)
                document.update(status=documents.job_document(job, _AMPCTL)["status"], state=job.state.value)
                return document, outcome(job)
            return document, _sentence(result)

        session.each(job_ids, act)


@click.command("fail")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--reason", required=True, metavar="TEXT", help="Why the job is given up.")
@command
def fail(session: Session, job_id: int, reason: str) -> None:
    """Fail a job for good, and fence the worker that holds it."""
    with session.open() as store:
        job = store.fail(job_id, reason)
    session.answer(documents.job_document(job, _AMPCTL), lambda: click.echo(f"job {job.id} is {job.state}"))


def _sentence(result: jobstate.StopResult) -> str:
    job = result.job
    if not result.changed:
        return f"job {job.id}: already {'ended, ' if job.is_terminal else ''}{job.state}"
    if job.is_terminal:
        return outcome(job)
    return f"job {job.id}: {job.state}; stopped {ago(result.expected_finish_time, now())} at the latest"
