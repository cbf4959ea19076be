"""Rows of a job's output as a table: a column for each key where they fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobstate.cli.view.text import Cell, Column, cell_width, printable, table
from jobstate.ports.queries import OutputPage
from jobstate.wire import telemetry as wire

_MIN_WIDTH: Final = 10
"""The least a column of a record takes, with the gap beside it; with less, each record has one column."""


def output_table(page: OutputPage, width: int, *, of_one: bool) -> Iterator[str]:
    """The rows, with a column for each key where all of them fit; else each record in one column."""
    records = [wire.fields_of(row.record) for row in page]
    keys = list(dict.fromkeys(key for fields in records for key in fields))
    head, rows = [Column("TIME")], [[Cell(f"{row.time:%Y-%m-%d %H:%M:%S}Z")] for row in page]
    if not of_one:
        head.append(Column("OPERATOR", 1))
        for cells, row in zip(rows, page, strict=True):
            cells.append(Cell(row.operator_id))
    used = sum(max(cell_width(cells[at].text) for cells in rows) + 2 for at in range(len(head)))
    if len(keys) * _MIN_WIDTH <= width - used:
        head += [Column(printable(key), 1) for key in keys]
        for cells, fields in zip(rows, records, strict=True):
            cells += [Cell(wire.cell_text(fields.get(key))) for key in keys]
    else:
        head.append(Column("RECORD", 1))
        for cells, row in zip(rows, page, strict=True):
            cells.append(Cell(wire.cell_text(row.record)))
    yield from table(head, rows, width)


def no_rows(page: OutputPage, job_id: int, operator_id: str | None) -> str:
    """The sentence for an empty page."""
    if page.retained:
        return f"there are {page.retained:,} rows; --offset skips all of them"
    subject = f"operator {operator_id} of job {job_id}" if operator_id is not None else f"job {job_id}"
    return f"{subject} has written no output yet"


def not_shown(page: OutputPage, offset: int) -> str:
    """What a page leaves out: later rows, and rows no longer kept; empty if it shows all."""
    dropped = page.retained < page.total
    parts = [f"showing {len(page):,} of {page.total:,}"] if page.has_more or dropped else []
    if dropped:
        parts.append(f"the newest {page.retained:,} are kept")
    if page.has_more:
        parts.append(f"more rows: --offset {offset + len(page)}")
    return "; ".join(parts)
