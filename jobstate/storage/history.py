"""The history of jobs, and the audit of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import groupby

from jobstate.domain.audit import AuditReport, Finding, audit_job
from jobstate.domain.event import Event
from jobstate.storage.engine import Engine
from jobstate.storage.mapping import Row, event_of, job_of
from jobstate.storage.schema.migrations import differences
from jobstate.storage.schema.tables import Tables
from jobstate.storage.statements.history import HistoryStatements

AUDIT_BATCH = 500


class SqlHistory:
    """`jobstate.ports.repository.History` over SQL."""

    def __init__(self, engine: Engine, statements: HistoryStatements, tables: Tables) -> None:
        self._engine = engine
        self._sql = statements
        self._tables = tables

    def events(self, job_id: int) -> list[Event]:
        return [event_of(row) for row in self._engine.read(self._sql.of_job, {"id": job_id})]

    def after(self, event_id: int, limit: int, job_id: int | None = None) -> list[Event]:
        statement = self._sql.after if job_id is None else self._sql.of_job_after
        values = {"after": event_id, "limit": limit, "id": job_id}
        return [event_of(row) for row in self._engine.read(statement, values)]

    def newest(self) -> int:
        newest: int = self._engine.read(self._sql.newest)[0][0]
        return newest

    def audit(self, report: Callable[[int, int], None] | None = None) -> AuditReport:
        """Job by job in small reads, so that a large store can be audited while it works."""
        findings = self.check_file()
        jobs = events = 0
        with self._engine.snapshot() as connection:
            if not self._has_every_table(connection):
                return AuditReport(jobs, events, tuple(findings))
        total = self._engine.read(self._sql.count_jobs)[0][0]
        last = 0
        while True:
            batch, histories = self._batch(last)
            if not batch:
                return AuditReport(jobs, events, tuple(findings))
            for row in batch:
                job = job_of(row)
                history = histories.get(job.id, [])
                findings.extend(audit_job(job, history))
                events += len(history)
            jobs += len(batch)
            last = batch[-1][0]
            if report is not None:
                report(jobs, max(jobs, total))

    def _batch(self, last: int) -> tuple[list[Row], dict[int, list[Event]]]:
        """The next jobs and their histories, of one moment."""
        with self._engine.snapshot() as connection:
            batch = connection.execute(self._sql.audited_jobs, {"after": last, "limit": AUDIT_BATCH}).fetchall()
            if not batch:
                return [], {}
            values = {"first": batch[0][0], "last": batch[-1][0]}
            rows = connection.execute(self._sql.audited_events, values).fetchall()
        by_job = groupby(map(event_of, rows), key=lambda event: event.job_id)
        return batch, {job_id: list(history) for job_id, history in by_job}

    def _has_every_table(self, connection: sqlite3.Connection) -> bool:
        there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return there >= {model._meta.table_name for model in self._tables.models}

    def check_file(self) -> list[Finding]:
        with self._engine.snapshot() as connection:
            found = [Finding(None, f"schema: {difference}") for difference in differences(connection, self._tables)]
            if not self._has_every_table(connection):  # the statements below name them all
                return found
            for table, statement in self._sql.orphans.items():
                (orphans,) = connection.execute(statement).fetchone()
                if orphans:
                    found.append(Finding(None, f"{orphans} rows of {table} belong to no job"))
            found += [
                Finding(job_id, "it has no specification") for (job_id,) in connection.execute(self._sql.without_spec)
            ]
            for statement in self._sql.records:
                found += [Finding(job_id, problem) for job_id, problem in connection.execute(statement)]
            damage = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
            found += [Finding(None, f"file: {problem}") for problem in damage if problem != "ok"]
        return found
