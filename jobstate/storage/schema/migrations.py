"""The versions of the schema as frozen SQL: creating it, upgrading it in place, and naming what differs from it.

Nothing about a version is computed from the tables and guards of today, so that a file made by an old program and a
new file go through the same statements. To change the schema: change `tables`, `constraints`, `guards` or the
lifecycle, write the changes of tables and rows into the next `NNNN.sql` and add its `Migration`;
`python -m tests.guards.migration --write` completes both with the guards, the indexes and the fingerprint.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from jobstate.core.context import SILENT_AFTER
from jobstate.domain.errors import SchemaMismatch
from jobstate.storage.durability import FULL, store_durability
from jobstate.storage.engine import Engine
from jobstate.storage.schema.definition import fingerprint
from jobstate.storage.schema.tables import Tables
from jobstate.system import host

logger = logging.getLogger("jobstate")

APPLICATION_ID: Final = 0x4A6F6253  # "JobS"
_SHOWN: Final = 3
"""How many differences or workers an error names."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: what brings the version before it to `version`, inside one transaction.

    `fingerprint` is that of `definition` at that version; None where files do not have it yet. Tests give
    `sql` instead of a file.
    """

    version: int
    fingerprint: str | None
    sql: str | None = None

    def statements(self, prefix: str) -> Iterator[str]:
        """The statements over the tables of one prefix, in order."""
        text = _frozen(self.version) if self.sql is None else self.sql
        statement = ""
        for line in text.splitlines():
            if statement or (line and not line.startswith("--")):
                statement = f"{statement}\n{line}" if statement else line
                if sqlite3.complete_statement(statement):
                    yield statement.replace("{prefix}", prefix)
                    statement = ""
        assert not statement, f"version {self.version} ends within a statement"


MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, None),
    Migration(2, "de4a482f0611c053"),
    Migration(3, "e5998003f84f93c9"),
)


class Version(NamedTuple):
    """Which schema a database has: its number, 0 where there is none, and the fingerprint of what it was made of."""

    number: int
    fingerprint: str | None


def newest() -> int:
    """The version of the schema that this program writes."""
    return MIGRATIONS[-1].version


def version_in(connection: sqlite3.Connection, tables: Tables) -> Version:
    """The version of the schema in the database."""
    meta = f"{tables.prefix}meta"
    if connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (meta,)).fetchone() is None:
        return Version(0, None)
    values = dict(connection.execute(f"SELECT name, value FROM {meta}").fetchall())
    return Version(int(values.get("schema_version", 0)), values.get("fingerprint"))


def ensure(
    engine: Engine,
    tables: Tables,
    *,
    own_file: bool,
    now: int,
    durability: str = FULL,
    despite_workers: bool = False,
) -> None:
    """Bring the schema to the newest version; when several processes come at once, one does it.

    Args:
        engine: The database.
        tables: The tables of the store in it.
        own_file: The file holds nothing but the store.
        now: Microseconds since 1970 UTC, by which workers are alive.
        durability: That of a file that is created.
        despite_workers: Upgrade also while workers of other processes are alive.

    Raises:
        SchemaMismatch: The file was written by a newer jobstate or another build of this one, has another schema
            than its version, is in use by workers of an older jobstate, or belongs to another program.
    """
    if fingerprint() != MIGRATIONS[-1].fingerprint:
        raise SchemaMismatch(
            engine.connections.path,
            f"this program's own tables, guards or lifecycle are not those of schema version {newest()}: "
            "it needs a migration of its own (see jobstate/storage/schema/migrations.py)",
        )
    if _is_newest(engine.connections.connection(), tables, engine.connections.path):
        return
    if own_file:
        refuse_foreign(engine)
    with engine.transaction() as connection:
        if _is_newest(connection, tables, engine.connections.path):
            return
        present = version_in(connection, tables).number
        if present:
            _refuse_altered(connection, tables, engine.connections.path, present)
            if not despite_workers:
                _refuse_live_workers(connection, tables, engine.connections.path, now)
        for migration in MIGRATIONS:
            if migration.version > present:
                for statement in migration.statements(tables.prefix):
                    connection.execute(statement)
        if not present and durability != FULL:
            store_durability(connection, tables, durability)
        if own_file:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {newest()}")
    if present:
        logger.info("%s: upgraded from schema version %d to %d", engine.connections.path, present, newest())


class SchemaWatch:
    """Notices when another program upgrades the schema of a store that is open."""

    def __init__(self, tables: Tables, path: str) -> None:
        self._tables = tables
        self._path = path
        self._seen: int | None = None

    def check(self, connection: sqlite3.Connection) -> None:
        """SchemaMismatch once the schema is newer than this program; read anew only after SQLite's counter moved."""
        (counter,) = connection.execute("PRAGMA schema_version").fetchone()
        if counter != self._seen:
            _is_newest(connection, self._tables, self._path)
            self._seen = counter


