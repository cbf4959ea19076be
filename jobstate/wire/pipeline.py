"""Values as JSON in the pipeline dialect: the fields of the documents that they come from first, then ours.

Ids are texts such as `job_7` and `chk_3`, instants are milliseconds since 1970 UTC. All keys are always present;
only that jobs in lists have no `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import LEASED, LIVE, STOP_PENDING, State
from jobstate.domain.metrics import Counters
from jobstate.domain.operator_actions import allowed_actions
from jobstate.domain.stop import Stop, StopOutcome
from jobstate.domain.stop_requests import StopResult
from jobstate.ports.queries import Slice
from jobstate.wire.states import Dialect, spelled
from jobstate.wire.text import milliseconds

Document = dict[str, Any]

JOB: Final = "job_"
CHECKPOINT: Final = "chk_"
RUNNING: Final = LEASED - STOP_PENDING
"""A worker has the job, and is to go on with it."""
SORT_FIELDS: Final[Mapping[str, str]] = {
    "created_at": "created_at",
    "start_time": "started_at",
    "finish_time": "finished_at",
    "state": "state",
    "run_id": "run_id",
}
"""What the store calls the fields that jobs can be sorted by."""
_DIRECTIONS: Final = {"asc": "", "desc": "-"}
_FIELDS: Final = "|".join(SORT_FIELDS)
SORT_PATTERN: Final = f"^(-?({_FIELDS})|({_FIELDS}):({'|'.join(_DIRECTIONS)}))$"


def job_name(job_id: int) -> str:
    """The id of a job as this dialect writes it."""
    return f"{JOB}{job_id}"


def parse_sort(text: str) -> str:
    """An order of jobs, `field`, `-field`, `field:asc` or `field:desc`, as `JobStore.ordered` takes it."""
    field, colon, direction = text.partition(":")
    falling = _DIRECTIONS.get(direction) if colon else "-" if field.startswith("-") else ""
    stored = SORT_FIELDS.get(field if colon else field.removeprefix("-"))
    if stored is None or falling is None:
        raise InvalidRequest("sort", f"must be FIELD, -FIELD or FIELD:desc, of {', '.join(SORT_FIELDS)}; not {text!r}")
    return falling + stored


def job_document(job: Job, counted: Counters | None = None) -> Document:
    """A job, with what it has counted; without `metrics` where that is not given, as in lists."""
    measured = {} if counted is None else {"metrics": counted._asdict()}
    return {
        "id": job_name(job.id),
        "pipeline_id": job.pipeline_id,
        "running_desired": job.state in LIVE - STOP_PENDING,
        "state": spelled(job.state, Dialect.PIPELINE),
        "run_id": job.run_id,
        "start_time": milliseconds(job.started_at),
        "finish_time": milliseconds(job.finished_at),
        "tasks": job.parallelism,
        "failure_message": _failure_message(job),
        "created_at": milliseconds(job.created_at),
        **measured,
        "lifecycle": job.state.value,
        "allowed_actions": [action.value for action in allowed_actions(job.state)],
        "configuration": {
            "kind": job.kind,
            "descriptor": job.descriptor,
            "parallelism": job.parallelism,
            "max_attempts": job.max_attempts,
        },
        "stop": None if job.stop is None else _stop_document(job.stop),
        "restarted_from": None if job.restarted_from is None else job_name(job.restarted_from),
    }


def jobs_document(found: Slice[Job]) -> Document:
    """Part of a list of jobs."""
    return {"data": [job_document(job) for job in found], "has_more": found.has_more}


def checkpoints_document(found: Slice[Checkpoint]) -> Document:
    """Part of the checkpoints of a job."""
    return {"data": [_checkpoint_summary(checkpoint) for checkpoint in found], "has_more": found.has_more}


def checkpoint_document(checkpoint: Checkpoint) -> Document:
    """A checkpoint with where it is kept, and what each subtask keeps in it."""
    return {
        **_checkpoint_head(checkpoint),
        "backend": checkpoint.backend,
        "location": checkpoint.location,
        "operator_states": [
            {
                "operator_id": operator.operator_id,
                "operator_name": operator.operator_name,
                "state_size": operator.state_size,
                "subtask_states": [
                    {"subtask_index": index, "state_size": size} for index, size in operator.subtasks.items()
                ],
            }
            for operator in checkpoint.operator_states
        ],
        "failure": checkpoint.failure,
    }


def stop_document(result: StopResult) -> Document:
    """What a request to stop came to, and when the job has ended at the latest, or did."""
    ended_before = result.job.is_terminal and not result.changed
    state = spelled(result.job.state, Dialect.PIPELINE).lower()
    return {
        "message": f"Job already {state}" if ended_before else "Job stop initiated",
        "expected_finish_time": milliseconds(result.expected_finish_time),
    }


def restart_document(restarted: Job) -> Document:
    """The job that restarts another one."""
    return {"message": "Job restarted", "new_job_id": job_name(restarted.id)}


def rescale_document(job: Job) -> Document:
    """What a request for another parallelism came to: how many tasks the job has, and how many it is to have."""
    asked = job.rescale_to is not None
    return {
        "message": "Job rescale initiated" if asked else "Job parallelism set",
        "tasks": job.parallelism,
        "parallelism": job.rescale_to if asked else job.parallelism,
    }


def _failure_message(job: Job) -> str | None:
    """Why it failed, also while it waits for its next attempt; not why a run failed that another one followed."""
    failed = job.state in (State.FAILED, State.RECOVERING) or (
        job.stop is not None and job.stop.outcome is StopOutcome.WORKER_FAILED
    )
    return job.failure.message if failed and job.failure is not None else None


def _stop_document(stop: Stop) -> Document:
    return {
        "mode": stop.mode.value,
        "deadline": milliseconds(stop.deadline),
        "reason": stop.reason,
        "outcome": None if stop.outcome is None else stop.outcome.value,
    }


def _checkpoint_head(checkpoint: Checkpoint) -> Document:
    return {
        "id": checkpoint.id,
        "job_id": job_name(checkpoint.job_id),
        "epoch": checkpoint.epoch,
        "start_time": milliseconds(checkpoint.start_time),
        "finish_time": milliseconds(checkpoint.finish_time),
        "state": checkpoint.status.value,
        "size_bytes": checkpoint.size_bytes,
    }


def _checkpoint_summary(checkpoint: Checkpoint) -> Document:
    return {
        **_checkpoint_head(checkpoint),
        "operator_states": [
            {"operator_id": operator.operator_id, "state_size": operator.state_size}
            for operator in checkpoint.operator_states
        ],
    }
