"""The documents of metrics, logs, errors and output."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.logs import LogLevel
from jobstate.domain.metrics import OperatorKind
from jobstate.http.pipeline.schemas import CountersView, Milliseconds
from jobstate.http.schemas import Exact

Latency = Annotated[float | None, Field(description="Milliseconds; null before any was reported.")]
PerSecond = Annotated[float, Field(description="Records per second, over the last reports.")]
Backpressure = Annotated[float, Field(ge=0, le=1, description="How much of the time it is held up.")]
Percent = Annotated[float, Field(ge=0, le=100)]


class OperatorSummaryView(CountersView):
    """What one operator has counted."""

    operator_id: str
    operator_name: str | None
    kind: OperatorKind
    subtasks: int
    throughput: PerSecond
    backpressure: Backpressure
    idle_time_percent: Percent


class MetricsView(CountersView):
    """What a job has counted, over all its runs."""

    latency_p50: Latency
    latency_p95: Latency
    latency_p99: Latency
    throughput: PerSecond
    backpressure: Backpressure
    operators: list[OperatorSummaryView]


class OperatorTotalsView(CountersView):
    """What the subtasks of an operator have counted together."""

    backpressure: Backpressure
    idle_time_percent: Percent
    throughput: PerSecond
    latency_p50: Latency
    latency_p95: Latency
    latency_p99: Latency


class SubtaskMetricsView(CountersView):
    """What one subtask of an operator has counted."""

    subtask_index: int
    backpressure: Backpressure


class OperatorMetricsView(Exact):
    """What one operator has counted, and each of its subtasks."""

    operator_id: str
    operator_name: str | None
    kind: OperatorKind
    subtasks: int
    metrics: OperatorTotalsView
    subtask_metrics: list[SubtaskMetricsView]


class GroupView(Exact):
    """Operators of one kind together."""

    total_records: int
    throughput: PerSecond
    operators: list[str]


class GroupsView(Exact):
    """Sources: what they read. Sinks: what they wrote. Transforms: the most that one wrote."""

    sources: GroupView
    sinks: GroupView
    transforms: GroupView


class _EntryView(Exact):
    id: str
    timestamp: Milliseconds
    operator_id: str | None
    task_index: int | None
    message: str
    record: Annotated[str | None, Field(description="The record that it is about, as text.")]


class LogView(_EntryView):
    """An entry of the log of a job."""

    level: LogLevel
    details: dict[str, Any] | None


class ErrorView(_EntryView):
    """A warning or an error of a job."""

    level: Literal["error", "warning"]
    details: Annotated[str | None, Field(description="What went wrong, such as a traceback; an object is JSON.")]


class _Entries(Exact):
    has_more: bool
    total: Annotated[int, Field(description="How many entries the job has written to its log in all.")]
    retained: Annotated[int, Field(description="How many of those are kept.")]


class LogList(_Entries):
    """Entries of the log of a job."""

    data: list[LogView]


class ErrorList(_Entries):
    """Warnings and errors of a job, newest first."""

    data: list[ErrorView]


class RowView(Exact):
    """What an operator emitted."""

    timestamp: Milliseconds
    operator_id: str
    record: Any


class OutputView(Exact):
    """Rows in the order of their emission."""

    data: list[RowView]
    operator_id: Annotated[str | None, Field(description="The operator that was asked for.")]
    total_records: Annotated[int, Field(description="How many rows were emitted in all.")]
    retained: Annotated[int, Field(description="How many of those are kept.")]
    has_more: bool


class CheckpointRecords(Exact):
    """Part of the checkpoints of a job, whole, as they are stored."""

    data: list[Checkpoint]
    has_more: bool
