"""Creating the schema, upgrading it in place, and saying what about it is not as it should be."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import peewee

from jobstate.domain.errors import SchemaMismatch
from jobstate.storage.engine import Engine
from jobstate.storage.schema.constraints import indexes, views
from jobstate.storage.schema.guards import edge_rows, guards
from jobstate.storage.schema.tables import Tables, define

APPLICATION_ID: Final = 0x4A6F6253  # "JobS"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: what brings the version before it to `version`, inside one transaction."""

    version: int
    apply: Callable[[sqlite3.Connection, Tables], None]


def _create(connection: sqlite3.Connection, tables: Tables) -> None:
    for statement in _creation(tables.prefix):
        connection.execute(statement)
    connection.executemany(f"INSERT INTO {tables.prefix}lifecycle_edges VALUES (?, ?, ?)", edge_rows())


MIGRATIONS: tuple[Migration, ...] = (Migration(1, _create),)


@cache
def _creation(prefix: str) -> tuple[str, ...]:
    """What creates tables, indexes and views; kept, because peewee takes its time over it."""
    dialect = peewee.SqliteDatabase(None)
    managers = (peewee.SchemaManager(model, database=dialect) for model in define(prefix).models)
    return (*(manager._create_table(safe=False).query()[0] for manager in managers), *indexes(prefix), *views(prefix))


def newest() -> int:
    """The version of the schema that this program writes."""
    return MIGRATIONS[-1].version


def version_in(connection: sqlite3.Connection, tables: Tables) -> int:
    """The version of the schema in the database; 0 where there is none."""
    there = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (f"{tables.prefix}meta",)
    ).fetchone()
    if there is None:
        return 0
    row = connection.execute(f"SELECT value FROM {tables.prefix}meta WHERE name = 'schema_version'").fetchone()
    return 0 if row is None else int(row[0])


def ensure(engine: Engine, tables: Tables, *, own_file: bool) -> None:
    """Bring the schema to the newest version; when several processes come at once, one does it.

    Raises:
        SchemaMismatch: The file was written by a newer jobstate, or belongs to another program.
    """
    connection = engine.connection()
    _refuse_newer(version_in(connection, tables), engine.path)
    if version_in(connection, tables) == newest():
        return
    if own_file:
        refuse_foreign(engine)
    with engine.transaction() as connection:
        present = version_in(connection, tables)
        _refuse_newer(present, engine.path)
        if present == newest():
            return
        _drop_guards(connection, tables)
        for migration in MIGRATIONS:
            if migration.version > present:
                migration.apply(connection, tables)
        connection.execute(
            f"INSERT OR REPLACE INTO {tables.prefix}meta (name, value) VALUES ('schema_version', ?)", (str(newest()),)
        )
        for statement in guards(tables.prefix):
            connection.execute(statement)
        if own_file:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {newest()}")


def differences(connection: sqlite3.Connection, tables: Tables) -> list[str]:
    """What in the database is missing from the schema, or is not as this program would have written it."""
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for migration in MIGRATIONS:
            migration.apply(fresh, tables)
        for statement in guards(tables.prefix):
            fresh.execute(statement)
        wanted = _objects(fresh, tables)
        edges = set(edge_rows())
    finally:
        fresh.close()
    found = _objects(connection, tables)
    told = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    told += [
        f"{name} is not as it was created" for name in sorted(wanted) if name in found and found[name] != wanted[name]
    ]
    if f"{tables.prefix}lifecycle_edges" in found:
        stored = set(connection.execute(f"SELECT from_state, trigger, to_state FROM {tables.prefix}lifecycle_edges"))
        if stored != edges:
            told.append(f"{tables.prefix}lifecycle_edges does not hold the lifecycle")
    told += [f"trigger {name} is foreign" for name in sorted(_foreign_triggers(connection, tables) - wanted.keys())]
    return told


def _objects(connection: sqlite3.Connection, tables: Tables) -> dict[str, str]:
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {name: sql for name, sql in rows if name.startswith(tables.prefix)}


def _foreign_triggers(connection: sqlite3.Connection, tables: Tables) -> set[str]:
    ours = [model._meta.table_name for model in tables.models]
    marks = ", ".join("?" for _ in ours)
    rows = connection.execute(f"SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({marks})", ours)
    return {name for (name,) in rows}


def _drop_guards(connection: sqlite3.Connection, tables: Tables) -> None:
    for name in _foreign_triggers(connection, tables):
        connection.execute(f'DROP TRIGGER "{name}"')


def _refuse_newer(present: int, path: str) -> None:
    if present > newest():
        raise SchemaMismatch(
            path, f"its schema has version {present}, this program knows up to {newest()}: upgrade jobstate to use it"
        )


def refuse_foreign(engine: Engine) -> None:
    """SchemaMismatch when the file holds the tables of another program."""
    # In this order: another process that makes the schema meanwhile writes both in one transaction.
    ((others,),) = engine.read("SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    ((application,),) = engine.read("PRAGMA application_id")
    if others and application != APPLICATION_ID:
        raise SchemaMismatch(
            engine.path,
            "it is the database of another program; to keep jobs in it, open it with peewee and pass that database, "
            "or name another file",
        )
