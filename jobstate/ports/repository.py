"""The protocols that a store implements, in terms of the domain.

Every instant is in microseconds since 1970 UTC. Instants, chance and the actor are passed in. A store decides nothing
about jobs: inside a write transaction it passes the job to a decision of `jobstate.domain`, and writes the result. A
method that fails raises the `StoreError` that names the cause, and has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from jobstate.domain.audit import AuditReport, Finding
from jobstate.domain.checkpoints import Checkpoint, CheckpointDetails, Progress
from jobstate.domain.event import Actor, Event
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.leases import Renewal
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogEntry, LogFilter
from jobstate.domain.metrics import SubtaskMetrics
from jobstate.domain.output import OutputRow
from jobstate.domain.progress import TableProgress
from jobstate.domain.report import NOTHING, Report
from jobstate.domain.restart_requests import RestartRequest
from jobstate.domain.submission import NewJob
from jobstate.domain.transitions import Decision
from jobstate.ports.queries import Filter, LogRange, Order, Retention

Decide = Callable[[JobRow], Decision]


class Claimed(NamedTuple):
    """A job that was just claimed, with the checkpoint, progress and metrics that it starts from."""

    job: JobRow
    restored: Checkpoint | None
    progress: Progress
    metrics: Sequence[SubtaskMetrics] = ()


class ExpiryPolicy(NamedTuple):
    """How a call settles the overdue jobs that it finds.

    `by` is the actor, `chance` gives the jitter of retries, and at most `limit` jobs are settled. While `in_grace`
    leases do not expire, because the clock of this process just jumped.
    """

    by: Actor
    chance: Callable[[], float]
    limit: int = 100
    in_grace: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A registered worker. Instants are in microseconds since 1970 UTC."""

    node_id: str
    started_us: int
    heartbeat_us: int
    host: str
    pid: int
    kinds: tuple[str, ...] | None
    concurrency: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk; zero for a store in memory. `log_bytes`: the write-ahead log, not yet moved into the file."""

    file_bytes: int
    log_bytes: int


class Jobs(Protocol):
    """The rows of jobs."""

    def submit(self, new: Sequence[NewJob], now: int, by: Actor) -> list[JobRow]:
        """Add all of them or none, in order; an equal submission with the key of a live job returns that job."""

    def find(self, job_id: int) -> JobRow | None:
        """The job, or None."""

    def page(self, wanted: Filter, limit: int, before: int | None) -> list[JobRow]:
        """At most `limit` jobs with ids below `before`, newest first."""

    def ordered(self, wanted: Filter, order: Order, limit: int, offset: int, before: int | None) -> list[JobRow]:
        """At most `limit` jobs with ids below `before`, sorted, after skipping `offset` of them."""

    def counts(self) -> dict[State, int]:
        """The number of jobs in each state; every state is a key."""

    def change(self, job_id: int, decide: Decide) -> Decision:
        """Call `decide` with the job under the write lock, and write its decision; JobNotFound without a row."""

    def restart(self, job_id: int, wish: RestartRequest, now: int, expiry: ExpiryPolicy, by: Actor) -> JobRow:
        """Settle the job, then add the job that restarts it, with a copy of the checkpoint that it restores."""

    def delete(self, job_id: int, now: int, by: Actor) -> bool:
        """Remove a job that has ended; False without such a job, JobNotTerminal when it is live."""

    def prune(
        self,
        states: frozenset[State],
        finished_before: int | None,
        limit: int,
        now: int,
        by: Actor,
        entries: int | None = None,
    ) -> int:
        """Remove up to `limit` jobs in these terminal states in one transaction, and return how many.

        With `entries`, remove only as many jobs as have at most so many log entries together, but at least one.
        """

    def prunable(self, states: frozenset[State], finished_before: int | None) -> int:
        """How many jobs `prune` would remove in all."""

    def forget_deletions(self, before: int) -> int:
        """Drop the records of deletions made before that instant, and return how many."""


class Leases(Protocol):
    """The leases of workers."""

    def claim(
        self, node_id: str, kinds: Sequence[str] | None, lease: int, limit: int, now: int, expiry: ExpiryPolicy
    ) -> list[Claimed]:
        """Settle overdue jobs, then lease up to `limit` due jobs for `lease` microseconds, in claim order."""

    def renew(self, leases: Sequence[Lease], lease: int, now: int, expiry: ExpiryPolicy) -> list[Renewal]:
        """Renew these leases in one statement and settle overdue jobs; one result per lease, in their order."""

    def look(self, leases: Sequence[Lease]) -> list[Renewal]:
        """What `renew` would return, without writing."""

    def change(self, lease: Lease, decide: Decide, report: Report = NOTHING) -> Decision:
        """As `Jobs.change`, for the holder of the lease: write the report first; LeaseLost for a stale lease."""

    def complete(self, leases: Sequence[Lease], now: int, by: Actor) -> list[Lease]:
        """Complete these runs in one transaction; returns those that it could not, for which `change` has the cause."""

    def settle(self, now: int, expiry: ExpiryPolicy) -> list[JobRow]:
        """Settle up to `expiry.limit` overdue jobs, and return them as they are now."""


class Reports(Protocol):
    """What a worker reports about its job: progress, metrics, logs, output and checkpoints."""

    def record(self, lease: Lease, report: Report) -> None:
        """Write the report, all or nothing; LeaseLost for a stale lease."""

    def progress(self, job_id: int) -> dict[str, TableProgress]:
        """The progress of a job, by table name, in the order of names."""

    def checkpoint(self, lease: Lease, report: Report, details: CheckpointDetails, keep: int, now: int) -> Checkpoint:
        """Begin and complete a checkpoint in one transaction."""

    def begin_checkpoint(self, lease: Lease, report: Report, details: CheckpointDetails, now: int) -> Checkpoint:
        """Write the report, and begin a checkpoint of the state that it leads to."""

    def complete_checkpoint(
        self, lease: Lease, report: Report, number: int, details: CheckpointDetails, keep: int, now: int
    ) -> Checkpoint:
        """Write the report, complete a checkpoint of this lease, and drop all but the newest `keep` completed ones."""

    def fail_checkpoint(self, lease: Lease, number: int, failure: str, keep: int, now: int) -> Checkpoint:
        """Fail a checkpoint of this lease, and drop all but the newest `keep` failed ones."""

    def find_checkpoint(self, job_id: int, number: int) -> Checkpoint | None:
        """A checkpoint of a job, or None."""

    def checkpoints(self, job_id: int, limit: int, offset: int = 0, completed: bool | None = None) -> list[Checkpoint]:
        """The checkpoints of a job, newest epoch first: all of them, the completed ones, or only the others."""


class Telemetry(Protocol):
    """Metrics, logs and output of jobs."""

    def metrics(self, job_id: int) -> list[SubtaskMetrics]:
        """The metrics of the subtasks of a job, by operator, then index."""

    def logs(self, job_id: int, wanted: LogFilter, place: LogRange) -> list[LogEntry]:
        """At most `place.limit` entries of a job, newest first; oldest first where `place.after` is given."""

    def newest_log(self, job_id: int) -> int:
        """The number of the newest entry of a job; 0 before any."""

    def log_extent(self, job_id: int) -> Retention:
        """How many entries a job has written, and how many of them are kept."""

    def output(self, job_id: int, operator_id: str | None, limit: int, offset: int) -> list[OutputRow]:
        """Output rows of one operator, or of all, oldest first."""

    def output_extent(self, job_id: int, operator_id: str | None) -> Retention:
        """How many rows were emitted, and how many of them are kept."""

    def emitted(self, job_id: int) -> dict[str, int]:
        """How many rows each operator has emitted."""


class History(Protocol):
    """The history of jobs."""

    def events(self, job_id: int) -> list[Event]:
        """The whole history of a job, oldest first."""

    def after(self, event_id: int, limit: int, job_id: int | None = None) -> list[Event]:
        """Entries with ids above `event_id`, of the whole store or of one job, oldest first."""

    def newest(self) -> int:
        """The id of the newest entry; 0 before any."""

    def audit(self, report: Callable[[int, int], None] | None = None) -> AuditReport:
        """Compare every row with its history, and check the invariants of the whole file."""

    def check_file(self) -> list[Finding]:
        """What is wrong with the file or its schema, apart from the histories of jobs."""


class Workers(Protocol):
    """Registered workers."""

    def register(self, worker: WorkerInfo) -> None:
        """Register a worker, or refresh its entry."""

    def leave(self, node_id: str, started: int) -> None:
        """Remove the worker that started at that instant."""

    def listed(self) -> list[WorkerInfo]:
        """Every registered worker, by name."""


class Repository(Protocol):
    """A store, in parts."""

    @property
    def jobs(self) -> Jobs:
        """The rows of jobs."""

    @property
    def leases(self) -> Leases:
        """The leases of workers."""

    @property
    def reports(self) -> Reports:
        """What workers report about their jobs."""

    @property
    def telemetry(self) -> Telemetry:
        """Metrics, logs and output of jobs."""

    @property
    def history(self) -> History:
        """The history of jobs."""

    @property
    def workers(self) -> Workers:
        """Registered workers."""

    @property
    def path(self) -> str:
        """The name of the store in messages."""

    def transaction(self, *, relaxed: bool = False) -> AbstractContextManager[Any]:
        """One transaction around the block; an error rolls all of it back.

        Args:
            relaxed: The block writes reports and nothing else: they may reach the disk together with later commits.
        """

    def in_transaction(self) -> bool:
        """Whether the calling thread is inside a transaction, its own or its caller's, that may still be undone."""

    def version(self) -> int:
        """A number that changes whenever another connection may have changed the store; cheap."""

    def schema_version(self) -> int:
        """The version of the schema in the store."""

    def sizes(self) -> Sizes:
        """How large the store is on disk."""

    def close_thread(self) -> None:
        """Close the connection of the calling thread."""

    def backup(self, target: str, report: Callable[[int, int], None] | None = None) -> None:
        """Copy the store to a new file while it is in use; InvalidRequest inside a transaction."""

    def close(self) -> None:
        """Close all connections; later calls raise StoreClosed."""
