"""Single statements, transactions and snapshots: SQLite as the rest of the storage layer uses it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from jobstate.storage.connections import Connections
from jobstate.storage.mapping import Row
from jobstate.storage.transaction import Transaction

Result = TypeVar("Result")


class Engine:
    """Runs statements on the connection of the calling thread, and repeats those that met another writer."""

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    def read(self, sql: str, values: object = ()) -> list[Row]:
        """The rows of one statement that changes nothing."""
        connections = self.connections
        if connections.is_shared:
            with connections.lock:
                return self._repeated(connections.connection(), sql, values, sqlite3.Cursor.fetchall)
        connection = connections.threads.connection
        if connection is None or connections.gone:
            connection = connections.connection()
        try:
            return connection.execute(sql, values).fetchall()  # type: ignore[arg-type]
        except sqlite3.Error as error:
            give_up = connections.wait_after(connection, error)
        return self._repeated(connection, sql, values, sqlite3.Cursor.fetchall, give_up)

    def run(self, sql: str, values: object = ()) -> list[Row]:
        """Run one statement, as its own transaction or part of the open one, and return its rows."""
        return self._written(sql, values, sqlite3.Cursor.fetchall)

    def run_relaxed(self, sql: str, values: object) -> list[Row]:
        """`run`, for a renewal or a registration: it may reach the disk together with later commits."""
        relaxed = self.connections.relax()
        try:
            return self._written(sql, values, sqlite3.Cursor.fetchall)
        finally:
            if relaxed:
                self.connections.end_relaxed()

    def count(self, sql: str, values: object = ()) -> int:
        """Run one statement, as its own transaction or part of the open one, and return how many rows it changed."""
        connections = self.connections
        if connections.is_shared or not connections.owned:
            return self._written(sql, values, _rowcount)
        connection = connections.threads.connection
        if connection is None or connections.gone:
            connection = connections.connection()
        if connection.in_transaction:
            return self._written(sql, values, _rowcount)
        try:
            changed = connection.execute(sql, values).rowcount  # type: ignore[arg-type]
        except sqlite3.Error as error:
            give_up = connections.wait_after(connection, error)
            changed = self._repeated(connection, sql, values, _rowcount, give_up)
        connections.after_commit(connection)
        return changed

    def transaction(self, *, relaxed: bool = False) -> Transaction:
        """A write transaction; inside another one, a savepoint that rolls back alone.

        Args:
            relaxed: It holds reports and nothing else, and may reach the disk together with later commits.
        """
        return Transaction(self.connections, relaxed=relaxed)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads of one moment; they do not block writers."""
        with self.connections.guarded() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the snapshot begins with a read
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def _written(self, sql: str, values: object, finish: Callable[[sqlite3.Cursor], Result]) -> Result:
        if self.connections.is_shared:
            with self.connections.lock:
                return self._in_its_place(sql, values, finish)
        return self._in_its_place(sql, values, finish)

    def _in_its_place(self, sql: str, values: object, finish: Callable[[sqlite3.Cursor], Result]) -> Result:
        connection = self.connections.connection()
        if connection.in_transaction:
            self.connections.end_stale_transaction(connection)
            self.connections.check_joinable()
        result = self._repeated(connection, sql, values, finish)
        if not connection.in_transaction:
            self.connections.after_commit(connection)
        return result

    def _repeated(
        self,
        connection: sqlite3.Connection,
        sql: str,
        values: object,
        finish: Callable[[sqlite3.Cursor], Result],
        give_up: float | None = None,
    ) -> Result:
        while True:
            try:
                return finish(connection.execute(sql, values))  # type: ignore[arg-type]
            except sqlite3.Error as error:
                give_up = self.connections.wait_after(connection, error, give_up)


def _rowcount(cursor: sqlite3.Cursor) -> int:
    return cursor.rowcount
