"""The store over SQLite: its parts put together."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import cached_property
from typing import Final

from jobstate.domain.errors import InvalidRequest
from jobstate.ports.repository import Sizes
from jobstate.storage.durability import store_durability, stored_durability
from jobstate.storage.engine import Engine
from jobstate.storage.history import SqlHistory
from jobstate.storage.jobs import SqlJobs
from jobstate.storage.leases import SqlLeases, SqlWorkers
from jobstate.storage.reports import SqlReports
from jobstate.storage.schema import migrations
from jobstate.storage.statements import statements
from jobstate.storage.telemetry import SqlTelemetry
from jobstate.storage.transaction import Transaction

_BACKUP_PAGES: Final = 512


class SqliteRepository:
    """`jobstate.ports.repository.Repository` over SQLite. Made by `jobstate.storage.open`."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._sql = statements(prefix)
        self._engine = engine
        self._tables = self._sql.tables
        self._polled: int | None = None
        connections = engine.connections
        connections.schema_check = migrations.SchemaWatch(self._tables, connections.path).check
        self.jobs = SqlJobs(engine, self._sql.jobs, self._sql.lists, lambda: self.reports)

    # The other parts are made when they are first needed, as their statements are compiled then.

    @cached_property
    def reports(self) -> SqlReports:
        return SqlReports(self._engine, self._sql.reports, self.telemetry)

    @cached_property
    def telemetry(self) -> SqlTelemetry:
        return SqlTelemetry(self._engine, self._sql.telemetry)

    @cached_property
    def leases(self) -> SqlLeases:
        return SqlLeases(self._engine, self._sql.leases, self.jobs, self.reports)

    @cached_property
    def history(self) -> SqlHistory:
        return SqlHistory(self._engine, self._sql.history, self._tables)

    @cached_property
    def workers(self) -> SqlWorkers:
        return SqlWorkers(self._engine, self._sql.workers)

    @property
    def path(self) -> str:
        return self._engine.connections.path

    def transaction(self, *, relaxed: bool = False) -> Transaction:
        return self._engine.transaction(relaxed=relaxed)

    def in_transaction(self) -> bool:
        connections = self._engine.connections
        connection = connections.threads.connection
        if connection is None or connections.gone:
            connection = connections.connection()
        return connection.in_transaction

    def version(self) -> int:
        number: int = self._engine.read("PRAGMA data_version")[0][0]
        if number != self._polled:
            self._polled = number
            self._engine.connections.verify_schema()
        if (
            self._engine.connections.is_shared
        ):  # one connection for all threads: that counter leaves out its own changes
            number += self._engine.connections.connection().total_changes
        return number

    def schema_version(self) -> int:
        with self._engine.connections.guarded() as connection:
            return migrations.version_in(connection, self._tables).number

    def sizes(self) -> Sizes:
        return Sizes(
            *(os.path.getsize(part) if os.path.exists(part) else 0 for part in (self.path, f"{self.path}-wal"))
        )

    def durability(self) -> str:
        """The durability of the file: `full` or `normal`."""
        with self._engine.connections.guarded() as connection:
            return stored_durability(connection, self._tables)

    def set_durability(self, durability: str) -> None:
        """Set the durability of the file; a store that is open keeps the one that it was opened with."""
        with self._engine.transaction() as connection:
            store_durability(connection, self._tables, durability)

    def close_thread(self) -> None:
        self._engine.connections.close_thread()

    def backup(self, target: str, report: Callable[[int, int], None] | None = None) -> None:
        if self.in_transaction():
            raise InvalidRequest("backup", "cannot be made inside a transaction; make it before or after")
        if os.path.exists(target):
            raise InvalidRequest("target", f"{target} exists already; name a new file")
        if not os.path.isdir(os.path.dirname(os.path.abspath(target))):
            raise InvalidRequest("target", f"the folder of {target} does not exist; create it first")

        def progress(_status: int, remaining: int, total: int) -> None:
            if report is not None:
                report(total - remaining, total)

        copy = sqlite3.connect(target)
        try:
            # Inside a read transaction: SQLite would begin a copy anew at every write of another process.
            with self._engine.snapshot() as connection:
                connection.backup(copy, pages=_BACKUP_PAGES, progress=progress)
        except BaseException:
            copy.close()
            os.unlink(target)
            raise
        copy.close()

    def close(self) -> None:
        self._engine.connections.close()
