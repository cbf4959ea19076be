"""The command that shows what a job can restart from: checkpoints."""

from __future__ import annotations

import sys
from typing import Final

import click
from click.core import ParameterSource

from jobstate.cli.options import CHECKPOINT, JOB_ID, limit_option
from jobstate.cli.session import Session, command
from jobstate.cli.view import checkpoints as view
from jobstate.cli.view.text import terminal_width
from jobstate.cli.view.units import now
from jobstate.wire import pipeline

_LIST_OPTIONS: Final = ("limit", "completed")


@click.command("checkpoints")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.argument("checkpoint_id", metavar="[CHECKPOINT]", required=False, type=CHECKPOINT)
@limit_option("checkpoints")
@click.option(
    "--completed/--all", default=False, help="Only completed ones, which a restart can use; or failed and running too."
)
@command
def checkpoints(session: Session, job_id: int, checkpoint_id: int | None, limit: int, *, completed: bool) -> None:
    """Show the checkpoints of a job, newest first, or one of them."""
    context = click.get_current_context()
    if checkpoint_id is not None:
        if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in _LIST_OPTIONS):
            raise click.UsageError("one checkpoint is not a list; leave out --limit, --completed and --all")
        with session.open() as store:
            one = store.checkpoint(job_id, checkpoint_id)
        details = view.checkpoint_details(one, now(), terminal_width())
        session.answer(pipeline.checkpoint_document(one), lambda: click.echo("\n".join(details)))
        return
    with session.open() as store:
        found = store.checkpoint_slice(job_id, limit=limit, completed=True if completed else None)

    def show() -> None:
        if not found.rows:
            click.echo(f"job {job_id} has no {'completed checkpoint' if completed else 'checkpoints'} yet", err=True)
            return
        click.echo("\n".join(view.checkpoint_table(found.rows, now(), terminal_width())))
        if found.has_more:
            click.echo("there are older checkpoints; --limit shows more", err=not sys.stdout.isatty())

    session.answer(pipeline.checkpoints_document(found), show)
