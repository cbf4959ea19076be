"""The documents of the pipeline dialect: those that it answers, and those that it takes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from jobstate.domain import validation
from jobstate.domain.checkpoints import CheckpointState
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.lifecycle import State
from jobstate.domain.operator_actions import Action
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.http.parameters import LONGEST_STOP
from jobstate.http.pipeline.parameters import CheckpointNamed
from jobstate.http.schemas import WHOLE, Exact, Submission, Tasks
from jobstate.wire.instants import instant_in
from jobstate.wire.vocabulary import Dialect, spelling

STOP_SECONDS: Final = 30
"""How long a worker may take to stop, unless the request says otherwise."""
_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""

Milliseconds = Annotated[int, Field(description="Milliseconds since 1970 UTC.")]
_Word = Annotated[str, Field(json_schema_extra={"enum": sorted(set(spelling(Dialect.PIPELINE).values()))})]


class ConfigurationView(Exact):
    """What the job was submitted as."""

    kind: str
    descriptor: dict[str, Any]
    parallelism: int
    max_attempts: int


class StopOfJobView(Exact):
    """The stop that was asked for."""

    mode: StopMode
    deadline: Milliseconds | None
    reason: str | None
    outcome: StopOutcome | None


class CountersView(Exact):
    """What a job has counted: what its sources read and its sinks wrote; errors and warnings of all operators."""

    records_in: int
    records_out: int
    bytes_in: int
    bytes_out: int
    errors: int
    warnings: int


class PipelineJobInList(Exact):
    """A job without its metrics."""

    id: str
    pipeline_id: str | None
    running_desired: bool
    state: _Word
    run_id: int | None
    start_time: Milliseconds | None
    finish_time: Milliseconds | None
    tasks: int
    failure_message: str | None
    created_at: Milliseconds
    lifecycle: State
    allowed_actions: list[Action]
    configuration: ConfigurationView
    stop: StopOfJobView | None
    restarted_from: str | None


class PipelineJob(PipelineJobInList):
    """A job: one run of a pipeline, where it belongs to one. `lifecycle` is its exact state."""

    metrics: CountersView


class PipelineJobs(Exact):
    """Part of a list of jobs."""

    data: list[PipelineJobInList]
    has_more: bool


class OperatorSummary(Exact):
    """How much an operator keeps in a checkpoint, in bytes."""

    operator_id: str
    state_size: int


class SubtaskView(Exact):
    """How much a subtask keeps in a checkpoint, in bytes."""

    subtask_index: int
    state_size: int


class OperatorView(Exact):
    """How much an operator and each of its subtasks keep in a checkpoint, in bytes."""

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
    """A checkpoint, with where it is kept and why it failed."""

    backend: str | None
    location: str | None
    operator_states: list[OperatorView]
    failure: str | None


class CheckpointList(Exact):
    """Part of the checkpoints of a job, newest epoch first."""

    data: list[CheckpointSummary]
    has_more: bool


class StopAnswer(Exact):
    """What a request to stop came to; a job that had ended says when."""

    message: str
    expected_finish_time: Milliseconds | None


class RestartAnswer(Exact):
    """The job that goes on."""

    message: str
    new_job_id: str


class RescaleAnswer(Exact):
    """How many tasks the job has, and how many it is to have."""

    message: str
    tasks: int
    parallelism: int


class _Wish(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class StopWish(_Wish):
    """How to stop."""

    mode: Annotated[StopMode, Field(strict=False)] = Field(default=StopMode.CHECKPOINT, description="How hard.")
    timeout_seconds: Annotated[float, Field(ge=0, le=LONGEST_STOP, allow_inf_nan=False)] = Field(
        default=STOP_SECONDS, description="How long the worker may take."
    )


class RestartWish(_Wish):
    """What to restart from, and as how many tasks."""

    checkpoint_id: CheckpointNamed | None = Field(
        default=None, description="A completed checkpoint of the lineage; left out: the newest one of the job."
    )
    parallelism: Tasks | None = Field(default=None, description="Another number of tasks.")


class RescaleWish(_Wish):
    """How many tasks the job is to run with."""

    parallelism: Tasks


def _instant(value: Any) -> datetime:
    if isinstance(value, str):
        return instant_in("available_at", value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _LATEST_MS:
        raise InvalidRequest(
            "available_at", "must be milliseconds since 1970 UTC, or text such as 2026-01-31T12:00:00Z"
        )
    return validation.instant(value * 1000)


class PipelineSubmission(Submission):
    """A job to be added; see `JobStore.submit`."""

    available_at: (
        Annotated[
            datetime,
            BeforeValidator(_instant),
            Field(strict=False),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "integer", "minimum": 0, "maximum": _LATEST_MS},
                        {"type": "string", "format": "date-time"},
                    ]
                }
            ),
            WHOLE,
        ]
        | None
    ) = Field(default=None, description="Not to be claimed before: milliseconds since 1970 UTC, or RFC 3339.")
