"""The command that shows rows a job writes: output."""

from __future__ import annotations

import sys

import click
from click.core import ParameterSource

from jobstate.cli.options import JOB_ID, limit_option, operator_option
from jobstate.cli.session import Session, command, print_document
from jobstate.cli.view import output as view
from jobstate.cli.view.text import hanging, terminal_width
from jobstate.core.arguments import MAX_OFFSET
from jobstate.wire import telemetry as wire


@click.command("output")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@operator_option("Only rows of this operator.")
@limit_option("rows")
@click.option(
    "--offset", default=0, show_default=True, type=click.IntRange(0, MAX_OFFSET), help="How many rows to skip."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="For people, for programs, or for spreadsheets.",
)
@command
def output(session: Session, job_id: int, operator_id: str | None, limit: int, offset: int, form: str) -> None:
    """Show rows that a job writes, oldest first.

    These are samples for a look at its work: the store keeps the newest rows of each operator.
    """
    chosen = click.get_current_context().get_parameter_source("form") is ParameterSource.COMMANDLINE
    if session.as_json and chosen and form != "json":
        raise click.UsageError(f"--json and --format {form} exclude each other; give one of them")
    with session.open() as store:
        page = store.output(job_id, operator_id=operator_id, limit=limit, offset=offset)
    if session.as_json or form == "json":
        print_document(wire.output_document(page, operator_id))
        return
    if form == "csv":
        rows = wire.output_csv(page)
        # A terminal would show the byte order mark, which only spreadsheets need.
        click.echo((rows.removeprefix(wire.BOM) if sys.stdout.isatty() else rows).encode(), nl=False)
    elif page.rows:
        click.echo("\n".join(view.output_table(page, terminal_width(), of_one=operator_id is not None)))
    else:
        click.echo(view.no_rows(page, job_id, operator_id), err=True)
    rest = view.not_shown(page, offset)
    if rest:
        click.echo(hanging("", rest, terminal_width()), err=not sys.stdout.isatty())
