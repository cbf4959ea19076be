"""The metrics of a job: a line for each total, then a table of operators or subtasks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from jobstate.cli.view.text import Cell, Column, field_lines, plural, table
from jobstate.cli.view.units import latency, percent, rate, size
from jobstate.domain.latency import Quantiles
from jobstate.domain.metrics import Counters, JobMetrics, OperatorKind, OperatorMetrics
from jobstate.wire.telemetry import GROUPS

_WIDE: Final = 120
"""The width from which a table has columns for bytes, warnings and idle time."""
_NAMES: Final = len("backpressure")
_HIGH_BACKPRESSURE: Final = 0.5
"""The backpressure from which an operator is highlighted."""


def job_lines(metrics: JobMetrics, width: int) -> Iterator[str]:
    """The totals of a job, and a table of its operators."""
    fields = _totals(metrics.totals, metrics.throughput, metrics.latency, metrics.backpressure)
    yield from field_lines(fields, width, _NAMES)
    yield ""
    wide = width >= _WIDE
    head = [Column("OPERATOR", 2), *([Column("NAME", 1)] if wide else []), Column("KIND")]
    head += [Column("TASKS", right=True)] if wide else []
    head += [*_counter_columns(wide=wide), Column("PER S", right=True), Column("BACKPRESSURE", right=True)]
    head += [Column("IDLE", right=True)] if wide else []
    rows = []
    for operator in metrics.operators:
        row = [Cell(operator.operator_id), *([Cell(operator.name or "")] if wide else []), Cell(operator.kind.value)]
        row += [Cell(str(len(operator.subtasks)))] if wide else []
        row += [*_counter_cells(operator.counters, wide=wide), Cell(rate(operator.throughput))]
        row += [_backpressure(operator.backpressure)]
        row += [Cell(percent(operator.idle_percent))] if wide else []
        rows.append(row)
    yield from table(head, rows, width)


def operator_lines(operator: OperatorMetrics, width: int) -> Iterator[str]:
    """The totals of an operator, and a table of its subtasks."""
    name = "" if operator.name is None else f" ({operator.name})"
    tasks = plural(len(operator.subtasks), "subtask")
    fields = [
        ("operator", f"{operator.operator_id}{name}, a {operator.kind.value} of {tasks}", ""),
        *_totals(operator.counters, operator.throughput, operator.latency, operator.backpressure),
        ("idle", percent(operator.idle_percent), ""),
    ]
    yield from field_lines(fields, width, _NAMES)
    yield ""
    wide = width >= _WIDE
    head = [Column("SUBTASK", right=True), *_counter_columns(wide=wide), Column("BACKPRESSURE", right=True)]
    rows = [
        [Cell(str(part.index)), *_counter_cells(part.counters, wide=wide), _backpressure(part.backpressure)]
        for part in operator.subtasks
    ]
    yield from table(head, rows, width)


def group_lines(metrics: JobMetrics, width: int) -> Iterator[str]:
    """The sums of all sources, of all transforms and of all sinks."""
    head = [Column("GROUP"), Column("RECORDS", right=True), Column("PER S", right=True), Column("OPERATORS", 1)]
    rows = []
    for kind in OperatorKind:
        group = metrics.group(kind)
        row = [Cell(GROUPS[kind]), Cell(f"{group.total_records:,}"), Cell(rate(group.throughput))]
        rows.append([*row, Cell(", ".join(group.operators))])
    yield from table(head, rows, width)


def _totals(
    totals: Counters, throughput: float, quantiles: Quantiles | None, backpressure: float
) -> Iterator[tuple[str, str, str]]:
    parts = [] if quantiles is None else zip(Quantiles._fields, quantiles, strict=True)
    yield "records", f"{totals.records_in:,} in, {totals.records_out:,} out", ""
    yield "bytes", f"{size(totals.bytes_in)} in, {size(totals.bytes_out)} out", ""
    yield "errors", f"{totals.errors:,}, and {plural(totals.warnings, 'warning')}", ""
    yield "throughput", f"{rate(throughput)} records/s", ""
    yield "latency", ", ".join(f"{name} {latency(part)}" for name, part in parts), ""
    yield "backpressure", percent(100 * backpressure), ""


def _counter_columns(*, wide: bool) -> list[Column]:
    titles = ["IN", "OUT", *(["BYTES IN", "BYTES OUT"] if wide else []), "ERRORS", *(["WARNINGS"] if wide else [])]
    return [Column(title, right=True) for title in titles]


def _counter_cells(counters: Counters, *, wide: bool) -> list[Cell]:
    volume = [Cell(size(counters.bytes_in)), Cell(size(counters.bytes_out))] if wide else []
    warnings = [Cell(f"{counters.warnings:,}", "yellow" if counters.warnings else "")] if wide else []
    errors = Cell(f"{counters.errors:,}", "red" if counters.errors else "")
    return [Cell(f"{counters.records_in:,}"), Cell(f"{counters.records_out:,}"), *volume, errors, *warnings]


def _backpressure(backpressure: float) -> Cell:
    return Cell(percent(100 * backpressure), "yellow" if backpressure >= _HIGH_BACKPRESSURE else "")
