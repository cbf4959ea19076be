"""Restart requests: a new job continues a failed or stopped one from a checkpoint. The old job stays as it is."""

from __future__ import annotations

from typing import Final, NamedTuple

from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.domain.errors import RestartNotAllowed
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.submission import NewJob

RESTARTABLE: Final = frozenset({State.FAILED, State.STOPPED})
"""A completed job has nothing left to do."""

_OF_THE_MOMENT: Final = frozenset({"available_us", "hold"})
"""Fields of a submission that a restart does not take along: it is due at once, in the queue."""
_CARRIED: Final = tuple(field for field in NewJob._fields if field not in _OF_THE_MOMENT)


class RestartRequest(NamedTuple):
    """The options of a restart."""

    checkpoint: int | None = None
    """The number of the checkpoint to restore; None: the newest completed one, or none at all."""
    parallelism: int | None = None
    """Another number of tasks; None: as before."""


def check_restartable(job: JobRow, successor: int | None) -> None:
    """Raise RestartNotAllowed unless the job failed or was stopped, and no live job restarts it already.

    Args:
        successor: The id of the live job that restarts it, or None.
    """
    if job.state not in RESTARTABLE:
        why = "it completed and has nothing left to do" if job.is_terminal else "it is live; stop it first"
        raise RestartNotAllowed(job.id, job.state, why)
    if successor is not None:
        raise RestartNotAllowed(job.id, job.state, f"job {successor} restarts it already and is live")


def check_restorable(job: JobRow, checkpoint: Checkpoint) -> None:
    """Raise RestartNotAllowed for a checkpoint that was not completed."""
    if checkpoint.status is not CheckpointState.COMPLETED:
        raise RestartNotAllowed(job.id, job.state, f"checkpoint {checkpoint.id} is {checkpoint.status}, not completed")


def successor(job: JobRow, request: RestartRequest) -> NewJob:
    """The submission that continues the job: the same request, due at once."""
    carried = NewJob(**{field: getattr(job, field) for field in _CARRIED})
    return carried if request.parallelism is None else carried._replace(parallelism=request.parallelism)
