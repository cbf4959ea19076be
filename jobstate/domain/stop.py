"""A stop as a value: how hard it is, and how the job came to its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

DEFAULT_STOP_TIMEOUT: Final = 300.0
"""Seconds a worker may take to stop a job, unless the store or the request says otherwise."""


class StopMode(StrEnum):
    """How hard a stop is, in rising severity."""

    CHECKPOINT = "checkpoint"
    """The worker writes its last checkpoint, then stops."""
    IMMEDIATE = "immediate"
    """The worker stops without a checkpoint."""
    FORCE = "force"
    """The job is stopped at once; the worker is fenced."""


SEVERITY: Final = tuple(StopMode)


class StopOutcome(StrEnum):
    """How a stopped job came to its end."""

    NEVER_STARTED = "never_started"
    BETWEEN_RUNS = "between_runs"
    CHECKPOINTED = "checkpointed"
    """Clean: nothing was written since the newest completed checkpoint of that lease."""
    NO_CHECKPOINT = "no_checkpoint"
    IMMEDIATE = "immediate"
    FORCED = "forced"
    TIMED_OUT = "timed_out"
    WORKER_FAILED = "worker_failed"
    WORKER_LOST = "worker_lost"


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that was asked for.

    Attributes:
        mode: How hard.
        deadline: When it is over at the latest; None where the job stopped at once.
        reason: The first requester's reason.
        outcome: How it ended; None while it is under way, and where the job completed or failed instead.
    """

    mode: StopMode
    deadline: datetime | None
    reason: str | None
    outcome: StopOutcome | None
