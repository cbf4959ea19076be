"""Connections, transactions and waiting for the write lock: SQLite as the rest of the storage layer uses it.

Every write begins with `BEGIN IMMEDIATE`: a deferred transaction that turns into a write fails at once when another
writer was faster, whatever the busy timeout. SQLite's own busy handler sleeps longer and longer, and starves: with
four writers one of them got nothing for seconds. Here a busy writer tries again after 0.05 to 2 ms, by chance.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Final

import peewee

from jobstate.domain.errors import InvalidRequest, StoreClosed, StoreForked, UnsupportedSQLite
from jobstate.storage.failures import is_busy, translated

SHORTEST_RETRY: Final = 0.00005
LONGEST_RETRY: Final = 0.002
_JOIN: Final = "SAVEPOINT jobstate"
_WRITE_LOCKS: Final = ("IMMEDIATE", "EXCLUSIVE")

Row = tuple[Any, ...]


class Connection(sqlite3.Connection):
    """A connection that can be remembered without being kept alive: it closes with the thread that owns it."""


class OwnDatabase(peewee.SqliteDatabase):
    """A peewee database whose connections jobstate sets up, remembers and closes, one per thread."""

    def __init__(self, path: str, pragmas: Sequence[tuple[str, object]], *, in_memory: bool) -> None:
        self.opened: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        super().__init__(
            path,
            pragmas=list(pragmas),
            timeout=0,
            thread_safe=not in_memory,
            check_same_thread=False,
            factory=Connection,
        )

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._connect()
        self.opened.add(connection)
        return connection


class Clockwork:
    """What the engine needs of the machine: time to measure a timeout with, sleep, and chance."""

    def __init__(
        self, monotonic: Callable[[], float], sleep: Callable[[float], None], chance: Callable[[], float]
    ) -> None:
        self.monotonic = monotonic
        self.sleep = sleep
        self.chance = chance


class _Threads(threading.local):
    """What each thread has of its own."""

    connection: sqlite3.Connection | None = None
    """Its connection, where the database is ours: asking peewee for it costs a microsecond."""
    began = False
    """Whether the open transaction is one that we began."""


class Engine:
    """One SQLite database, from every thread of one process.

    Args:
        database: Where the connections come from: our own, or the caller's.
        path: How the database is named in errors.
        timeout: Seconds to wait for other writers.
        owned: Whether the connections are ours to set up and close.
    """

    def __init__(
        self, database: peewee.SqliteDatabase, path: str, timeout: float, clockwork: Clockwork, *, owned: bool
    ) -> None:
        self.database = database
        self.path = path
        self.timeout = timeout
        self.owned = owned
        self.clockwork = clockwork
        self.is_shared = not database.thread_safe
        """One connection serves all threads, behind a lock."""
        self._lock: AbstractContextManager[Any] = threading.RLock() if self.is_shared else nullcontext()
        self._threads = _Threads()
        self._pid = os.getpid()
        self._closed = False
        _engines.add(self)

    def connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        if self._closed:
            raise StoreClosed(self.path, "the store was closed; open it again")
        if self._pid != os.getpid():
            raise StoreForked(self.path, "the store was opened before a fork; open it again in the child process")
        known = self._threads.connection
        if known is not None:
            return known
        connection = self._connect()
        if not isinstance(connection, sqlite3.Connection):
            driver = type(connection).__module__
            raise UnsupportedSQLite(
                self.path,
                f"its driver is {driver}; two copies of SQLite in one process drop each other's locks: use sqlite3",
            )
        if self.owned:
            self._threads.connection = connection
        return connection

    def read(self, sql: str, values: object = ()) -> list[Row]:
        """The rows of one statement that changes nothing."""
        with self._lock:
            return self._repeated(sql, values).fetchall()

    def run(self, sql: str, values: object = ()) -> list[Row]:
        """Run one statement that is its own transaction, or part of the open one; the rows that it returns."""
        with self._lock:
            return self._written(sql, values).fetchall()

    def count(self, sql: str, values: object = ()) -> int:
        """Run one statement that is its own transaction, or part of the open one; how many rows it changed."""
        with self._lock:
            return self._written(sql, values).rowcount

    def transaction(self) -> Transaction:
        """A write transaction; within another one, a part of that which is undone alone when it fails."""
        return Transaction(self)

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Several reads of one moment; writers are not held up."""
        with self.guarded() as connection:
            if connection.in_transaction:
                yield connection
                return
            connection.execute("BEGIN")
            try:
                connection.execute(
                    "SELECT count(*) FROM sqlite_master"
                ).fetchone()  # the moment is that of a first read
                yield connection
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def guarded(self) -> Iterator[sqlite3.Connection]:
        """The connection, with the errors of the driver translated."""
        with self._lock:
            connection = self.connection()
            try:
                yield connection
            except sqlite3.Error as error:
                raise translated(error, self.path) from error

    def close_thread(self) -> None:
        """Close the connection of the calling thread, which is about to end."""
        if not self.is_shared and not self._closed and not self.database.is_closed():
            self._threads.connection = None
            self.database.close()

    def close(self) -> None:
        """Close the connections of all threads. A caller's own database stays open."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        if self.owned:
            with self._lock:
                for connection in list(self.database.opened):
                    connection.close()
                self.database.close()

    def _connect(self) -> object:
        """A connection for this thread; setting it up may meet another process that holds the file."""
        give_up: float | None = None
        while True:
            try:
                return self.database.connection()
            except (sqlite3.Error, peewee.DatabaseError) as error:
                original = driver_error(error)
                if not is_busy(original):
                    raise translated(original, self.path) from error
                give_up = self._wait_turn(give_up, original)

    def _written(self, sql: str, values: object) -> sqlite3.Cursor:
        connection = self.connection()
        if connection.in_transaction:
            self._check_joinable(connection)
        return self._repeated(sql, values)

    def _repeated(self, sql: str, values: object) -> sqlite3.Cursor:
        connection = self.connection()
        give_up: float | None = None
        while True:
            try:
                return connection.execute(sql, values)  # type: ignore[arg-type]
            except sqlite3.Error as error:
                if not is_busy(error) or connection.in_transaction:
                    raise translated(error, self.path) from error
                give_up = self._wait_turn(give_up, error)

    def _wait_turn(self, give_up: float | None, error: sqlite3.Error) -> float:
        clockwork = self.clockwork
        now = clockwork.monotonic()
        if give_up is None:
            give_up = now + self.timeout
        if now >= give_up:
            raise translated(error, self.path) from error
        clockwork.sleep(SHORTEST_RETRY + (LONGEST_RETRY - SHORTEST_RETRY) * clockwork.chance())
        return give_up

    def _check_joinable(self, connection: sqlite3.Connection) -> None:
        """Refuse a caller's transaction that does not hold the write lock: turning it into a write may fail at once."""
        if self.owned or self._threads.began:
            return
        begun = self.database.top_transaction()
        lock = None if begun is None else (*begun._begin_args[0], *begun._begin_args[1].values(), None)[0]
        lock = lock or self.database._lock_type
        if begun is None or str(lock).upper() not in _WRITE_LOCKS:
            raise InvalidRequest(
                "transaction", "jobstate joins only a write transaction: begin it with db.atomic('IMMEDIATE')"
            )


