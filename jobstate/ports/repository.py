"""The port: what the rest of jobstate asks of a store, in words of the domain.

Every instant is microseconds since 1970 UTC and passed in, as are chance and the name of who acts. A store decides
nothing about jobs: it hands the job to a decision of `jobstate.domain` inside a write transaction, and writes what
that returns. Every method raises the `StoreError` that says what kept it from its work; then nothing was changed.
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
    """A job whose lease was just taken, and what it starts from."""

    job: JobRow
    restored: Checkpoint | None
    progress: Progress
    metrics: Sequence[SubtaskMetrics] = ()


class ExpiryPolicy(NamedTuple):
    """How overdue jobs that a call meets are settled.

    `by` acts, `chance` chooses the jitter of retries, at most `limit` jobs are settled. While `in_grace`, holders are
    left alone: the clock of this process just jumped.
    """

    by: Actor
    chance: Callable[[], float]
    limit: int = 100
    in_grace: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker that said it is there. Instants are microseconds since 1970 UTC."""

    node_id: str
    started_us: int
    heartbeat_us: int
    host: str
    pid: int
    kinds: tuple[str, ...] | None
    concurrency: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes on disk; zero for a store in memory. `log_bytes` is what waits to be moved into the file."""

    file_bytes: int
    log_bytes: int


class Jobs(Protocol):
    """The rows of jobs."""

    def submit(self, new: Sequence[NewJob], now: int, by: Actor) -> list[JobRow]:
        """Add all of them or none, in order; a live job that holds a key stands in for its equal submission."""

    def find(self, job_id: int) -> JobRow | None:
        """The job as it stands, or None."""

    def page(self, wanted: Filter, limit: int, before: int | None) -> list[JobRow]:
        """At most `limit` jobs with ids below `before`, newest first."""

    def ordered(self, wanted: Filter, order: Order, limit: int, offset: int, before: int | None) -> list[JobRow]:
        """At most `limit` jobs with ids below `before`, sorted, from place `offset` on."""

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state; every state is there."""

    def change(self, job_id: int, decide: Decide) -> Decision:
        """Let `decide` judge the job under the write lock and write what it decided; JobNotFound without a row."""

    def restart(self, job_id: int, wish: RestartRequest, now: int, expiry: ExpiryPolicy, by: Actor) -> JobRow:
        """Settle the job, then add the one that restarts it, with a copy of the checkpoint that it restores."""

    def delete(self, job_id: int, now: int, by: Actor) -> bool:
        """Remove a job that has ended; False when there is none, JobNotTerminal when it is live."""

    def prune(
        self,
        states: frozenset[State],
        finished_before: int | None,
        limit: int,
        now: int,
        by: Actor,
        entries: int | None = None,
    ) -> int:
        """Remove up to `limit` jobs in these terminal states in one transaction; how many.

        With `entries`, no more jobs than have so many log entries together, but one.
        """

    def prunable(self, states: frozenset[State], finished_before: int | None) -> int:
        """How many jobs such a prune would remove in all."""

    def forget_deletions(self, before: int) -> int:
        """Drop the records of deletions made before that instant; how many."""


class Leases(Protocol):
    """What workers hold."""

    def claim(
        self, node_id: str, kinds: Sequence[str] | None, lease: int, limit: int, now: int, expiry: ExpiryPolicy
    ) -> list[Claimed]:
        """Settle what is overdue, then lease up to `limit` due jobs for `lease` microseconds, in claim order."""

    def renew(self, leases: Sequence[Lease], lease: int, now: int, expiry: ExpiryPolicy) -> list[Renewal]:
        """Prolong these leases by one statement and settle what is overdue; one answer a lease, in their order."""

    def look(self, leases: Sequence[Lease]) -> list[Renewal]:
        """What `renew` would answer, without writing."""

    def change(self, lease: Lease, decide: Decide, report: Report = NOTHING) -> Decision:
        """As `Jobs.change`, for the holder: the report is written first, if the lease still stands; else LeaseLost."""

    def complete(self, leases: Sequence[Lease], now: int, by: Actor) -> list[Lease]:
        """Complete these runs in one transaction; those that could not be, which `change` can say more about."""

    def settle(self, now: int, expiry: ExpiryPolicy) -> list[JobRow]:
        """Settle up to `expiry.limit` overdue jobs; the jobs that were, as they are now."""


