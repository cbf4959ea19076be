"""How what a job counted looks to people: totals a line each, then a table of operators or subtasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobstate.cli.render import field_lines, size
from jobstate.cli.text import Cell, Column, counted, grid
from jobstate.domain.latency import Quantiles
from jobstate.domain.metrics import Counters, JobMetrics, OperatorKind, OperatorMetrics
from jobstate.wire.telemetry import GROUPS

_WIDE: Final = 120
"""Columns from which on a table has room for bytes, warnings and idle time."""
_NAMES: Final = len("backpressure")
_FEW: Final = 10
"""Below this a rate has a digit behind its point."""
_SECOND: Final = 1000.0
_HELD_UP: Final = 0.5
"""The backpressure from which on an operator stands out."""


def job_lines(metrics: JobMetrics, width: int) -> Iterator[str]:
    """The totals of a job, and its operators."""
    fields = _totals(metrics.totals, metrics.throughput, metrics.latency, metrics.backpressure)
    yield from field_lines(fields, width, _NAMES)
    yield ""
    wide = width >= _WIDE
    head = [Column("OPERATOR", 2), *([Column("NAME", 1)] if wide else []), Column("KIND")]
    head += [Column("TASKS", right=True)] if wide else []
    head += [*_counted_columns(wide=wide), Column("PER S", right=True), Column("HELD UP", right=True)]
    head += [Column("IDLE", right=True)] if wide else []
    rows = []
    for operator in metrics.operators:
        row = [Cell(operator.operator_id), *([Cell(operator.name or "")] if wide else []), Cell(operator.kind.value)]
        row += [Cell(str(len(operator.subtasks)))] if wide else []
        row += [*_counted_cells(operator.counters, wide=wide), Cell(rate(operator.throughput))]
        row += [_held_up(operator.backpressure)]
        row += [Cell(percent(operator.idle_percent))] if wide else []
        rows.append(row)
    yield from grid(head, rows, width)


def operator_lines(operator: OperatorMetrics, width: int) -> Iterator[str]:
    """The totals of an operator, and its subtasks."""
    name = "" if operator.name is None else f" ({operator.name})"
    tasks = counted(len(operator.subtasks), "subtask")
    fields = [
        ("operator", f"{operator.operator_id}{name}, a {operator.kind.value} of {tasks}", ""),
        *_totals(operator.counters, operator.throughput, operator.latency, operator.backpressure),
        ("idle", percent(operator.idle_percent), ""),
    ]
    yield from field_lines(fields, width, _NAMES)
    yield ""
    wide = width >= _WIDE
    head = [Column("SUBTASK", right=True), *_counted_columns(wide=wide), Column("HELD UP", right=True)]
    rows = [
        [Cell(str(part.index)), *_counted_cells(part.counters, wide=wide), _held_up(part.backpressure)]
        for part in operator.subtasks
    ]
    yield from grid(head, rows, width)


def group_lines(metrics: JobMetrics, width: int) -> Iterator[str]:
    """Sources, transforms and sinks, each together."""
    head = [Column("GROUP"), Column("RECORDS", right=True), Column("PER S", right=True), Column("OPERATORS", 1)]
    rows = []
    for kind in OperatorKind:
        group = metrics.group(kind)
        told = [Cell(GROUPS[kind]), Cell(f"{group.total_records:,}"), Cell(rate(group.throughput))]
        rows.append([*told, Cell(", ".join(group.operators))])
    yield from grid(head, rows, width)


def rate(per_second: float) -> str:
    """Records per second."""
    return f"{per_second:,.1f}" if 0 < per_second < _FEW else f"{per_second:,.0f}"


def percent(part_of_100: float) -> str:
    """A part of a hundred."""
    return f"{part_of_100:.0f} %"


def took(milliseconds: float) -> str:
    """How long a record took."""
    return f"{milliseconds:.3g} ms" if milliseconds < _SECOND else f"{milliseconds / _SECOND:,.1f} s"


def _totals(
    totals: Counters, throughput: float, latency: Quantiles | None, backpressure: float
) -> Iterator[tuple[str, str, str]]:
    parts = [] if latency is None else zip(Quantiles._fields, latency, strict=True)
    yield "records", f"{totals.records_in:,} in, {totals.records_out:,} out", ""
    yield "bytes", f"{size(totals.bytes_in)} in, {size(totals.bytes_out)} out", ""
    yield "errors", f"{totals.errors:,}, and {counted(totals.warnings, 'warning')}", ""
    yield "throughput", f"{rate(throughput)} records/s", ""
    yield "latency", ", ".join(f"{name} {took(part)}" for name, part in parts), ""
    yield "backpressure", percent(100 * backpressure), ""


def _counted_columns(*, wide: bool) -> list[Column]:
    titles = ["IN", "OUT", *(["BYTES IN", "BYTES OUT"] if wide else []), "ERRORS", *(["WARNINGS"] if wide else [])]
    return [Column(title, right=True) for title in titles]


def _counted_cells(counters: Counters, *, wide: bool) -> list[Cell]:
    moved = [Cell(size(counters.bytes_in)), Cell(size(counters.bytes_out))] if wide else []
    warned = [Cell(f"{counters.warnings:,}", "yellow" if counters.warnings else "")] if wide else []
    failed = Cell(f"{counters.errors:,}", "red" if counters.errors else "")
    return [Cell(f"{counters.records_in:,}"), Cell(f"{counters.records_out:,}"), *moved, failed, *warned]


def _held_up(backpressure: float) -> Cell:
    return Cell(percent(100 * backpressure), "yellow" if backpressure >= _HELD_UP else "")