class Transaction:
    """`with engine.transaction() as connection:` commits at the end, and undoes everything when an error passes."""

    __slots__ = ("_connection", "_engine", "_joined")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> sqlite3.Connection:
        engine = self._engine
        engine._lock.__enter__()
        try:
            self._connection = connection = engine.connection()
            self._joined = connection.in_transaction
            if self._joined:
                engine._check_joinable(connection)
                connection.execute(_JOIN)
                return connection
            give_up: float | None = None
            while True:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                except sqlite3.Error as error:
                    if not is_busy(error):
                        raise translated(error, engine.path) from error
                    give_up = engine._wait_turn(give_up, error)
                else:
                    engine._threads.began = True
                    return connection
        except BaseException:
            engine._lock.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        connection = self._connection
        try:
            if error is None:
                try:
                    connection.execute("RELEASE jobstate" if self._joined else "COMMIT")
                except sqlite3.Error as failed:
                    self._undo()
                    raise translated(failed, self._engine.path) from failed
                return
            self._undo()
            if isinstance(error, sqlite3.Error):
                raise translated(error, self._engine.path) from error
        finally:
            if not self._joined:
                self._engine._threads.began = False
            self._engine._lock.__exit__(None, None, None)

    def _undo(self) -> None:
        """Roll back, unless SQLite has done so itself, as it does when the disk is full or the device fails."""
        connection = self._connection
        try:
            if not connection.in_transaction:
                return
            if self._joined:
                connection.execute("ROLLBACK TO jobstate")
                connection.execute("RELEASE jobstate")
            else:
                connection.execute("ROLLBACK")
        except sqlite3.Error as failed:
            raise translated(failed, self._engine.path) from failed


def driver_error(error: Exception) -> sqlite3.Error:
    """The driver's own error behind one that peewee wrapped."""
    original = getattr(error, "orig", None) or error.__cause__ or error.__context__ or error
    return original if isinstance(original, sqlite3.Error) else sqlite3.Error(str(error))


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_inherited: list[Iterable[sqlite3.Connection]] = []


def _keep_inherited_connections() -> None:
    """In a forked child, keep the parent's connections from ever being closed here: that would disturb its locks."""
    _inherited.extend(list(engine.database.opened) for engine in list(_engines) if engine.owned)


os.register_at_fork(after_in_child=_keep_inherited_connections)
