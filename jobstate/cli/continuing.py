"""Commands by which a job goes on in another way: restart, rescale."""

from __future__ import annotations

import click

import jobstate
from jobstate.cli import render
from jobstate.cli.parameters import CHECKPOINT, JOB_ID
from jobstate.cli.session import Session, command
from jobstate.cli.text import counted
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import JobStateError
from jobstate.domain.job import Job
from jobstate.wire import documents
from jobstate.wire.states import Dialect

_AMPCTL = Dialect.AMPCTL
_REASON = click.option("--reason", metavar="TEXT", help="Why, for the history.")


@click.command("restart")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option(
    "--checkpoint",
    "checkpoint_id",
    type=CHECKPOINT,
    metavar="CHECKPOINT",
    help="A completed checkpoint of it or of those that it restarts.  [default: its newest]",
)
@click.option("--parallelism", type=int, metavar="N", help="Another number of tasks.")
@_REASON
@command
def restart(
    session: Session, job_id: int, checkpoint_id: int | None, parallelism: int | None, reason: str | None
) -> None:
    """Go on with a job that failed or was stopped, as a new one.

    Prints the id of the new job. It is asked for the same as the old one, which stays as it is, and starts from its
    newest completed checkpoint.
    """
    with session.open() as store:
        job = store.restart(job_id, checkpoint_id, parallelism=parallelism, reason=reason)
        document = documents.job_document(job, _AMPCTL)
        try:
            copied = _copied(store, job)
        except JobStateError as error:  # the job is there all the same, and its id must be told
            beginning = f"a checkpoint that could not be looked up: {error}"
        else:
            document["restored_checkpoint"] = None if copied is None else copied.id
            beginning = _beginning(copied)
    session.answer(document, lambda: click.echo(job.id))
    click.echo(f"job {job.id} restarts job {job_id} from {beginning}", err=True)


@click.command("rescale")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.argument("parallelism", metavar="N", type=int)
@_REASON
@command
def rescale(session: Session, job_id: int, parallelism: int, reason: str | None) -> None:
    """Ask for another number of tasks.

    The worker that has the job answers when it runs so. A job that nobody runs gets the number at once.
    """
    with session.open() as store:
        job = store.rescale(job_id, parallelism, reason=reason)
    session.answer(documents.job_document(job, _AMPCTL), lambda: click.echo(_rescaled(job)))


def _copied(store: jobstate.JobStore | jobstate.JobClient, job: Job) -> Checkpoint | None:
    """What a restarted job begins with: the newest of its checkpoints that no run of its own has written."""
    return next((found for found in store.checkpoints(job) if found.token <= job.lease_token), None)


def _beginning(copied: Checkpoint | None) -> str:
    if copied is None:
        return "the beginning, as that has no completed checkpoint"
    return f"its checkpoint completed {render.ago(copied.finish_time, render.now())}, kept as {copied.id}"


def _rescaled(job: Job) -> str:
    if job.rescale_to is not None:
        return f"job {job.id} is {job.state}: from {job.parallelism} to {counted(job.rescale_to, 'task')}"
    return f"job {job.id} is {job.state}, with {counted(job.parallelism, 'task')}"