def differences(connection: sqlite3.Connection, tables: Tables, version: int | None = None) -> list[str]:
    """What in the database is missing from the schema of that version, or is not as its SQL makes it."""
    return [*_altered(connection, tables, newest() if version is None else version), *_strangers(connection, tables)]


def _altered(connection: sqlite3.Connection, tables: Tables, version: int) -> Iterator[str]:
    wanted, edges = _made(tables.prefix, MIGRATIONS[:version])
    found = _objects(connection, tables.prefix)
    yield from (f"{name} is missing" for name in sorted(wanted.keys() - found.keys()))
    for name in sorted(wanted.keys() & found.keys()):
        if found[name] != wanted[name]:
            yield f"{name} is not as it was created"
    if f"{tables.prefix}lifecycle_edges" in found and _edges(connection, tables.prefix) != edges:
        yield f"{tables.prefix}lifecycle_edges does not hold the lifecycle"


def _strangers(connection: sqlite3.Connection, tables: Tables) -> Iterator[str]:
    """The triggers and indexes on our tables that no version of the schema has.

    With a unique index of its own and INSERT OR REPLACE a writer removes a job past every guard.
    """
    names = [model._meta.table_name for model in tables.models]
    marks = ", ".join("?" for _ in names)
    rows = connection.execute(
        f"SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'index') AND sql IS NOT NULL "
        f"AND tbl_name IN ({marks}) ORDER BY name",
        names,
    )
    known, _ = _made(tables.prefix, MIGRATIONS)
    yield from (f"{kind} {name} is foreign" for kind, name in rows if name not in known)


@cache
def _made(prefix: str, steps: tuple[Migration, ...]) -> tuple[dict[str, str], set[tuple[str, str, str]]]:
    """The objects and the edges that these migrations make."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for step in steps:
            for statement in step.statements(prefix):
                fresh.execute(statement)
        return _objects(fresh, prefix), _edges(fresh, prefix)
    finally:
        fresh.close()


def _objects(connection: sqlite3.Connection, prefix: str) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {name: sql for name, sql in rows if name.startswith(prefix)}


def _edges(connection: sqlite3.Connection, prefix: str) -> set[tuple[str, str, str]]:
    return set(connection.execute(f"SELECT from_state, trigger, to_state FROM {prefix}lifecycle_edges"))


@cache
def _frozen(version: int) -> str:
    from importlib.resources import files  # only a program that creates or upgrades a store pays for it

    return (files(__package__) / f"{version:04}.sql").read_text(encoding="utf-8")


def _is_newest(connection: sqlite3.Connection, tables: Tables, path: str) -> bool:
    """Whether the schema needs nothing done; SchemaMismatch where this program must not use it."""
    present = version_in(connection, tables)
    if present.number > newest():
        raise SchemaMismatch(
            path,
            f"its schema has version {present.number}, this program knows up to {newest()}: upgrade jobstate to use it",
        )
    if present.number == 0:
        return False
    known = MIGRATIONS[present.number - 1].fingerprint
    if present.fingerprint != known:
        raise SchemaMismatch(
            path,
            f"its schema of version {present.number} has the fingerprint {present.fingerprint}, not {known}: another "
            "build of jobstate wrote it; open it with that one, or restore a backup",
        )
    return present.number == newest()


def _refuse_altered(connection: sqlite3.Connection, tables: Tables, path: str, version: int) -> None:
    altered = list(_altered(connection, tables, version))
    if altered:
        raise SchemaMismatch(
            path,
            f"it cannot be upgraded, as its schema is not that of version {version}: {_some(altered)}; open it with "
            "the jobstate that wrote it, or restore a backup",
        )


def _refuse_live_workers(connection: sqlite3.Connection, tables: Tables, path: str, now: int) -> None:
    """A worker of an older jobstate must not meet tables and guards that it does not know."""
    here = (host(), os.getpid())
    rows = connection.execute(
        f"SELECT node_id, host, pid FROM {tables.prefix}workers WHERE heartbeat_at >= ? ORDER BY node_id",
        (now - int(SILENT_AFTER * 1_000_000),),
    )
    alive = [f"{node} (process {pid} on {name})" for node, name, pid in rows if (name, pid) != here]
    if alive:
        raise SchemaMismatch(
            path,
            f"it needs an upgrade to schema version {newest()}, and workers use it: {_some(alive)}; stop them first, "
            "or run `jobstate migrate`, after which they fail",
        )


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def refuse_foreign(engine: Engine) -> None:
    """SchemaMismatch when the file holds the tables of another program."""
    # In this order: another process that makes the schema meanwhile writes both in one transaction.
    ((others,),) = engine.read("SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    ((application,),) = engine.read("PRAGMA application_id")
    if others and application != APPLICATION_ID:
        raise SchemaMismatch(
            engine.connections.path,
            "it is the database of another program; to keep jobs in it, open it with peewee and pass that database, "
            "or name another file",
        )
