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
from typing import Any, Final, TypeVar

import peewee

from jobstate.domain.errors import (
    InvalidRequest,
    JobStateError,
    StoreClosed,
    StoreError,
    StoreForked,
    StoreUnavailable,
    UnsupportedSQLite,
)
from jobstate.storage.failures import is_busy, translated

SHORTEST_RETRY: Final = 0.00005
LONGEST_RETRY: Final = 0.002
_JOIN: Final = "SAVEPOINT jobstate"
_WRITE_LOCKS: Final = ("IMMEDIATE", "EXCLUSIVE")

Row = tuple[Any, ...]
Result = TypeVar("Result")


class Connection(sqlite3.Connection):
    """A connection that can be remembered without being kept alive: it closes with the thread that owns it."""


class OwnDatabase(peewee.SqliteDatabase):
    """A peewee database whose connections jobstate sets up, remembers and closes, one per thread."""

    def __init__(self, path: str, pragmas: Sequence[tuple[str, object]], *, in_memory: bool) -> None:
        self.identity: tuple[int, int] | None = None
        """Which file it is, once it was opened: the connections of later threads are to the same one."""
        self.opened: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        super().__init__(
            path,
            pragmas=list(pragmas),
            timeout=0,
            thread_safe=not in_memory,
            check_same_thread=False,
            factory=Connection,
        )

    def keep_to_file(self) -> None:
        """Make no connection to any other file that may come to have this name."""
        self.identity = self._found()

    def _connect(self) -> sqlite3.Connection:
        self._check_file()  # SQLite would create one that is gone
        connection: sqlite3.Connection = super()._connect()
        try:
            self._check_file()
        except BaseException:
            connection.close()
            raise
        self.opened.add(connection)
        return connection

    def _check_file(self) -> None:
        if self.identity is not None and self._found() != self.identity:
            raise StoreUnavailable(
                self.database, "the file was moved or replaced; check what is there, and open it again"
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.database)
        except OSError:
            return None
        return found.st_dev, found.st_ino


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
    outermost: Callable[[], object] | None = None
    """A weak reference to our transaction that is open, where one is."""


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
            if self.owned:
                self.close_thread()
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
        return self._repeated(sql, values, sqlite3.Cursor.fetchall)

    def run(self, sql: str, values: object = ()) -> list[Row]:
        """Run one statement that is its own transaction, or part of the open one; the rows that it returns."""
        return self._written(sql, values, sqlite3.Cursor.fetchall)

    def count(self, sql: str, values: object = ()) -> int:
        """Run one statement that is its own transaction, or part of the open one; how many rows it changed."""
        return self._written(sql, values, _rowcount)

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
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the moment begins with a read
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
        if not self.is_shared and self._pid == os.getpid():
            self._threads.connection = None
            if not self.database.is_closed():
                self.database.close()

    def close(self) -> None:
        """Close the store. A caller's own database stays open.

        Other threads may be in the middle of a statement, so each closes its own connection: at its next call, which
        is refused, or when it ends.
        """
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        if self.owned:
            with self._lock:
                self._threads.connection = None
                if not self.database.is_closed():
                    self.database.close()

    def _connect(self) -> object:
        """A connection for this thread; setting it up may meet another process that holds the file."""
        give_up: float | None = None
        while True:
            try:
                return self.database.connection()
            except (sqlite3.Error, peewee.PeeweeException) as error:
                original = driver_error(error)
                if not is_busy(original):
                    told = translated(original, self.path)
                    if isinstance(told, StoreError):
                        raise told from error
                    raise StoreUnavailable(self.path, f"no connection can be made: {error}") from error
                give_up = self._wait_turn(give_up, original)

    def _written(self, sql: str, values: object, finish: Callable[[sqlite3.Cursor], Result]) -> Result:
        connection = self.connection()
        if connection.in_transaction:
            self._check_joinable(connection)
        return self._repeated(sql, values, finish)

    def _repeated(self, sql: str, values: object, finish: Callable[[sqlite3.Cursor], Result]) -> Result:
        with self._lock:
            connection = self.connection()
            give_up: float | None = None
            while True:
                try:
                    return finish(connection.execute(sql, values))  # type: ignore[arg-type]
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

    def _end_stale_transaction(self, connection: sqlite3.Connection) -> None:
        """Undo a transaction of ours that nobody ended: a signal raised an exception as its end began."""
        outermost = self._threads.outermost
        if self.owned and (outermost is None or outermost() is None):
            connection.execute("ROLLBACK")

    def _check_joinable(self, connection: sqlite3.Connection) -> None:
        """Refuse a caller's transaction that does not hold the write lock: turning it into a write may fail at once."""
        if self.owned or self._threads.outermost is not None:
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

    __slots__ = ("__weakref__", "_connection", "_engine", "_joined", "_within")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: sqlite3.Connection | None = None
        self._joined = False
        self._within: Any = None

    def __enter__(self) -> sqlite3.Connection:
        engine = self._engine
        engine._lock.__enter__()
        try:
            self._connection = connection = engine.connection()
            if connection.in_transaction:
                engine._end_stale_transaction(connection)
            self._joined = connection.in_transaction
            if self._joined:
                engine._check_joinable(connection)
            self._begin(connection)
        except BaseException:
            # An exception that a signal raised may come at any moment, also right after the beginning.
            try:
                if not self._joined:
                    engine._threads.outermost = None
                    self._undo()
            finally:
                engine._lock.__exit__(None, None, None)
            raise
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
                    self._engine._threads.outermost = None
                self._engine._lock.__exit__(None, None, None)
        if isinstance(error, sqlite3.Error):
            raise translated(error, self._engine.path) from error

    def _held(self) -> sqlite3.Connection:
        assert self._connection is not None
        return self._connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Begin, or join; a caller's own database is told, so that peewee knows of it too."""
        engine = self._engine
        if not self._joined:
            engine._threads.outermost = weakref.ref(self)
        elif engine.owned:
            connection.execute(_JOIN)
            return
        give_up: float | None = None
        while True:
            try:
                if engine.owned:
                    connection.execute("BEGIN IMMEDIATE")
                else:
                    within = engine.database.atomic("IMMEDIATE")
                    within.__enter__()
                    self._within = within
            except (sqlite3.Error, peewee.PeeweeException) as error:
                original = driver_error(error)
                if not is_busy(original):
                    raise translated(original, engine.path) from error
                give_up = engine._wait_turn(give_up, original)
            else:
                return

    def _commit(self) -> None:
        try:
            if self._within is not None:
                within, self._within = self._within, None
                within.__exit__(None, None, None)
            else:
                self._held().execute("RELEASE jobstate" if self._joined else "COMMIT")
        except (sqlite3.Error, peewee.PeeweeException) as error:
            raise translated(driver_error(error), self._engine.path) from error

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
            raise translated(driver_error(failed), self._engine.path) from failed


def _rowcount(cursor: sqlite3.Cursor) -> int:
    return cursor.rowcount


def driver_error(error: Exception) -> sqlite3.Error:
    """The driver's own error behind one that peewee wrapped."""
    original = getattr(error, "orig", error)
    return original if isinstance(original, sqlite3.Error) else sqlite3.Error(str(error))


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_inherited: list[Iterable[sqlite3.Connection]] = []


def _keep_inherited_connections() -> None:
    """In a forked child, keep the parent's connections from ever being closed here: that would disturb its locks."""
    _inherited.extend(list(engine.database.opened) for engine in list(_engines) if engine.owned)


os.register_at_fork(after_in_child=_keep_inherited_connections)
