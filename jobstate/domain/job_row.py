"""A job as the store keeps it: one row, every field in its stored form. Decisions work on rows."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import NamedTuple

from jobstate.domain import validation
from jobstate.domain.failure import Failure
from jobstate.domain.lifecycle import TERMINAL, State
from jobstate.domain.retry import DEFAULT_RETRY, RetryPolicy
from jobstate.domain.stop import Stop, StopMode, StopOutcome


class Lease(NamedTuple):
    """What a worker names with every write: the job, and the token of its claim."""

    job_id: int
    token: int


class JobRow(NamedTuple):
    """A job in its stored form; callers see a `Job`.

    Instants are microseconds since 1970 UTC (`..._us`), JSON is text (`..._json`). It is a tuple because every claim
    makes one, and a tuple of so many fields is made several times faster than an object.
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
    def retry(self) -> RetryPolicy:
        """How failed runs of this job are retried."""
        return DEFAULT_RETRY if self.retry_json is None else _retry_policy(self.retry_json)

    @property
    def stop(self) -> Stop | None:
        """The stop that was asked for, or None."""
        if self.stop_mode is None:
            return None
        return Stop(
            self.stop_mode, validation.instant_or_none(self.stop_deadline_us), self.stop_reason, self.stop_outcome
        )

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

    def as_duplicate(self) -> JobRow:
        """This job, as the answer to a submission that met it."""
        return self._replace(deduplicated=True)

    def __repr__(self) -> str:
        holder = f" on {self.worker_id}" if self.worker_id else ""
        return f"<Job {self.id} {self.kind} {self.state}{holder}, attempt {self.attempt}>"


@lru_cache(maxsize=256)
def _retry_policy(stored: str) -> RetryPolicy:
    return RetryPolicy.from_json(json.loads(stored))
