"""A write transaction, from the lock to the commit.

Every write begins with `BEGIN IMMEDIATE`: a deferred transaction that turns into a write fails at once when another
writer was faster, whatever the busy timeout.
"""

from __future__ import annotations

import sqlite3
import weakref
from types import TracebackType
from typing import Any, Final

import peewee

from jobstate.domain.errors import JobStateError
from jobstate.storage.connections import Connections
from jobstate.storage.errors import driver_error, is_busy, translated

_JOIN: Final = "SAVEPOINT jobstate"


class Transaction:
    """`with engine.transaction() as connection:` commits at the end, and rolls back when an error leaves the block."""

    __slots__ = ("__weakref__", "_connection", "_connections", "_joined", "_may_relax", "_relaxed", "_within")

    def __init__(self, connections: Connections, *, relaxed: bool = False) -> None:
        self._connections = connections
        self._may_relax = relaxed
        self._relaxed = False
        self._connection: sqlite3.Connection | None = None
        self._joined = False
        self._within: Any = None

    def __enter__(self) -> sqlite3.Connection:
        connections = self._connections
        if connections.is_shared:
            connections.lock.__enter__()
        try:
            connection = connections.threads.connection
            if connection is None or connections.gone:
                connection = connections.connection()
            self._connection = connection
            if connection.in_transaction:
                connections.end_stale_transaction(connection)
                self._joined = connection.in_transaction
            if self._joined:
                connections.check_joinable()
            else:
                connections.threads.outermost = weakref.ref(self)
            self._relaxed = self._may_relax and connections.relax()
            self._begin(connection)
            if not self._joined and connections.timing.monotonic() >= connections.recheck_at:
                connections.recheck_schema(connection)
        except BaseException:
            # A signal may raise an exception at any moment, also right after BEGIN.
            try:
                if not self._joined:
                    connections.threads.outermost = None
                    self._undo()
            finally:
                if self._relaxed:
                    connections.end_relaxed()
                if connections.is_shared:
                    connections.lock.__exit__(None, None, None)
            raise
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connections = self._connections
        committed = False
        try:
            if error is None:
                self._commit()
                committed = True
        finally:
            try:
                if not committed:
                    self._undo()
            finally:
                if not self._joined:
                    connections.threads.outermost = None
                if self._relaxed:
                    connections.end_relaxed()
                if connections.is_shared:
                    connections.lock.__exit__(None, None, None)
        if committed and not self._joined:
            assert self._connection is not None
            connections.after_commit(self._connection)
        if isinstance(error, sqlite3.Error):
            raise translated(error, connections.path) from error

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin, or join; in a caller's own database through peewee, so that it knows of the transaction."""
        connections = self._connections
        give_up: float | None = None
        while True:
            try:
                if connections.owned:
                    connection.execute(_JOIN if self._joined else "BEGIN IMMEDIATE")
                else:
                    within = connections.database.atomic("IMMEDIATE")
                    within.__enter__()
                    self._within = within
            except (sqlite3.Error, peewee.PeeweeException) as error:
                original = driver_error(error)
                if not is_busy(original):
                    raise translated(original, connections.path) from error
                give_up = connections.wait_turn(give_up, original)
            else:
                return

    def _commit(self) -> None:
        connection = self._connection
        assert connection is not None
        try:
            if self._within is not None:
                within, self._within = self._within, None
                within.__exit__(None, None, None)
            else:
                connection.execute("RELEASE jobstate" if self._joined else "COMMIT")
        except (sqlite3.Error, peewee.PeeweeException) as error:
            raise translated(driver_error(error), self._connections.path) from error

    def _undo(self) -> None:
        """Roll back, unless SQLite has done so itself, as it does when the disk is full or the device fails."""
        connection = self._connection
        try:
            if self._within is not None:
                within, self._within = self._within, None
                undone = JobStateError()
                within.__exit__(type(undone), undone, None)
            elif connection is None or not connection.in_transaction:
                return
            elif self._joined:
                connection.execute("ROLLBACK TO jobstate")
                connection.execute("RELEASE jobstate")
            else:
                connection.execute("ROLLBACK")
        except (sqlite3.Error, peewee.PeeweeException) as failed:
            raise translated(driver_error(failed), self._connections.path) from failed