class Reports(Protocol):
    """What a worker writes beside its job."""

    def record(self, lease: Lease, report: Report) -> None:
        """Write what is reported, all or nothing; LeaseLost for a stale lease."""

    def progress(self, job_id: int) -> dict[str, TableProgress]:
        """The progress of a job, by table name, in the order of names."""

    def checkpoint(self, lease: Lease, report: Report, details: CheckpointDetails, keep: int, now: int) -> Checkpoint:
        """Begin and complete a checkpoint in one transaction."""

    def begin_checkpoint(self, lease: Lease, report: Report, details: CheckpointDetails, now: int) -> Checkpoint:
        """Write the report and a checkpoint in progress that stands for it."""

    def complete_checkpoint(
        self, lease: Lease, report: Report, number: int, details: CheckpointDetails, keep: int, now: int
    ) -> Checkpoint:
        """Write the report, complete a checkpoint of this lease, and drop all but the newest `keep` completed ones."""

    def fail_checkpoint(self, lease: Lease, number: int, failure: str, keep: int, now: int) -> Checkpoint:
        """Fail a checkpoint of this lease, and drop all but the newest `keep` failed ones."""

    def find_checkpoint(self, job_id: int, number: int) -> Checkpoint | None:
        """A checkpoint of a job, or None."""

    def checkpoints(self, job_id: int, limit: int, offset: int = 0, completed: bool | None = None) -> list[Checkpoint]:
        """The checkpoints of a job, newest epoch first: all, those that were completed, or exactly the others."""


class Telemetry(Protocol):
    """What jobs say and count while they run."""

    def metrics(self, job_id: int) -> list[SubtaskMetrics]:
        """What the subtasks of a job have counted, by operator, then index."""

    def logs(self, job_id: int, wanted: LogFilter, place: LogRange) -> list[LogEntry]:
        """At most `place.limit` entries of a job, newest first; oldest first where `place.after` is given."""

    def newest_log(self, job_id: int) -> int:
        """The number of the newest entry of a job; 0 before any."""

    def log_extent(self, job_id: int) -> Retention:
        """How many entries a job has written, and how many of them are there."""

    def output(self, job_id: int, operator_id: str | None, limit: int, offset: int) -> list[OutputRow]:
        """What an operator emitted, or all of them, oldest first."""

    def output_extent(self, job_id: int, operator_id: str | None) -> Retention:
        """How many rows were emitted, and how many of them are there."""

    def emitted(self, job_id: int) -> dict[str, int]:
        """How many rows each operator has emitted."""


class History(Protocol):
    """What happened."""

    def events(self, job_id: int) -> list[Event]:
        """The whole history of a job, oldest first."""

    def after(self, event_id: int, limit: int, job_id: int | None = None) -> list[Event]:
        """What was recorded after that entry, in the whole store or about one job, oldest first."""

    def newest(self) -> int:
        """The id of the newest entry; 0 before any."""

    def audit(self, report: Callable[[int, int], None] | None = None) -> AuditReport:
        """Hold every row against its history, and the whole file against its invariants."""

    def check_file(self) -> list[Finding]:
        """What about the file or its schema is not as it should be, apart from the histories of jobs."""


class Workers(Protocol):
    """Who works."""

    def register(self, worker: WorkerInfo) -> None:
        """Say that a worker is there, or still there."""

    def leave(self, node_id: str, started: int) -> None:
        """Say that the worker which started then has gone."""

    def listed(self) -> list[WorkerInfo]:
        """Every worker that is there, by name."""


class Repository(Protocol):
    """A store."""

    @property
    def jobs(self) -> Jobs:
        """The rows of jobs."""

    @property
    def leases(self) -> Leases:
        """What workers hold."""

    @property
    def reports(self) -> Reports:
        """What workers write beside their jobs."""

    @property
    def telemetry(self) -> Telemetry:
        """What jobs say and count while they run."""

    @property
    def history(self) -> History:
        """What happened."""

    @property
    def workers(self) -> Workers:
        """Who works."""

    @property
    def path(self) -> str:
        """How the store is named in messages."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Everything within is one transaction; an error undoes all of it."""

    def in_transaction(self) -> bool:
        """Whether the calling thread is inside a transaction, its own or its caller's, that may yet be undone."""

    def version(self) -> int:
        """A number that differs from the last one when another connection may have changed the store; cheap."""

    def schema_version(self) -> int:
        """The version of the schema in the store."""

    def sizes(self) -> Sizes:
        """How large the store is on disk."""

    def relaxed(self) -> None:
        """Let the calling thread's later writes reach the disk with those of others instead of at once."""

    def close_thread(self) -> None:
        """Give back what the calling thread used."""

    def backup(self, target: str, report: Callable[[int, int], None] | None = None) -> None:
        """Copy the store to a new file, while it is in use; InvalidRequest inside a transaction."""

    def close(self) -> None:
        """Give back everything; later calls raise StoreClosed."""
