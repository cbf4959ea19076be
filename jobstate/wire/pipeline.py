"""Values as JSON in the pipeline dialect: first the fields of the published documents, then our own.

Ids are texts such as `job_7` and `chk_3`, instants are milliseconds since 1970 UTC. All keys are always present,
except that jobs in lists have no `metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from jobstate.core.arguments import SortWord
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import LEASED, STOP_PENDING
from jobstate.domain.metrics import Counters
from jobstate.domain.stop_requests import StopResult
from jobstate.ports.queries import Slice
from jobstate.wire.formats import milliseconds
from jobstate.wire.job_fields import PIPELINE_OWN, PIPELINE_PUBLISHED, document, job_name
from jobstate.wire.states import Dialect, spelled

Document = dict[str, Any]

CHECKPOINT: Final = "chk_"
RUNNING: Final = LEASED - STOP_PENDING
"""A worker holds the job, and nobody asked it to stop."""
SORT_FIELDS: Final[Mapping[str, str]] = {
    "created_at": "created_at",
    "start_time": "started_at",
    "finish_time": "finished_at",
    "state": "state",
    "run_id": "run_id",
}
"""The sort fields of this dialect, with the names that the store has for them."""
_DIRECTIONS: Final = {"asc": "", "desc": "-"}
_FIELDS: Final = "|".join(SORT_FIELDS)
SORT_PATTERN: Final = f"^(-?({_FIELDS})|({_FIELDS}):({'|'.join(_DIRECTIONS)}))$"


def parse_sort(text: str) -> SortWord:
    """An order of jobs, `field`, `-field`, `field:asc` or `field:desc`, as `JobStore.ordered` takes it."""
    field, colon, direction = text.partition(":")
    falling = _DIRECTIONS.get(direction) if colon else "-" if field.startswith("-") else ""
    stored = SORT_FIELDS.get(field if colon else field.removeprefix("-"))
    if stored is None or falling is None:
        raise InvalidRequest("sort", f"must be FIELD, -FIELD or FIELD:desc, of {', '.join(SORT_FIELDS)}; not {text!r}")
    return cast("SortWord", falling + stored)


def job_document(job: Job, metrics: Counters | None = None) -> Document:
    """A job: the `PIPELINE` fields of `jobstate.wire.job_fields`, and `metrics` unless they are None, as in lists."""
    measured = {} if metrics is None else {"metrics": metrics._asdict()}
    published, own = (document(fields, job, Dialect.PIPELINE) for fields in (PIPELINE_PUBLISHED, PIPELINE_OWN))
    return {**published, **measured, **own}


def jobs_document(found: Slice[Job]) -> Document:
    """Part of a list of jobs."""
    return {"data": [job_document(job) for job in found], "has_more": found.has_more}


def checkpoints_document(found: Slice[Checkpoint]) -> Document:
    """Part of the checkpoints of a job."""
    return {"data": [_checkpoint_summary(checkpoint) for checkpoint in found], "has_more": found.has_more}


def checkpoint_document(checkpoint: Checkpoint) -> Document:
    """A checkpoint with its location, and the size of the state of each subtask."""
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
    """The result of a request to stop, with the latest time of the end, or the end of a job that had ended."""
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
    """The result of a request for another parallelism: the present and the requested number of tasks."""
    asked = job.rescale_to is not None
    return {
        "message": "Job rescale initiated" if asked else "Job parallelism set",
        "tasks": job.parallelism,
        "parallelism": job.rescale_to if asked else job.parallelism,
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
