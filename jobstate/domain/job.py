"""`Job`, what callers see of a job: its fields as Python values, instants as aware datetimes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeVar, cast, final

from jobstate.domain import validation
from jobstate.domain.failure import Failure
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.retry import RetryPolicy
from jobstate.domain.stop import Stop

T = TypeVar("T")

_read_json: Final[Callable[[str], Any]] = json.JSONDecoder().decode
"""As `json.loads`, which first asks for bytes, marks and options."""


def _stored(field: T, doc: str) -> T:
    """The field of the row, as a property of its type there."""
    name = next(name for name in JobRow._fields if getattr(JobRow, name) is field)
    return cast("T", property(attrgetter(f"_row.{name}"), doc=doc))


@final
class Job:
    """A snapshot of a job at the moment of reading: it does not change.

    Two snapshots are equal when everything in them is. `descriptor` and `labels` are read from their JSON at every
    access, so that nobody can change a snapshot.
    """

    __slots__ = ("_row",)

    def __init__(self, row: JobRow) -> None:
        self._row = row

    id = _stored(JobRow.id, "Its number in the store, never given twice.")
    state = _stored(JobRow.state, "Its state in the lifecycle.")
    kind = _stored(JobRow.kind, "What sort of work it is; workers choose by it.")
    node_id = _stored(JobRow.node_id, "The worker that the job is pinned to; empty: any. Never written by a claim.")
    priority = _stored(JobRow.priority, "Lower goes first.")
    key = _stored(JobRow.key, "Unique among live jobs; None: no such key.")
    parallelism = _stored(JobRow.parallelism, "How many tasks it runs with.")
    rescale_to = _stored(JobRow.rescale_to, "How many tasks it was asked to run with instead; None: as now.")
    attempt = _stored(JobRow.attempt, "How often the job was claimed; never falls.")
    failures = _stored(JobRow.failures, "Charged runs in a row.")
    lease_token = _stored(JobRow.lease_token, "The fencing token of the newest lease; it only rises.")
    worker_id = _stored(JobRow.worker_id, "The worker that holds the lease.")
    clean = _stored(JobRow.clean, "Nothing was written since the newest completed checkpoint of this lease.")
    seq = _stored(JobRow.seq, "The number of the job's newest history entry.")
    trigger = _stored(JobRow.trigger, "What caused the newest history entry.")
    actor = _stored(JobRow.actor, "Who caused it.")
    reason = _stored(JobRow.reason, "Why.")
    pipeline_id = _stored(JobRow.pipeline_id, "The pipeline that it is a run of, or None.")
    run_id = _stored(JobRow.run_id, "Its number among the runs of its pipeline, or None.")
    root_id = _stored(
        JobRow.root_id, "The first job of the lineage that restarts made; the job itself where it is the first."
    )
    restarted_from = _stored(JobRow.restarted_from, "The job that it restarts, or None.")
    max_attempts = _stored(JobRow.max_attempts, "How many charged runs it may have.")
    deduplicated = _stored(JobRow.deduplicated, "The submission met a live job with its key, and this is that job.")

    @property
    def descriptor(self) -> dict[str, Any]:
        """What the job is to do, as it was submitted."""
        loaded: dict[str, Any] = _read_json(self._row.descriptor_json)
        return loaded

    @property
    def labels(self) -> dict[str, str]:
        """Free names for filters."""
        loaded: dict[str, str] = json.loads(self._row.labels_json)
        return loaded

    @property
    def detail(self) -> dict[str, Any]:
        """Further facts that the newest history entry records, by name."""
        loaded: dict[str, Any] = json.loads(self._row.detail_json) if self._row.detail_json else {}
        return loaded

    @property
    def retry(self) -> RetryPolicy:
        """How failed runs of this job are retried."""
        return self._row.retry

    @property
    def stop(self) -> Stop | None:
        """The stop that was asked for, or None."""
        return self._row.stop

    @property
    def failure(self) -> Failure | None:
        """Why the job, or its last charged run, failed; None when it never did, or completed after all."""
        return self._row.failure

    @property
    def is_terminal(self) -> bool:
        """Whether the job has ended."""
        return self._row.is_terminal

    @property
    def lease(self) -> Lease:
        """What the holder of the lease names."""
        return self._row.lease

    @property
    def available_at(self) -> datetime:
        """When the job may be claimed at the earliest."""
        return validation.instant(self._row.available_us)

    @property
    def created_at(self) -> datetime:
        """When the job was submitted."""
        return validation.instant(self._row.created_us)

    @property
    def updated_at(self) -> datetime:
        """When the newest history entry was written."""
        return validation.instant(self._row.updated_us)

    @property
    def started_at(self) -> datetime | None:
        """When the job was claimed for the first time."""
        return validation.instant_or_none(self._row.started_us)

    @property
    def finished_at(self) -> datetime | None:
        """When the job ended."""
        return validation.instant_or_none(self._row.finished_us)

    @property
    def lease_expires_at(self) -> datetime | None:
        """When the lease runs out unless its holder heartbeats."""
        return validation.instant_or_none(self._row.lease_expires_us)

    @property
    def claimed_at(self) -> datetime | None:
        """When the current lease began; None while no worker holds the job."""
        return validation.instant_or_none(self._row.claimed_us)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self._row == other._row

    def __hash__(self) -> int:
        return hash(self._row)

    def __repr__(self) -> str:
        return repr(self._row)


def row_of(job: Job) -> JobRow:
    """The row behind a snapshot, for the parts of jobstate that store or send it."""
    return job._row  # noqa: SLF001
