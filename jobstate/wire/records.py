"""Records: whole values as the store keeps them, from which the Python client of a server rebuilds the values.

The documents of `jobstate.wire.documents` are for every client, and omit what only a store needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.domain.event import Event
from jobstate.domain.job import Job, row_of
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
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
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.domain.stop_requests import StopResult
from jobstate.domain.submission import NewJob
from jobstate.ports.queries import LogPage, OutputPage, Slice
from jobstate.ports.repository import WorkerInfo
from jobstate.wire.formats import parse_instant

Record = dict[str, Any]
Value = TypeVar("Value")


def job_record(job: Job) -> Record:
    """Every field of a job by name, instants in microseconds since 1970 UTC."""
    return row_of(job)._asdict()


def submission_record(new: NewJob) -> Record:
    """The body of a submission: every field of it by its name outside, JSON as values and instants as text."""
    body: Record = {}
    stored: Mapping[str, Any] = new._asdict()
    for field, value in stored.items():
        if field.endswith("_json"):
            body[field.removesuffix("_json")] = None if value is None else json.loads(value)
        elif field.endswith("_us"):
            body[field.removesuffix("_us") + "_at"] = None if value is None else validation.instant(value).isoformat()
        else:
            body[field] = value
    return body


def job_of(record: Mapping[str, Any]) -> Job:
    """The job of a `job_record`. Unknown fields are ignored."""
    fields = {name: record[name] for name in JobRow._fields if name in record}
    fields["state"] = State(fields["state"])
    for name, kind in (("stop_mode", StopMode), ("stop_outcome", StopOutcome)):
        fields[name] = None if fields[name] is None else kind(fields[name])
    return Job(JobRow(**fields))


def stop_record(result: StopResult) -> Record:
    """The result of a request to stop."""
    expected = result.expected_finish_time
    return {
        "changed": result.changed,
        "job": job_record(result.job),
        "expected_finish_us": None if expected is None else validation.instant_us("expected_finish_time", expected),
    }


def stop_of(record: Mapping[str, Any]) -> StopResult:
    """The result of a `stop_record`."""
    expected = record["expected_finish_us"]
    return StopResult(
        record["changed"], job_of(record["job"]), None if expected is None else validation.instant(expected)
    )


def progress_record(tables: Mapping[str, TableProgress]) -> Record:
    """Progress by table, with the ranges behind gaps."""
    return {
        "tables": {
            name: {
                "files_count": table.files_count,
                "total_size_bytes": table.total_size_bytes,
                "ranges": [list(blocks) for blocks in table.ranges],
            }
            for name, table in tables.items()
        }
    }


def progress_of(record: Mapping[str, Any]) -> dict[str, TableProgress]:
    """The progress of a `progress_record`."""
    return {
        name: TableProgress(
            table["files_count"], table["total_size_bytes"], tuple((first, last) for first, last in table["ranges"])
        )
        for name, table in record["tables"].items()
    }


def event_of(document: Mapping[str, Any]) -> Event:
    """The history entry of a `documents.event_document`."""
    from_state = document["from"]
    return Event(
        id=document["id"],
        job_id=document["job_id"],
        seq=document["seq"],
        at_us=_instant_us(document["created_at"]),
        from_state=None if from_state is None else State(from_state),
        to_state=State(document["to"]),
        trigger=document["event_type"],
        actor=document["actor"],
        reason=document["reason"],
        node=document["node_id"] or None,
        attempt=document["attempt"],
        token=document["token"],
        # Spelled as the store spells it, so that the entry equals the stored one.
        detail_json=json.dumps(document["detail"], ensure_ascii=False) if document["detail"] else None,
    )


def worker_of(document: Mapping[str, Any]) -> WorkerInfo:
    """The worker of a `documents.worker_document`."""
    kinds = document["kinds"]
    return WorkerInfo(
        document["node_id"],
        _instant_us(document["started_at"]),
        _instant_us(document["heartbeat_at"]),
        document["host"],
        document["pid"],
        None if kinds is None else tuple(kinds),
        document["concurrency"],
    )


def record_of(report: Checkpoint | JobMetrics | LogPage | OutputPage) -> Record:
    """Every field of a report by name, instants in microseconds since 1970 UTC."""
    return asdict(report)


def checkpoints_record(found: Slice[Checkpoint]) -> Record:
    """Part of the checkpoints of a job."""
    return {"data": [record_of(checkpoint) for checkpoint in found], "has_more": found.has_more}


def checkpoint_of(record: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of a `record_of`."""
    return _built(Checkpoint, record, status=CheckpointState)


def checkpoints_of(record: Mapping[str, Any]) -> Slice[Checkpoint]:
    """The checkpoints of a `checkpoints_record`."""
    return Slice([checkpoint_of(one) for one in record["data"]], record["has_more"])


def metrics_of(record: Mapping[str, Any]) -> JobMetrics:
    """The metrics of a `record_of`."""
    return _built(JobMetrics, record, operators=_each(_operator_of))


def logs_of(record: Mapping[str, Any]) -> LogPage:
    """The page of a log of a `record_of`."""
    return _built(
        LogPage, record, entries=lambda entries: [_built(LogEntry, entry, level=LogLevel) for entry in entries]
    )


def output_of(record: Mapping[str, Any]) -> OutputPage:
    """The page of output of a `record_of`."""
    return _built(OutputPage, record, rows=lambda rows: [_built(OutputRow, row) for row in rows])


def _operator_of(record: Mapping[str, Any]) -> OperatorMetrics:
    return _built(
        OperatorMetrics,
        record,
        kind=OperatorKind,
        counters=_counters_of,
        subtasks=_each(_subtask_of),
    )


def _subtask_of(record: Mapping[str, Any]) -> SubtaskMetrics:
    return _built(
        SubtaskMetrics, record, kind=OperatorKind, counters=_counters_of, samples=_each(lambda values: Sample(*values))
    )


def _counters_of(values: list[int]) -> Counters:
    return Counters(*values)


def _each(make: Callable[[Any], Value]) -> Callable[[Any], tuple[Value, ...]]:
    return lambda parts: tuple(make(part) for part in parts)


def _built(kind: Callable[..., Value], record: Mapping[str, Any], /, **makers: Callable[[Any], Any]) -> Value:
    """A value of this class with the fields of the record, some built by `makers`. Unknown fields are ignored."""
    known = {field.name: record[field.name] for field in fields(kind) if field.name in record}  # type: ignore[arg-type]
    return kind(**{name: makers[name](value) if name in makers else value for name, value in known.items()})


def _instant_us(text: str) -> int:
    return validation.instant_us("instant", parse_instant("instant", text))
