"""The job as a value, and what stands beside it: who acts, what a submission holds, what the history records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from jobstate.domain import validation
from jobstate.domain.failure import Failure
from jobstate.domain.lifecycle import TERMINAL, State
from jobstate.domain.retry import DEFAULT_RETRY, RetryPolicy


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


class Actor(NamedTuple):
    """Who acts, and why."""

    name: str
    reason: str | None = None

    def overridden(self, actor: str | None, reason: str | None) -> Actor:
        """Whoever is named here, for what is said here; where it is None, as before."""
        if actor is None and reason is None:
            return self
        return Actor(
            self.name if actor is None else validation.text("actor", actor),
            self.reason if reason is None else validation.reason(reason),
        )


class Lease(NamedTuple):
    """What a worker names with every write: the job, and the token of its claim."""

    job_id: int
    token: int


_read_json: Final[Callable[[str], Any]] = json.JSONDecoder().decode
"""As `json.loads`, which first asks for bytes, marks and options."""


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


class Job(NamedTuple):
    """A job as it stood when it was read: a snapshot that does not change.

    Instants are stored as microseconds since 1970 UTC (`…_us`) and read as aware datetimes (`created_at` and so on).
    `descriptor` and `labels` are read from their JSON at every access, so that nobody can change a snapshot. It is a
    tuple because one is made at every claim, and a tuple of so many fields is made several times faster than an object.
    """

    id: int
    state: State
    kind: str
    node_id: str
    """The worker that the job is pinned to; empty: any. Never written by a claim."""
    priority: int
    """Lower goes first."""
    available_us: int
    key: str | None
    parallelism: int
    rescale_to: int | None
    attempt: int
    """How often the job was claimed; never falls."""
    failures: int
    """Charged runs in a row."""
    lease_token: int
    worker_id: str | None
    """The worker that holds the lease."""
    lease_expires_us: int | None
    claimed_us: int | None
    clean: bool
    """Nothing was written since the newest completed checkpoint of this lease."""
    stop_mode: StopMode | None
    stop_deadline_us: int | None
    stop_reason: str | None
    stop_outcome: StopOutcome | None
    failure_json: str | None
    created_us: int
    updated_us: int
    started_us: int | None
    finished_us: int | None
    seq: int
    """The number of the job's newest history entry."""
    trigger: str
    actor: str
    reason: str | None
    detail_json: str | None
    pipeline_id: str | None
    run_id: int | None
    root_id: int
    """The first job of the lineage that restarts made; the job itself where it is the first."""
    restarted_from: int | None
    max_attempts: int
    retry_json: str | None
    labels_json: str
    descriptor_json: str
    deduplicated: bool = False
    """The submission met a live job with its key, and this is that job."""

    @property
    def descriptor(self) -> dict[str, Any]:
        """What the job is to do, as it was submitted."""
        loaded: dict[str, Any] = _read_json(self.descriptor_json)
        return loaded

    @property
    def labels(self) -> dict[str, str]:
        """Free names for filters."""
        loaded: dict[str, str] = json.loads(self.labels_json)
        return loaded

    @property
    def retry(self) -> RetryPolicy:
        """How failed runs of this job are retried."""
        return DEFAULT_RETRY if self.retry_json is None else _retry_policy(self.retry_json)

    @property
    def stop(self) -> Stop | None:
        """The stop that was asked for, or None."""
        if self.stop_mode is None:
            return None
        return Stop(self.stop_mode, _instant(self.stop_deadline_us), self.stop_reason, self.stop_outcome)

    @property
    def failure(self) -> Failure | None:
        """Why the job, or its last charged run, failed; None when it never did, or completed after all."""
        return None if self.failure_json is None else Failure.from_json(self.failure_json)

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self.state in TERMINAL

    @property
    def lease(self) -> Lease:
        """What the holder of the lease names."""
        return Lease(self.id, self.lease_token)

    @property
    def available_at(self) -> datetime:
        """When the job may be claimed at the earliest."""
        return validation.instant(self.available_us)

    @property
    def created_at(self) -> datetime:
        """When the job was submitted."""
        return validation.instant(self.created_us)

    @property
    def updated_at(self) -> datetime:
        """When the newest history entry was written."""
        return validation.instant(self.updated_us)

    @property
    def started_at(self) -> datetime | None:
        """When the job was claimed for the first time."""
        return _instant(self.started_us)

    @property
    def finished_at(self) -> datetime | None:
        """When the job ended."""
        return _instant(self.finished_us)

    @property
    def lease_expires_at(self) -> datetime | None:
        """When the lease runs out unless its holder heartbeats."""
        return _instant(self.lease_expires_us)

    def as_duplicate(self) -> Job:
        """This job, as the answer to a submission that met it."""
        return self._replace(deduplicated=True)

    def __repr__(self) -> str:
        holder = f" on {self.worker_id}" if self.worker_id else ""
        return f"<Job {self.id} {self.kind} {self.state}{holder}, attempt {self.attempt}>"


def _instant(stored_us: int | None) -> datetime | None:
    return None if stored_us is None else validation.instant(stored_us)


@lru_cache(maxsize=256)
def _retry_policy(stored: str) -> RetryPolicy:
    return RetryPolicy.from_json(json.loads(stored))


class NewJob(NamedTuple):
    """A checked submission, every field in its stored form."""

    kind: str
    descriptor_json: str = "{}"
    node_id: str = ""
    key: str | None = None
    pipeline_id: str | None = None
    labels_json: str = "{}"
    priority: int = 0
    available_us: int | None = None
    """None: at once."""
    hold: bool = False
    parallelism: int = 1
    max_attempts: int = 3
    retry_json: str | None = None

    @property
    def state(self) -> State:
        """The state the job is born in."""
        return State.CREATED if self.hold else State.SCHEDULED


SUBMIT: Final = "submit"
"""What stands as the trigger of a job's first history entry."""
SWEEPER: Final = "sweep:"
"""How the actor of what is settled begins in the history; the name of who met it follows."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a job's history: a change of state, or a note (`from_state` = `to_state`).

    `id` grows through the whole store and is the cursor of `watch`; `seq` counts within the job, from 1, without gaps.
    """

    id: int
    job_id: int
    seq: int
    at_us: int
    from_state: State | None
    to_state: State
    trigger: str
    actor: str
    reason: str | None
    node: str | None
    attempt: int
    token: int
    detail_json: str | None

    @property
    def at(self) -> datetime:
        """When it happened."""
        return validation.instant(self.at_us)

    @property
    def detail(self) -> dict[str, Any]:
        """What else is recorded with it."""
        loaded: dict[str, Any] = json.loads(self.detail_json) if self.detail_json else {}
        return loaded

    @property
    def is_note(self) -> bool:
        """Whether the state stayed as it was."""
        return self.from_state == self.to_state


TRACE_CONTEXT_KEY: Final = "otel"
"""Where in a descriptor the context of its submitter may be, for traces; it is no part of what the job is to do."""


def same_submission(job: Job, new: NewJob) -> str | None:
    """None when `new` is the live job that holds its key, else how the two differ."""
    if job.stop_mode is not None:
        return "a stop is pending"
    if job.kind != new.kind:
        return f"its kind is {job.kind!r}"
    if job.descriptor_json != new.descriptor_json and _differ(job.descriptor_json, new.descriptor_json):
        return "its descriptor differs"
    return None


def _differ(left: str, right: str) -> bool:
    read: Callable[[str], dict[str, Any]] = json.loads
    ours, theirs = ({**read(text), TRACE_CONTEXT_KEY: None} for text in (left, right))
    return validation.canonical(ours) != validation.canonical(theirs)
