"""Checkpoints as a table, and one checkpoint in detail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from jobstate.cli.view.jobs import blocks
from jobstate.cli.view.text import Cell, Column, field_lines, readable_json, table
from jobstate.cli.view.units import ago, duration, size, timestamp
from jobstate.domain.checkpoints import Checkpoint, CheckpointState

_STYLES: Final = {
    CheckpointState.FAILED: "red",
    CheckpointState.COMPLETED: "green",
    CheckpointState.IN_PROGRESS: "cyan",
}
_WIDE: Final = 120
"""The width from which a table has columns for backend, location and failure."""
_NAMES: Final = len("finished")


def checkpoint_table(found: Sequence[Checkpoint], present: datetime, width: int) -> Iterator[str]:
    """A line for each checkpoint; on a narrow terminal the failure takes the place of the location."""
    wide = width >= _WIDE
    head = [Column("ID"), Column("EPOCH", right=True), Column("STATE"), Column("SIZE", right=True), Column("STARTED")]
    head += [Column("TOOK", right=True), Column("BACKEND", 1), Column("LOCATION", 3)] if wide else [Column("DETAIL", 1)]
    head += [Column("FAILURE", 2)] if wide and any(one.failure for one in found) else []
    rows = []
    for one in found:
        row = [Cell(one.id), Cell(str(one.epoch)), Cell(one.status.value, _STYLES[one.status])]
        row += [Cell(size(one.size_bytes)), Cell(ago(one.start_time, present, units=1))]
        failure, location = Cell(one.failure or "", "red"), Cell(one.location or "")
        row += [Cell(_time_taken(one)), Cell(one.backend or ""), location, failure] if wide else [failure]
        if not wide and one.failure is None:
            row[-1] = location
        rows.append(row[: len(head)])
    yield from table(head, rows, width)


def checkpoint_details(one: Checkpoint, present: datetime, width: int) -> Iterator[str]:
    """A line for each field of a checkpoint, and a line for the state of each operator and subtask."""
    progress = ", ".join(f"{name} {blocks(ranges)}".rstrip() for name, ranges in one.progress.items())
    state = "" if one.state_json is None else readable_json(one.state_json, width - _NAMES - 2)
    yield from field_lines(
        [
            ("id", one.id, ""),
            ("job", str(one.job_id), ""),
            ("epoch", str(one.epoch), ""),
            ("state", one.status.value, _STYLES[one.status]),
            ("failure", one.failure or "", "red"),
            ("started", timestamp(one.start_time, present), ""),
            ("finished", timestamp(one.finish_time, present), ""),
            ("took", _time_taken(one), ""),
            ("size", size(one.size_bytes), ""),
            ("backend", one.backend or "", ""),
            ("location", one.location or "", ""),
            ("progress", progress, ""),
            ("saved", state, ""),
        ],
        width,
        _NAMES,
    )
    if not one.operator_states:
        return
    yield ""
    head = [Column("OPERATOR", 2), Column("NAME", 1), Column("SUBTASK", right=True), Column("SIZE", right=True)]
    rows = []
    for operator in one.operator_states:
        names = [Cell(operator.operator_id), Cell(operator.operator_name or "")]
        rows.append([*names, Cell(""), Cell(size(operator.state_size))])
        rows += [
            [Cell(""), Cell(""), Cell(str(index)), Cell(size(part), "dim")] for index, part in operator.subtasks.items()
        ]
    yield from table(head, rows, width)


def _time_taken(one: Checkpoint) -> str:
    return "" if one.finish_time is None else duration((one.finish_time - one.start_time).total_seconds())
