"""Opening a store: a file, a store in memory, or one in the caller's own peewee database."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import TYPE_CHECKING, Any, Final

import peewee

from jobstate.domain.errors import InvalidRequest, StoreUnavailable, UnsupportedSQLite
from jobstate.storage import blank
from jobstate.storage.connections import Connections, OwnDatabase, Timing
from jobstate.storage.durability import SYNCHRONOUS, apply_durability, checked_durability
from jobstate.storage.engine import Engine
from jobstate.storage.repository import SqliteRepository
from jobstate.storage.schema import migrations
from jobstate.storage.statements import statements
from jobstate.storage.wal_checkpoints import WalCheckpoints

if TYPE_CHECKING:
    from jobstate.observers.dispatcher import Dispatcher

OLDEST_SQLITE: Final = (3, 37, 0)
EMBEDDED_PREFIX: Final = "jobstate_"
_WAL_LIMIT: Final = 64 * 1024 * 1024


def open_file(
    path: str | os.PathLike[str],
    *,
    durability: str,
    create: bool,
    timeout: float,
    timing: Timing,
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
    checked_durability(durability)
    name = os.fspath(path)
    in_memory = name == ":memory:"
    _check_library(name)
    if not in_memory:
        name = _checked_path(name, create=create)
    # temp_store stays as it is: in memory, SQLite keeps what undoes a statement in pieces of a kilobyte, which costs
    # each guarded write inside a transaction a fifth; else it is one piece of memory, and a file only beyond 64 KiB.
    pragmas = [("synchronous", SYNCHRONOUS[durability]), ("journal_size_limit", _WAL_LIMIT), ("wal_autocheckpoint", 0)]
    database = OwnDatabase(name, pragmas, in_memory=in_memory)
    if not in_memory and not create:
        database.create_none()
    connections = Connections(database, name, timeout, timing, owned=True)
    engine = _engine(connections, dispatcher)
    try:
        if in_memory:
            blank.fill(connections.connection(), durability)
        if _is_empty(engine):
            # Only a database without pages takes it; which of several processes writes the first page does not matter.
            engine.read(blank.AUTO_VACUUM)
        if not in_memory and engine.read("PRAGMA journal_mode")[0][0] != "wal":
            migrations.refuse_foreign(engine)
            if engine.run("PRAGMA journal_mode = WAL")[0][0] != "wal":
                raise StoreUnavailable(name, "its file system cannot share memory between processes; use a local disk")
        tables = statements("").tables
        migrations.ensure(
            engine, tables, own_file=True, now=now, durability=durability, despite_workers=despite_workers
        )
        if not in_memory:
            apply_durability(connections, tables, durability)
            database.keep_to_file()
            connections.checkpoints = WalCheckpoints(name, database.connect_apart, timing.monotonic)
    except BaseException:
        connections.close()
        raise
    return _repository(engine, "")


def open_within(
    database: peewee.SqliteDatabase,
    *,
    prefix: str,
    timeout: float,
    timing: Timing,
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
    engine = _engine(Connections(database, path, timeout, timing, owned=False), dispatcher)
    migrations.ensure(engine, statements(prefix).tables, own_file=False, now=now)
    return _repository(engine, prefix)


def _engine(connections: Connections, dispatcher: Dispatcher | None) -> Engine:
    if dispatcher is None:
        return Engine(connections)
    from jobstate.storage.observed import ObservedEngine  # only a store with observers pays for it

    return ObservedEngine(connections, dispatcher)


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
    else:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise StoreUnavailable(path, "it is not a file; name a database file")
        if not found.st_size and not create:
            raise StoreUnavailable(
                path, "the file is empty and holds no store; restore a backup, or open it with create=True"
            )
    return path
