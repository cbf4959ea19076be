"""The documents of the pipeline dialect, as models: `/openapi.json` describes the answers with them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, create_model

from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.domain.logs import LogLevel
from jobstate.domain.metrics import OperatorKind
from jobstate.domain.stop import Stop, StopMode, StopOutcome
from jobstate.http.documents import Exact, job_model
from jobstate.wire import job_fields
from jobstate.wire.job_fields import CONFIGURATION, PIPELINE
from jobstate.wire.states import Dialect, spelling

Milliseconds = Annotated[int, Field(description="Milliseconds since 1970 UTC.")]
_Word = Annotated[str, Field(json_schema_extra={"enum": sorted(set(spelling(Dialect.PIPELINE).values()))})]
Latency = Annotated[float | None, Field(description="Milliseconds; null before the first report.")]
PerSecond = Annotated[float, Field(description="Records per second, over the last reports.")]
Backpressure = Annotated[
    float, Field(ge=0, le=1, description="The share of the time that it waits for the next operator.")
]
Percent = Annotated[float, Field(ge=0, le=100)]


ConfigurationView: Final = job_model("ConfigurationView", CONFIGURATION, {}, "What the job was submitted as.")


class StopOfJobView(Exact):
    """The request to stop a job."""

    mode: StopMode
    deadline: Milliseconds | None
    reason: str | None
    outcome: StopOutcome | None


class CountersView(Exact):
    """The counters of a job: what its sources read and its sinks wrote; errors and warnings of all operators."""

    records_in: int
    records_out: int
    bytes_in: int
    bytes_out: int
    errors: int
    warnings: int


_MODELS: Final = {
    job_fields.Milliseconds: Milliseconds,
    job_fields.Status: _Word,
    job_fields.Configuration: ConfigurationView,
    Stop: StopOfJobView,
}
PipelineJobInList: Final = job_model("PipelineJobInList", PIPELINE, _MODELS, "A job without its metrics.")
PipelineJob: Final[Any] = create_model(
    "PipelineJob",
    __base__=PipelineJobInList,
    __doc__="A job: one run of a pipeline, where it belongs to one. `lifecycle` is its exact state.",
    metrics=(CountersView, ...),
)


class PipelineJobs(Exact):
    """Part of a list of jobs."""

    data: list[PipelineJobInList]  # type: ignore[valid-type]  # made from the table of fields
    has_more: bool


class OperatorSummary(Exact):
    """The size of the state of an operator in a checkpoint, in bytes."""

    operator_id: str
    state_size: int


class SubtaskView(Exact):
    """The size of the state of a subtask in a checkpoint, in bytes."""

    subtask_index: int
    state_size: int


class OperatorView(Exact):
    """The size of the state of an operator and of each of its subtasks in a checkpoint, in bytes."""

    operator_id: str
    operator_name: str | None
    state_size: int
    subtask_states: list[SubtaskView]


class _Checkpoint(Exact):
    id: str
    job_id: str
    epoch: int
    start_time: Milliseconds
    finish_time: Milliseconds | None
    state: CheckpointState
    size_bytes: int


class CheckpointSummary(_Checkpoint):
    """A checkpoint."""

    operator_states: list[OperatorSummary]


class CheckpointView(_Checkpoint):
    """A checkpoint, with its location and the reason of its failure."""

    backend: str | None
    location: str | None
    operator_states: list[OperatorView]
    failure: str | None


class CheckpointList(Exact):
    """Part of the checkpoints of a job, newest epoch first."""

    data: list[CheckpointSummary]
    has_more: bool


class StopAnswer(Exact):
    """The result of a request to stop, with the latest time of the end; for a job that had ended, its end."""

    message: str
    expected_finish_time: Milliseconds | None


class RestartAnswer(Exact):
    """The new job that restarts the old one."""

    message: str
    new_job_id: str


class RescaleAnswer(Exact):
    """The number of tasks that the job has, and the requested number."""

    message: str
    tasks: int
    parallelism: int


class OperatorSummaryView(CountersView):
    """The metrics of one operator."""

    operator_id: str
    operator_name: str | None
    kind: OperatorKind
    subtasks: int
    throughput: PerSecond
    backpressure: Backpressure
    idle_time_percent: Percent


class MetricsView(CountersView):
    """The metrics of a job, over all its runs."""

    latency_p50: Latency
    latency_p95: Latency
    latency_p99: Latency
    throughput: PerSecond
    backpressure: Backpressure
    operators: list[OperatorSummaryView]


class OperatorTotalsView(CountersView):
    """The metrics of the subtasks of an operator together."""

    backpressure: Backpressure
    idle_time_percent: Percent
    throughput: PerSecond
    latency_p50: Latency
    latency_p95: Latency
    latency_p99: Latency


class SubtaskMetricsView(CountersView):
    """The metrics of one subtask of an operator."""

    subtask_index: int
    backpressure: Backpressure


class OperatorMetricsView(Exact):
    """The metrics of one operator, and of each of its subtasks."""

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
    record: Annotated[str | None, Field(description="The record that the entry is about, as text.")]


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
    total: Annotated[int, Field(description="How many entries the job wrote to its log.")]
    retained: Annotated[int, Field(description="How many of them the store keeps.")]


class LogList(_Entries):
    """Entries of the log of a job."""

    data: list[LogView]


class ErrorList(_Entries):
    """Warnings and errors of a job, newest first."""

    data: list[ErrorView]


class RowView(Exact):
    """An output row of an operator."""

    timestamp: Milliseconds
    operator_id: str
    record: Any


class OutputView(Exact):
    """Output rows in the order of writing."""

    data: list[RowView]
    operator_id: Annotated[str | None, Field(description="The operator that the request names.")]
    total_records: Annotated[int, Field(description="How many rows the job wrote.")]
    retained: Annotated[int, Field(description="How many of them the store keeps.")]
    has_more: bool


class CheckpointRecords(Exact):
    """Part of the checkpoints of a job, whole, as the store keeps them."""

    data: list[Checkpoint]
    has_more: bool
