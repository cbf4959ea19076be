"""The store over SQLite: its parts put together, and opening one."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import peewee

from jobstate.domain.errors import InvalidRequest, StoreUnavailable, UnsupportedSQLite
from jobstate.ports.repository import Sizes
from jobstate.storage import blank
from jobstate.storage.engine import Clockwork, Engine, OwnDatabase
from jobstate.storage.history import SqlHistory
from jobstate.storage.jobs import SqlJobs
from jobstate.storage.leases import SqlLeases, SqlWorkers
from jobstate.storage.reports import SqlReports
from jobstate.storage.schema import migrations
from jobstate.storage.statements import statements
from jobstate.storage.telemetry import SqlTelemetry
from jobstate.storage.transaction import Transaction

if TYPE_CHECKING:
    from jobstate.observers.dispatcher import Dispatcher

OLDEST_SQLITE: Final = (3, 37, 0)
SYNCHRONOUS: Final = {"full": "FULL", "normal": "NORMAL"}
EMBEDDED_PREFIX: Final = "jobstate_"
_BACKUP_PAGES: Final = 512
_WAL_LIMIT: Final = 64 * 1024 * 1024


class SqliteRepository:
    """`jobstate.ports.repository.Repository` over SQLite. Made by `open_file` and `open_within`."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._sql = statements(prefix)
        self._engine = engine
        self._tables = self._sql.tables
        self._polled: int | None = None
        engine.schema_check = migrations.SchemaWatch(self._tables, engine.path).check
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
        return self._engine.path

    def transaction(self) -> Transaction:
        return self._engine.transaction()

    def in_transaction(self) -> bool:
        return self._engine.connection().in_transaction

    def version(self) -> int:
        number: int = self._engine.read("PRAGMA data_version")[0][0]
        if number != self._polled:
            self._polled = number
            self._engine.verify_schema()
        if self._engine.is_shared:  # one connection for all threads: that counter leaves out its own changes
            number += self._engine.connection().total_changes
        return number

    def schema_version(self) -> int:
        with self._engine.guarded() as connection:
            return migrations.version_in(connection, self._tables).number

    def sizes(self) -> Sizes:
        return Sizes(
            *(os.path.getsize(part) if os.path.exists(part) else 0 for part in (self.path, f"{self.path}-wal"))
        )

    def relaxed(self) -> None:
        if self._engine.owned:
            self._engine.read("PRAGMA synchronous = NORMAL")

    def close_thread(self) -> None:
        self._engine.close_thread()

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
        self._engine.close()


def open_file(
    path: str | os.PathLike[str],
    *,
    durability: str,
    create: bool,
    timeout: float,
    clockwork: Clockwork,
    now: int,
    dispatcher: Dispatcher | None = None,
    despite_workers: bool = False,
) -> SqliteRepository:
    """Open a file, or `:memory:`, and bring its schema up to date.

    Raises:
        StoreUnavailable: The file or its folder is missing.
        SchemaMismatch: As `jobstate.storage.schema.migrations.ensure` says.
        StoreCorrupt: The file is not a database.
    """
    if durability not in SYNCHRONOUS:
        raise InvalidRequest("durability", f"must be one of {', '.join(SYNCHRONOUS)}, not {durability!r}")
    name = os.fspath(path)
    in_memory = name == ":memory:"
    _check_library(name)
    if not in_memory:
        name = _checked_path(name, create=create)
    # temp_store stays as it is: in memory, SQLite keeps what undoes a statement in pieces of a kilobyte, which costs
    # each guarded write inside a transaction a fifth; else it is one piece of memory, and a file only beyond 64 KiB.
    pragmas = [("synchronous", SYNCHRONOUS[durability]), ("journal_size_limit", _WAL_LIMIT)]
    database = OwnDatabase(name, pragmas, in_memory=in_memory)
    engine = _engine(database, name, timeout, clockwork, owned=True, dispatcher=dispatcher)
    try:
        if in_memory:
            blank.fill(engine.connection())
        if _is_empty(engine):
            # Only a database without pages takes it; which of several processes writes the first page does not matter.
            engine.read(blank.AUTO_VACUUM)
        if not in_memory and engine.read("PRAGMA journal_mode")[0][0] != "wal":
            migrations.refuse_foreign(engine)
            if engine.run("PRAGMA journal_mode = WAL")[0][0] != "wal":
                raise StoreUnavailable(name, "its file system cannot share memory between processes; use a local disk")
        migrations.ensure(engine, statements("").tables, own_file=True, now=now, despite_workers=despite_workers)
        if not in_memory:
            database.keep_to_file()
    except BaseException:
        engine.close()
        raise
    return _repository(engine, "")


def open_within(
    database: peewee.SqliteDatabase,
    *,
    prefix: str,
    timeout: float,
    clockwork: Clockwork,
    now: int,
    dispatcher: Dispatcher | None = None,
) -> SqliteRepository:
    """Keep jobs in a database that the caller has opened with peewee, in tables whose names begin with `prefix`."""
    if not isinstance(database, peewee.SqliteDatabase):
        known = "a path, a peewee SqliteDatabase or a jobstate.ports.repository.Repository"
        raise InvalidRequest("target", f"must be {known}, not {type(database).__name__}")
    if not prefix.isidentifier():
        raise InvalidRequest("table_prefix", f"must be a name such as {EMBEDDED_PREFIX!r}, not {prefix!r}")
    path = str(database.database)
    if path == ":memory:" and database.thread_safe:
        raise InvalidRequest("target", "gives each thread a database of its own; pass thread_safe=False with :memory:")
    _check_library(path)
    engine = _engine(database, path, timeout, clockwork, owned=False, dispatcher=dispatcher)
    migrations.ensure(engine, statements(prefix).tables, own_file=False, now=now)
    return _repository(engine, prefix)


def _engine(
    database: peewee.SqliteDatabase,
    path: str,
    timeout: float,
    clockwork: Clockwork,
    *,
    owned: bool,
    dispatcher: Dispatcher | None,
) -> Engine:
    if dispatcher is None:
        return Engine(database, path, timeout, clockwork, owned=owned)
    from jobstate.storage.observed import ObservedEngine  # only who observes pays for it

    return ObservedEngine(database, path, timeout, clockwork, owned=owned, dispatcher=dispatcher)


def _repository(engine: Engine, prefix: str) -> SqliteRepository:
    if type(engine) is Engine:
        return SqliteRepository(engine, prefix)
    from jobstate.storage.observed import ObservedEngine, ObservedRepository

    assert isinstance(engine, ObservedEngine)
    return ObservedRepository(engine, prefix)


def _is_empty(engine: Engine) -> bool:
    pages: Any = engine.read("PRAGMA page_count")[0][0]
    return bool(pages == 0)


def _check_library(path: str) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise UnsupportedSQLite(
            path, f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed: use a newer Python"
        )
    if peewee.sqlite3 is not sqlite3:
        raise UnsupportedSQLite(
            path,
            f"peewee uses {peewee.sqlite3.__name__}, a second copy of SQLite that would drop the locks of the first: "
            "uninstall pysqlite3",
        )


def _checked_path(name: str, *, create: bool) -> str:
    path = os.path.abspath(name)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise StoreUnavailable(path, f"its folder does not exist; create {folder} first")
    if not os.path.exists(path):
        if not create:
            raise StoreUnavailable(path, "there is no such file; check the path, or open it with create=True")
    elif not stat.S_ISREG(os.stat(path).st_mode):
        raise StoreUnavailable(path, "it is not a file; name a database file")
    return path
