"""The commands that run a job differently: restart, rescale."""

from __future__ import annotations

import click

import jobstate
from jobstate.cli.options import CHECKPOINT, JOB_ID, REASON
from jobstate.cli.session import Session, command
from jobstate.cli.view.text import plural
from jobstate.cli.view.units import ago, now
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import JobStateError
from jobstate.domain.job import Job
from jobstate.wire import documents
from jobstate.wire.states import Dialect

_AMPCTL = Dialect.AMPCTL


@click.command("restart")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option(
    "--checkpoint",
    "checkpoint_id",
    type=CHECKPOINT,
    metavar="CHECKPOINT",
    help="A completed checkpoint of the job, or of a job that it restarted.  [default: its newest]",
)
@click.option("--parallelism", type=int, metavar="N", help="Run the new job with this number of tasks.")
@REASON
@command
def restart(
    session: Session, job_id: int, checkpoint_id: int | None, parallelism: int | None, reason: str | None
) -> None:
    """Restart a job that failed or was stopped, as a new job.

    Prints the id of the new job. It does the same work as the old one, which stays as it is, and starts from its newest
    completed checkpoint.
    """
    with session.open() as store:
        job = store.restart(job_id, checkpoint_id, parallelism=parallelism, reason=reason)
        document = documents.job_document(job, _AMPCTL)
        try:
            copied = _restored_checkpoint(store, job)
        except JobStateError as error:  # the new job exists all the same, and the user needs its id
            origin = f"a checkpoint that could not be read: {error}"
        else:
            document["restored_checkpoint"] = None if copied is None else copied.id
            origin = _origin(copied)
    session.answer(document, lambda: click.echo(job.id))
    click.echo(f"job {job.id} restarts job {job_id} from {origin}", err=True)


@click.command("rescale")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.argument("parallelism", metavar="N", type=int)
@REASON
@command
def rescale(session: Session, job_id: int, parallelism: int, reason: str | None) -> None:
    """Request another number of tasks for a job.

    The worker that runs the job confirms when it has rescaled. A job that no worker runs gets the number at once.
    """
    with session.open() as store:
        job = store.rescale(job_id, parallelism, reason=reason)
    session.answer(documents.job_document(job, _AMPCTL), lambda: click.echo(_sentence(job)))


def _restored_checkpoint(store: jobstate.JobStore | jobstate.JobClient, job: Job) -> Checkpoint | None:
    """The checkpoint a restarted job starts from: the newest of its own that none of its own runs wrote."""
    return next((found for found in store.checkpoints(job) if found.token <= job.lease_token), None)


def _origin(copied: Checkpoint | None) -> str:
    if copied is None:
        return "the beginning, as that has no completed checkpoint"
    return f"its checkpoint completed {ago(copied.finish_time, now())}, copied as {copied.id}"


def _sentence(job: Job) -> str:
    if job.rescale_to is not None:
        return f"job {job.id} is {job.state}: from {job.parallelism} to {plural(job.rescale_to, 'task')}"
    return f"job {job.id} is {job.state}, with {plural(job.parallelism, 'task')}"
