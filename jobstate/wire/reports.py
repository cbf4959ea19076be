"""What workers report, whole, as it is stored: for the Python client of a server, which makes the values again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.domain.metrics import (
    Counters,
    JobMetrics,
    OperatorKind,
    OperatorMetrics,
    Sample,
    SubtaskMetrics,
)
from jobstate.domain.output import OutputRow
from jobstate.ports.queries import LogPage, OutputPage, Slice
from jobstate.wire.records import Record

Value = TypeVar("Value")


def record_of(report: Checkpoint | JobMetrics | LogPage | OutputPage) -> Record:
    """Every field of a report by its name, instants in microseconds."""
    return asdict(report)


def checkpoints_record(found: Slice[Checkpoint]) -> Record:
    """Part of the checkpoints of a job."""
    return {"data": [record_of(checkpoint) for checkpoint in found], "has_more": found.has_more}


def checkpoint_of(record: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint that `record_of` was given."""
    return _made(Checkpoint, record, status=CheckpointState)


def checkpoints_of(record: Mapping[str, Any]) -> Slice[Checkpoint]:
    """The checkpoints that `checkpoints_record` was made of."""
    return Slice([checkpoint_of(one) for one in record["data"]], record["has_more"])


def metrics_of(record: Mapping[str, Any]) -> JobMetrics:
    """The metrics that `record_of` was given."""
    return _made(JobMetrics, record, operators=_each(_operator_of))


def logs_of(record: Mapping[str, Any]) -> LogPage:
    """The page of a log that `record_of` was given."""
    return _made(LogPage, record, entries=lambda entries: [_made(LogEntry, entry, level=LogLevel) for entry in entries])


def output_of(record: Mapping[str, Any]) -> OutputPage:
    """The page of output that `record_of` was given."""
    return _made(OutputPage, record, rows=lambda rows: [_made(OutputRow, row) for row in rows])


def _operator_of(record: Mapping[str, Any]) -> OperatorMetrics:
    return _made(
        OperatorMetrics,
        record,
        kind=OperatorKind,
        counters=_counters_of,
        subtasks=_each(_subtask_of),
    )


def _subtask_of(record: Mapping[str, Any]) -> SubtaskMetrics:
    return _made(
        SubtaskMetrics, record, kind=OperatorKind, counters=_counters_of, samples=_each(lambda told: Sample(*told))
    )


def _counters_of(told: list[int]) -> Counters:
    return Counters(*told)


def _each(make: Callable[[Any], Value]) -> Callable[[Any], tuple[Value, ...]]:
    return lambda parts: tuple(make(part) for part in parts)


def _made(kind: Callable[..., Value], record: Mapping[str, Any], /, **makers: Callable[[Any], Any]) -> Value:
    """The value with the fields of the record, some made from their JSON. Fields that are not known are dropped."""
    known = {field.name: record[field.name] for field in fields(kind) if field.name in record}  # type: ignore[arg-type]
    return kind(**{name: makers[name](value) if name in makers else value for name, value in known.items()})
