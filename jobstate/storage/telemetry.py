"""Metrics, logs and output of jobs, bounded for each job."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

from jobstate.domain.logs import LogEntry, LogFilter
from jobstate.domain.metrics import SubtaskMetrics
from jobstate.domain.output import OutputRow
from jobstate.domain.report import Bounds, Report
from jobstate.ports.queries import LogRange, Retention
from jobstate.storage.engine import Engine
from jobstate.storage.mapping import log_of, log_row, metrics_of, metrics_row, output_of, output_row
from jobstate.storage.statements.telemetry import LogShape, TelemetryStatements

_SLACK: Final = 10
"""Entries beyond a bound are removed when they are a tenth of it, not at every write."""


class SqlTelemetry:
    """`jobstate.ports.repository.Telemetry` over SQL."""

    def __init__(self, engine: Engine, statements: TelemetryStatements) -> None:
        self._engine = engine
        self._sql = statements

    def metrics(self, job_id: int) -> list[SubtaskMetrics]:
        return [metrics_of(row) for row in self._engine.read(self._sql.metrics, {"id": job_id})]

    def logs(self, job_id: int, wanted: LogFilter, place: LogRange) -> list[LogEntry]:
        shape = LogShape(
            tuple(sorted(wanted.levels)),
            operator=wanted.operator_id is not None,
            task=wanted.task_index is not None,
            since=wanted.since_us is not None,
            until=wanted.until_us is not None,
            before=place.before is not None,
            after=place.after is not None,
        )
        values = {
            "id": job_id,
            "operator_id": wanted.operator_id,
            "task_index": wanted.task_index,
            "since": wanted.since_us,
            "until": wanted.until_us,
            **place._asdict(),
        }
        return [log_of(row) for row in self._engine.read(self._sql.logs(shape), values)]

    def newest_log(self, job_id: int) -> int:
        newest: int = self._engine.read(self._sql.newest_log, {"id": job_id})[0][0]
        return newest

    def log_extent(self, job_id: int) -> Retention:
        """Counts only entries before the oldest INFO entry: from that one on, none is missing."""
        with self._engine.snapshot() as connection:
            (newest,) = connection.execute(self._sql.newest_log, {"id": job_id}).fetchone()
            oldest = connection.execute(self._sql.oldest_info, {"id": job_id}).fetchone()
            first = newest + 1 if oldest is None else oldest[0]
            (before,) = connection.execute(self._sql.count_logs_below, {"id": job_id, "below": first}).fetchone()
        return Retention(newest, before + newest - first + 1)

    def output(self, job_id: int, operator_id: str | None, limit: int, offset: int) -> list[OutputRow]:
        statement = self._sql.output if operator_id is None else self._sql.output_of_operator
        values = {"id": job_id, "operator_id": operator_id, "limit": limit, "offset": offset}
        return [output_of(row) for row in self._engine.read(statement, values)]

    def output_extent(self, job_id: int, operator_id: str | None) -> Retention:
        rows = self._engine.read(self._sql.emitted, {"id": job_id})
        chosen = [counts for operator, *counts in rows if operator_id in (None, operator)]
        return Retention(sum(total for total, _ in chosen), sum(there for _, there in chosen))

    def emitted(self, job_id: int) -> dict[str, int]:
        return {operator: newest for operator, newest, _ in self._engine.read(self._sql.emitted, {"id": job_id})}

    def write(self, connection: sqlite3.Connection, job_id: int, report: Report) -> None:
        """Write counters and entries, inside the transaction of the caller, who has checked the lease."""
        if report.metrics:
            connection.executemany(self._sql.write_metrics, [metrics_row(job_id, one) for one in report.metrics])
        if report.logs:
            connection.executemany(self._sql.write_logs, [log_row(job_id, entry) for entry in report.logs])
            self._bound_logs(connection, job_id, report.logs, report.bounds)
        if report.output:
            connection.executemany(self._sql.write_output, [output_row(job_id, row) for row in report.output])
            self._bound_output(connection, job_id, report.output, report.bounds)

    def metrics_within(self, connection: sqlite3.Connection, job_id: int) -> list[SubtaskMetrics]:
        """As `metrics`, inside the transaction of the caller."""
        return [metrics_of(row) for row in connection.execute(self._sql.metrics, {"id": job_id})]

    def drop_metrics(self, connection: sqlite3.Connection, job_id: int) -> None:
        """Delete the counters of a job, inside the transaction of the caller."""
        connection.execute(self._sql.drop_metrics, {"id": job_id})

    def _bound_logs(
        self, connection: sqlite3.Connection, job_id: int, written: Sequence[LogEntry], bounds: Bounds
    ) -> None:
        last = _surplus(written[0].number, written[-1].number, bounds.logs)
        if last:
            values = {"id": job_id, "last": last, "errors": bounds.errors}
            connection.execute(self._sql.drop_old_logs, values)
            connection.execute(self._sql.drop_old_errors, values)

    def _bound_output(
        self, connection: sqlite3.Connection, job_id: int, written: Iterable[OutputRow], bounds: Bounds
    ) -> None:
        first: dict[str, int] = {}
        newest: dict[str, int] = {}
        for row in written:
            first.setdefault(row.operator_id, row.number)
            newest[row.operator_id] = row.number
        for operator, number in newest.items():
            last = _surplus(first[operator], number, bounds.output)
            if last:
                values = {"id": job_id, "operator_id": operator, "last": last}
                connection.execute(self._sql.drop_old_output, values)


def _surplus(first: int, newest: int, keep: int) -> int:
    """The newest number beyond the bound; 0 while fewer than a tenth of the bound are."""
    step = max(1, keep // _SLACK)
    if newest // step == (first - 1) // step:
        return 0
    return max(0, newest - keep)
