"""What a worker writes beside its job: progress and checkpoints, always under its lease."""

from __future__ import annotations

import json
import sqlite3

from jobstate.domain.checkpoints import Checkpoint, CheckpointState, Progress, progress_to_json
from jobstate.domain.errors import CheckpointNotFound, LeaseLost
from jobstate.domain.job import Job, Lease
from jobstate.domain.ranges import TableProgress
from jobstate.domain.restarting import check_restorable
from jobstate.repository import Claimed
from jobstate.storage.engine import Engine, Row
from jobstate.storage.queries.reports import ReportQueries


class SqlReports:
    """`jobstate.repository.Reports` over SQL."""

    def __init__(self, engine: Engine, queries: ReportQueries) -> None:
        self._engine = engine
        self._sql = queries

    def record(self, lease: Lease, progress: Progress) -> None:
        with self._engine.transaction() as connection:
            self._check_held(connection, lease)
            self.write(connection, lease.job_id, progress)

    def progress(self, job_id: int) -> dict[str, TableProgress]:
        rows = self._engine.read(self._sql.progress, {"id": job_id})
        return {name: _progress_of(files, size, ranges) for name, files, size, ranges in rows}

    def checkpoint(self, lease: Lease, progress: Progress, state_json: str | None, keep: int, now: int) -> Checkpoint:
        with self._engine.transaction() as connection:
            self._check_held(connection, lease)
            self.write(connection, lease.job_id, progress)
            # What was written before counts too, so the snapshot is of the store and not of the caller.
            rows = connection.execute(self._sql.progress, {"id": lease.job_id})
            snapshot = progress_to_json({name: _progress_of(*numbers) for name, *numbers in rows})
            (root_id,) = connection.execute(self._sql.root_of, {"id": lease.job_id}).fetchone()
            row = connection.execute(
                self._sql.insert_checkpoint,
                {
                    "job_id": lease.job_id,
                    "root_id": root_id,
                    "token": lease.token,
                    "state": state_json,
                    "snapshot": snapshot,
                    "size_bytes": len((state_json or "").encode()),
                    "now": now,
                },
            ).fetchone()
            connection.execute(self._sql.mark_clean, {"id": lease.job_id})
            connection.execute(self._sql.drop_old_checkpoints, {"id": lease.job_id, "keep": keep})
            return _checkpoint_of(row)

    def checkpoints(self, job_id: int, limit: int) -> list[Checkpoint]:
        return [_checkpoint_of(row) for row in self._engine.read(self._sql.checkpoints, {"id": job_id, "limit": limit})]

    def is_held(self, connection: sqlite3.Connection, lease: Lease) -> bool:
        """Whether the lease stands, inside the transaction of the caller."""
        values = {"id": lease.job_id, "token": lease.token}
        return connection.execute(self._sql.is_held, values).fetchone() is not None

    def write(self, connection: sqlite3.Connection, job_id: int, progress: Progress) -> None:
        """Write the progress of these tables, inside the transaction of the caller, who has checked the lease."""
        if not progress:
            return
        connection.execute(self._sql.mark_written, {"id": job_id})
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

    def restorable(self, connection: sqlite3.Connection, job: Job, number: int | None) -> Checkpoint | None:
        """The checkpoint that a restart of the job restores: that one, or the newest completed one of the job."""
        if number is None:
            row = connection.execute(self._sql.newest_completed, {"id": job.id}).fetchone()
            return None if row is None else _checkpoint_of(row)
        values = {"id": number, "root_id": job.root_id}
        row = connection.execute(self._sql.checkpoint_of_lineage, values).fetchone()
        if row is None:
            raise CheckpointNotFound(job.id, f"chk_{number}")
        checkpoint = _checkpoint_of(row)
        check_restorable(job, checkpoint)
        return checkpoint

    def copy(self, connection: sqlite3.Connection, checkpoint: Checkpoint, job: Job) -> None:
        """Give the job a checkpoint of its own with what this one holds: nobody can remove it from under the job."""
        values = {"job_id": job.id, "root_id": job.root_id, "copied": checkpoint.number}
        connection.execute(self._sql.copy_checkpoint, values)

    def restore(self, connection: sqlite3.Connection, job: Job, checkpoint_id: int | None) -> Claimed:
        """Set the progress of a job that was just claimed to that of its checkpoint, or to nothing.

        Work after the checkpoint is done again, so it must not count twice.
        """
        connection.execute(self._sql.drop_progress, {"id": job.id})
        if checkpoint_id is None:
            return Claimed(job, None, {})
        checkpoint = _checkpoint_of(connection.execute(self._sql.checkpoint, {"id": checkpoint_id}).fetchone())
        progress = checkpoint.progress
        self.write(connection, job.id, progress)
        return Claimed(job, checkpoint, progress)

    def _check_held(self, connection: sqlite3.Connection, lease: Lease) -> None:
        if not self.is_held(connection, lease):
            raise LeaseLost(lease.job_id, lease.token)


def _progress_of(files: int, size: int, ranges: str) -> TableProgress:
    return TableProgress(files, size, tuple((first, last) for first, last in json.loads(ranges)))


def _checkpoint_of(row: Row) -> Checkpoint:
    number, job_id, epoch, status, *rest = row
    return Checkpoint(number, job_id, epoch, CheckpointState(status), *rest)
