"""The command that shows what jobs write: output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

import click
from click.core import ParameterSource

from jobstate.cli import text
from jobstate.cli.parameters import JOB_ID
from jobstate.cli.session import Session, command
from jobstate.cli.text import Cell, Column
from jobstate.ports.queries import OutputPage
from jobstate.wire import telemetry as wire

_NARROWEST: Final = 10
"""The least that a column of a record takes, with the space beside it; with less, records are shown whole."""


@click.command("output")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--operator", "operator_id", metavar="ID", help="Only rows of this operator.")
@click.option("-l", "--limit", default=50, show_default=True, type=click.IntRange(1, 1000), help="Most rows to show.")
@click.option("--offset", default=0, show_default=True, type=click.IntRange(0, 10_000), help="How many to step over.")
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="How: for people, for programs, or for spreadsheets.",
)
@command
def output(session: Session, job_id: int, operator_id: str | None, limit: int, offset: int, shape: str) -> None:
    """Show rows that a job writes, in the order in which it did.

    They are samples for a look at its work: the newest rows of each operator are kept.
    """
    chosen = click.get_current_context().get_parameter_source("shape") is ParameterSource.COMMANDLINE
    if session.as_json and chosen and shape != "json":
        raise click.UsageError(f"--json and --format {shape} say two things; give one of them")
    with session.open() as store:
        page = store.output(job_id, operator_id=operator_id, limit=limit, offset=offset)
    if session.as_json or shape == "json":
        session.document(wire.output_document(page, operator_id))
        return
    if shape == "csv":
        told = wire.output_csv(page)
        # A terminal would show the mark that only spreadsheets need.
        click.echo((told.removeprefix(wire.BOM) if sys.stdout.isatty() else told).encode(), nl=False)
    elif page.rows:
        click.echo("\n".join(_table(page, text.columns(), of_one=operator_id is not None)))
    else:
        click.echo(_nothing(page, job_id, operator_id), err=True)
    more = _extent(page, offset)
    if more:
        click.echo(text.hanging("", more, text.columns()), err=not sys.stdout.isatty())


def _table(page: OutputPage, width: int, *, of_one: bool) -> Iterator[str]:
    """A column a key where there is room for all of them; else each record as a whole."""
    records = [wire.fields_of(row.record) for row in page]
    keys = list(dict.fromkeys(key for fields in records for key in fields))
    head, rows = [Column("TIME")], [[Cell(f"{row.time:%Y-%m-%d %H:%M:%S}Z")] for row in page]
    if not of_one:
        head.append(Column("OPERATOR", 1))
        for cells, row in zip(rows, page, strict=True):
            cells.append(Cell(row.operator_id))
    taken = sum(max(text.cells(cells[at].text) for cells in rows) + 2 for at in range(len(head)))
    if len(keys) * _NARROWEST <= width - taken:
        head += [Column(text.printable(key), 1) for key in keys]
        for cells, fields in zip(rows, records, strict=True):
            cells += [Cell(wire.cell_text(fields.get(key))) for key in keys]
    else:
        head.append(Column("RECORD", 1))
        for cells, row in zip(rows, page, strict=True):
            cells.append(Cell(wire.cell_text(row.record)))
    yield from text.grid(head, rows, width)


def _nothing(page: OutputPage, job_id: int, operator_id: str | None) -> str:
    if page.retained:
        return f"there are {page.retained:,} rows; --offset steps over all of them"
    whose = f"operator {operator_id} of job {job_id}" if operator_id is not None else f"job {job_id}"
    return f"{whose} has shown no output yet"


def _extent(page: OutputPage, offset: int) -> str:
    """What a page does not show: further rows, and those that are gone; empty where it shows all."""
    gone = page.retained < page.total
    told = [f"showing {len(page):,} of {page.total:,}"] if page.has_more or gone else []
    if gone:
        told.append(f"the newest {page.retained:,} are kept")
    if page.has_more:
        told.append(f"further ones: --offset {offset + len(page)}")
    return "; ".join(told)
