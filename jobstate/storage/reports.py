"""Reports of workers, always under a lease: progress, checkpoints, and with them metrics, logs and output."""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from jobstate.domain.checkpoints import (
    Checkpoint,
    CheckpointDetails,
    CheckpointState,
    Progress,
    check_open,
    snapshot_to_json,
)
from jobstate.domain.errors import CheckpointNotFound, LeaseLost
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.progress import TableProgress
from jobstate.domain.report import Report
from jobstate.domain.restart_requests import check_restorable
from jobstate.ports.repository import Claimed
from jobstate.storage.engine import Engine
from jobstate.storage.mapping import checkpoint_of
from jobstate.storage.statements.reports import ReportStatements
from jobstate.storage.telemetry import SqlTelemetry

_NOTHING: Final = CheckpointDetails()


class SqlReports:
    """`jobstate.ports.repository.Reports` over SQL."""

    def __init__(self, engine: Engine, statements: ReportStatements, telemetry: SqlTelemetry) -> None:
        self._engine = engine
        self._sql = statements
        self._telemetry = telemetry

    def record(self, lease: Lease, report: Report) -> None:
        with self._engine.transaction() as connection:
            self._check_held(connection, lease)
            self.write(connection, lease, report)

    def progress(self, job_id: int) -> dict[str, TableProgress]:
        rows = self._engine.read(self._sql.progress, {"id": job_id})
        return {name: _progress_of(files, size, ranges) for name, files, size, ranges in rows}

    def begin_checkpoint(self, lease: Lease, report: Report, details: CheckpointDetails, now: int) -> Checkpoint:
        with self._engine.transaction() as connection:
            return self._found(connection, lease, self._begin(connection, lease, report, details, now))

    def complete_checkpoint(
        self, lease: Lease, report: Report, number: int, details: CheckpointDetails, keep: int, now: int
    ) -> Checkpoint:
        with self._engine.transaction() as connection:
            self._check_held(connection, lease)
            self.write(connection, lease, report)
            found = self._open_checkpoint(connection, lease, number, CheckpointState.COMPLETED)
            if found.status is CheckpointState.COMPLETED:
                return found
            self._write_details(connection, lease, number, details)
            # The job is clean only if its progress and counters are still those of the beginning of the checkpoint.
            if found.snapshot_json == self._snapshot(connection, lease.job_id):
                connection.execute(self._sql.mark_clean, _named(lease))
            return self._end(connection, lease, number, CheckpointState.COMPLETED, None, keep, now)

    def fail_checkpoint(self, lease: Lease, number: int, failure: str, keep: int, now: int) -> Checkpoint:
        with self._engine.transaction() as connection:
            self._check_held(connection, lease)
            found = self._open_checkpoint(connection, lease, number, CheckpointState.FAILED)
            if found.status is CheckpointState.FAILED:
                return found
            return self._end(connection, lease, number, CheckpointState.FAILED, failure, keep, now)

    def checkpoint(self, lease: Lease, report: Report, details: CheckpointDetails, keep: int, now: int) -> Checkpoint:
        with self._engine.transaction() as connection:
            number = self._begin(connection, lease, report, details, now)
            connection.execute(self._sql.mark_clean, _named(lease))
            return self._end(connection, lease, number, CheckpointState.COMPLETED, None, keep, now)

    def find_checkpoint(self, job_id: int, number: int) -> Checkpoint | None:
        rows = self._engine.read(self._sql.checkpoint_of_job, {"id": job_id, "number": number})
        return checkpoint_of(rows[0]) if rows else None

    def checkpoints(self, job_id: int, limit: int, offset: int = 0, completed: bool | None = None) -> list[Checkpoint]:
        values = {"id": job_id, "limit": limit, "offset": offset}
        return [checkpoint_of(row) for row in self._engine.read(self._sql.checkpoints[completed], values)]

    def is_held(self, connection: sqlite3.Connection, lease: Lease) -> bool:
        """Whether the lease is held, inside the transaction of the caller."""
        return connection.execute(self._sql.is_held, _named(lease)).fetchone() is not None

    def write(self, connection: sqlite3.Connection, lease: Lease, report: Report) -> None:
        """Write a report, inside the transaction of the caller, who has checked the lease."""
        if report.counts_as_work:
            connection.execute(self._sql.mark_written, _named(lease))
        if report.progress:
            self._write_progress(connection, lease.job_id, report.progress)
        self._telemetry.write(connection, lease.job_id, report)

    def restorable(self, connection: sqlite3.Connection, job: JobRow, number: int | None) -> Checkpoint | None:
        """The checkpoint that a restart of the job restores: that one, or the newest completed one of the job."""
        if number is None:
            row = connection.execute(self._sql.newest_completed, {"id": job.id}).fetchone()
            return None if row is None else checkpoint_of(row)
        values = {"id": number, "root_id": job.root_id}
        row = connection.execute(self._sql.checkpoint_of_lineage, values).fetchone()
        if row is None:
            raise CheckpointNotFound(job.id, f"chk_{number}")
        checkpoint = checkpoint_of(row)
        check_restorable(job, checkpoint)
        return checkpoint

    def copy(self, connection: sqlite3.Connection, checkpoint: Checkpoint, job: JobRow) -> None:
        """Copy the checkpoint for the job, so that deleting the original does not take it away."""
        values = {"job_id": job.id, "root_id": job.root_id, "copied": checkpoint.number}
        connection.execute(self._sql.copy_checkpoint, values)

    def restore(self, connection: sqlite3.Connection, job: JobRow, checkpoint_id: int | None) -> Claimed:
        """Set progress and counters of a newly claimed job to those of its checkpoint, or to nothing.

        Work after the checkpoint is done again, so it must not count twice.
        """
        connection.execute(self._sql.drop_progress, {"id": job.id})
        self._telemetry.drop_metrics(connection, job.id)
        if checkpoint_id is None:
            return Claimed(job, None, {})
        checkpoint = checkpoint_of(connection.execute(self._sql.checkpoint, {"id": checkpoint_id}).fetchone())
        assert job.claimed_us is not None
        report = Report(checkpoint.progress, checkpoint.counted(job.claimed_us))
        self.write(connection, job.lease, report)
        return Claimed(job, checkpoint, report.progress, report.metrics)

    def _write_progress(self, connection: sqlite3.Connection, job_id: int, progress: Progress) -> None:
        connection.executemany(
            self._sql.write_progress,
            [
                {
                    "job_id": job_id,
                    "table_name": name,
                    "files_count": table.files_count,
                    "total_size_bytes": table.total_size_bytes,
                    "start_block": table.start_block,
                    "current_block": table.current_block,
                    "ranges": json.dumps(table.ranges),
                }
                for name, table in progress.items()
            ],
        )

    def _begin(
        self, connection: sqlite3.Connection, lease: Lease, report: Report, details: CheckpointDetails, now: int
    ) -> int:
        self._check_held(connection, lease)
        self.write(connection, lease, report)
        (root_id,) = connection.execute(self._sql.root_of, {"id": lease.job_id}).fetchone()
        values = {
            "job_id": lease.job_id,
            "root_id": root_id,
            "token": lease.token,
            "snapshot": self._snapshot(connection, lease.job_id),
            "now": now,
        }
        number: int = connection.execute(self._sql.begin_checkpoint, values).fetchone()[0]
        self._write_details(connection, lease, number, details)
        return number

    def _end(
        self,
        connection: sqlite3.Connection,
        lease: Lease,
        number: int,
        status: CheckpointState,
        failure: str | None,
        keep: int,
        now: int,
    ) -> Checkpoint:
        values = {"id": lease.job_id, "number": number, "status": status.value, "failure": failure, "now": now}
        connection.execute(self._sql.end_checkpoint, values)
        connection.execute(self._sql.drop_old_checkpoints, {"id": lease.job_id, "status": status.value, "keep": keep})
        return self._found(connection, lease, number)

    def _open_checkpoint(
        self, connection: sqlite3.Connection, lease: Lease, number: int, wanted: CheckpointState
    ) -> Checkpoint:
        """A checkpoint of this lease that may still be completed or failed as `wanted`, or has been."""
        found = self._found(connection, lease, number)
        check_open(found, lease.token, wanted)
        return found

    def _found(self, connection: sqlite3.Connection, lease: Lease, number: int) -> Checkpoint:
        values = {"id": lease.job_id, "number": number}
        row = connection.execute(self._sql.checkpoint_of_job, values).fetchone()
        if row is None:
            raise CheckpointNotFound(lease.job_id, f"chk_{number}")
        return checkpoint_of(row)

    def _write_details(
        self, connection: sqlite3.Connection, lease: Lease, number: int, details: CheckpointDetails
    ) -> None:
        if details != _NOTHING:
            connection.execute(
                self._sql.write_details,
                {
                    "id": lease.job_id,
                    "number": number,
                    "state": details.state_json,
                    "size_bytes": details.size_bytes,
                    "backend": details.backend,
                    "location": details.location,
                    "operators": details.operators_json,
                },
            )

    def _snapshot(self, connection: sqlite3.Connection, job_id: int) -> str:
        """Progress and counters in the store, earlier reports included."""
        rows = connection.execute(self._sql.progress, {"id": job_id})
        progress = {name: _progress_of(*numbers) for name, *numbers in rows}
        return snapshot_to_json(progress, self._telemetry.metrics_within(connection, job_id))

    def _check_held(self, connection: sqlite3.Connection, lease: Lease) -> None:
        if not self.is_held(connection, lease):
            raise LeaseLost(lease.job_id, lease.token)


def _named(lease: Lease) -> dict[str, int]:
    return {"id": lease.job_id, "token": lease.token}


def _progress_of(files: int, size: int, ranges: str) -> TableProgress:
    return TableProgress(files, size, tuple((first, last) for first, last in json.loads(ranges)))
