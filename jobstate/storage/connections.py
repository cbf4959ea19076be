"""The connections of a store, one per thread: opening and closing them, and waiting for the write lock.

SQLite's own busy handler sleeps longer and longer, and starves: with four writers one of them got nothing for seconds.
Here a busy writer tries again after 0.05 to 2 ms, by chance.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final, NoReturn

import peewee

from jobstate.core.cancellation import is_cancelled
from jobstate.domain.errors import (
    InvalidRequest,
    SchemaMismatch,
    StoreClosed,
    StoreError,
    StoreForked,
    StoreUnavailable,
    UnsupportedSQLite,
)
from jobstate.storage.errors import driver_error, is_busy, translated
from jobstate.storage.file_uri import file_uri
from jobstate.storage.wal_checkpoints import WalCheckpoints

SHORTEST_RETRY: Final = 0.00005
LONGEST_RETRY: Final = 0.002
SCHEMA_CHECK_INTERVAL: Final = 0.05
"""Seconds between two checks of the schema by transactions; one costs a short transaction 3 %."""
_WRITE_LOCKS: Final = ("IMMEDIATE", "EXCLUSIVE")


class Connection(sqlite3.Connection):
    """A connection that can be remembered without being kept alive: it closes with the thread that owns it."""


class OwnDatabase(peewee.SqliteDatabase):
    """A peewee database whose connections jobstate sets up, remembers and closes, one per thread.

    SQLite takes an empty file for a new database and deletes the write-ahead log beside it, with all that was committed
    there. So no connection creates a file that was there before, and none runs a statement on another file: the
    server's file may be away for a moment.
    """

    def __init__(self, path: str, pragmas: Sequence[tuple[str, object]], *, in_memory: bool) -> None:
        self.path = path
        self.identity: tuple[int, int] | None = None
        """Device and inode of the file, once it was opened; connections of later threads go to the same one."""
        self.opened: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        super().__init__(
            path,
            pragmas=list(pragmas),
            timeout=0,
            thread_safe=not in_memory,
            check_same_thread=False,
            factory=Connection,
        )

    def connect_apart(self) -> sqlite3.Connection:
        """One more connection, of no thread; who asks for it closes it."""
        return self._connect()

    def keep_to_file(self) -> None:
        """Refuse connections to another file that takes this name later."""
        self.create_none()
        self.identity = self._found()

    def create_none(self) -> None:
        """Let no connection create the file."""
        self.database = file_uri(self.path, "rw")
        self.connect_params["uri"] = True

    def _connect(self) -> sqlite3.Connection:
        try:
            connection: sqlite3.Connection = super()._connect()
        except sqlite3.Error:
            self._check_file()  # its error says more
            raise
        self.opened.add(connection)
        return connection

    def _add_conn_hooks(self, connection: sqlite3.Connection) -> None:
        self._check_file()  # before the first statement
        super()._add_conn_hooks(connection)

    def _check_file(self) -> None:
        if self.identity is not None and self._found() != self.identity:
            raise StoreUnavailable(self.path, "the file was moved or replaced; check what is there, and open it again")

    def confirm_file(self) -> None:
        """StoreUnavailable when the file was removed, moved, replaced or emptied since it was opened."""
        try:
            found = os.stat(self.path)
        except OSError:
            found = None
        if found is None or not found.st_size or (found.st_dev, found.st_ino) != self.identity:
            raise StoreUnavailable(
                self.path,
                "the file was removed, moved, replaced or emptied, and this change is in no store that can be opened "
                "by its name; check what is there, open it again, and repeat the call",
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


class Timing:
    """What waiting needs of the machine: time to measure a timeout with, sleep, and chance."""

    def __init__(
        self, monotonic: Callable[[], float], sleep: Callable[[float], None], chance: Callable[[], float]
    ) -> None:
        self.monotonic = monotonic
        self.sleep = sleep
        self.chance = chance


class _Threads(threading.local):
    """What each thread has of its own."""

    connection: sqlite3.Connection | None = None
    """Its connection, where jobstate owns the database: asking peewee for it costs a microsecond."""
    outermost: Callable[[], object] | None = None
    """A weak reference to the open transaction of jobstate, if there is one."""


class Connections:
    """The connections to one SQLite database, from every thread of one process.

    Args:
        database: The source of the connections: of jobstate, or of the caller.
        path: The name of the database in errors.
        timeout: Seconds to wait for other writers.
        owned: Whether jobstate sets the connections up and closes them.
    """

    def __init__(
        self, database: peewee.SqliteDatabase, path: str, timeout: float, timing: Timing, *, owned: bool
    ) -> None:
        self.database = database
        self.path = path
        self.timeout = timeout
        self.owned = owned
        self.timing = timing
        self.checkpoints: WalCheckpoints | None = None
        """Copies the log back; None in memory, and in a caller's own database, which does it by itself."""
        self.syncs = False
        """Whether each commit reaches the disk before it is acknowledged, as far as jobstate sets that."""
        self.is_shared = not database.thread_safe
        """One connection serves all threads, behind a lock."""
        self.lock: AbstractContextManager[Any] = threading.RLock() if self.is_shared else nullcontext()
        """Held while the shared connection is used; the frequent calls skip it where each thread has its own."""
        self.threads = _Threads()
        self.schema_check: Callable[[sqlite3.Connection], None] = _unchecked
        """Raises SchemaMismatch when another program has upgraded the schema."""
        self.recheck_at = 0.0
        """When the next transaction checks the schema."""
        self._closed = False
        self._inherited = False
        self.gone = False
        """Closed, or inherited by a fork: `connection` then says which."""
        _open.add(self)

    def connection(self) -> sqlite3.Connection:
        """The connection of this thread.

        Where it matters, callers take `threads.connection` first, which saves the call: unless it is None or `gone`.
        """
        if self.gone:
            self._refuse()
        known = self.threads.connection
        return self._new_connection() if known is None else known

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Compare the file with what its name stands for now, and look after the log.

        Raises:
            StoreUnavailable: The change is in a file that has lost its name, or was emptied: it is not acknowledged.
        """
        if self.checkpoints is not None:
            self.database.confirm_file()
            self.checkpoints.after_commit(connection)

    def relax(self) -> bool:
        """Let the next commit of this thread reach the disk together with later ones, until `end_relaxed`.

        False where nothing was changed: at durability normal, in a caller's own database, inside a transaction, and on
        the main thread, where a signal's exception could leave the connection so.
        """
        if not self.syncs or threading.current_thread() is threading.main_thread():
            return False
        connection = self.connection()
        if connection.in_transaction:
            return False
        connection.execute("PRAGMA synchronous = NORMAL")
        return True

    def end_relaxed(self) -> None:
        """Let commits of this thread reach the disk at once again."""
        connection = self.threads.connection
        if connection is not None:
            connection.execute("PRAGMA synchronous = FULL")

    def inherit(self) -> None:
        """This process is a fork of the one that opened the store, whose connections it must not use."""
        self._inherited = self.gone = True

    def _refuse(self) -> NoReturn:
        if self._closed:
            if self.owned:
                self.close_thread()
            raise StoreClosed(self.path, "the store was closed; open it again")
        raise StoreForked(self.path, "the store was opened before a fork; open it again in the child process")

    def _new_connection(self) -> sqlite3.Connection:
        connection = self._connect()
        if not isinstance(connection, sqlite3.Connection):
            driver = type(connection).__module__
            raise UnsupportedSQLite(
                self.path,
                f"its driver is {driver}; two copies of SQLite in one process drop each other's locks: use sqlite3",
            )
        if self.owned:
            self.threads.connection = connection
        return connection

    @contextmanager
    def guarded(self) -> Iterator[sqlite3.Connection]:
        """The connection, with the errors of the driver translated."""
        with self.lock:
            connection = self.connection()
            try:
                yield connection
            except sqlite3.Error as error:
                raise translated(error, self.path) from error

    def close_thread(self) -> None:
        """Close the connection of the calling thread, which is about to end."""
        if not self.is_shared and not self._inherited:
            self.threads.connection = None
            if not self.database.is_closed():
                self.database.close()

    def close(self) -> None:
        """Close the store. A caller's own database stays open.

        Other threads may be in the middle of a statement, so each closes its own connection: at its next call, which
        is refused, or when it ends.
        """
        if self.gone:
            return
        self._closed = self.gone = True
        if self.checkpoints is not None:
            self.checkpoints.close()
        if self.owned:
            with self.lock:
                self.threads.connection = None
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
                    translation = translated(original, self.path)
                    if isinstance(translation, StoreError):
                        raise translation from error
                    raise StoreUnavailable(self.path, f"no connection can be made: {error}") from error
                give_up = self.wait_turn(give_up, original)

    def wait_turn(self, give_up: float | None, error: sqlite3.Error) -> float:
        """Pause before the next attempt and return when to give up; raise the error when that time has come."""
        timing = self.timing
        now = timing.monotonic()
        if give_up is None:
            give_up = now + self.timeout
        if now >= give_up or is_cancelled():
            raise translated(error, self.path) from error
        timing.sleep(SHORTEST_RETRY + (LONGEST_RETRY - SHORTEST_RETRY) * timing.chance())
        return give_up

    def recheck_schema(self, connection: sqlite3.Connection) -> None:
        """`schema_check`, and none is due for the next `SCHEMA_CHECK_INTERVAL`."""
        now = self.timing.monotonic()
        try:
            self.schema_check(connection)
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        self.recheck_at = now + SCHEMA_CHECK_INTERVAL

    def verify_schema(self) -> None:
        """Raise SchemaMismatch when another program has upgraded the schema since the store was opened."""
        with self.guarded() as connection:
            self.schema_check(connection)

    def verify_schema_if_due(self) -> None:
        """`verify_schema`, unless a check ran less than `SCHEMA_CHECK_INTERVAL` ago."""
        if self.timing.monotonic() >= self.recheck_at:
            with self.guarded() as connection:
                self.recheck_schema(connection)

    def _explain(self, connection: sqlite3.Connection, error: sqlite3.Error) -> None:
        """Raise SchemaMismatch when that is why a statement failed."""
        try:
            self.schema_check(connection)
        except SchemaMismatch as mismatch:
            raise mismatch from error
        except sqlite3.Error:  # the first error is the more telling one
            return

    def end_stale_transaction(self, connection: sqlite3.Connection) -> None:
        """Roll back a transaction of jobstate that a signal's exception kept from ending."""
        outermost = self.threads.outermost
        if self.owned and connection.in_transaction and (outermost is None or outermost() is None):
            connection.execute("ROLLBACK")

    def check_joinable(self) -> None:
        """Refuse a caller's transaction without the write lock: a write in it may fail at once."""
        if self.owned or self.threads.outermost is not None:
            return
        begun = self.database.top_transaction()
        lock = None if begun is None else (*begun._begin_args[0], *begun._begin_args[1].values(), None)[0]
        lock = lock or self.database._lock_type
        if begun is None or str(lock).upper() not in _WRITE_LOCKS:
            raise InvalidRequest(
                "transaction", "jobstate joins only a write transaction: begin it with db.atomic('IMMEDIATE')"
            )

    def wait_after(self, connection: sqlite3.Connection, error: sqlite3.Error, give_up: float | None = None) -> float:
        """Pause before a single statement that failed is repeated, and return when to give up; or raise its error."""
        if not is_busy(error) or connection.in_transaction:
            self._explain(connection, error)
            raise translated(error, self.path) from error
        return self.wait_turn(give_up, error)


def _unchecked(_connection: sqlite3.Connection) -> None:
    """The schema is being made."""


_open: weakref.WeakSet[Connections] = weakref.WeakSet()
_inherited: list[Iterable[sqlite3.Connection]] = []


def _after_fork() -> None:
    """In a forked child, keep the parent's connections from ever being closed here: that would disturb its locks."""
    for connections in list(_open):
        connections.inherit()
        if connections.owned:
            _inherited.append(list(connections.database.opened))


os.register_at_fork(after_in_child=_after_fork)
