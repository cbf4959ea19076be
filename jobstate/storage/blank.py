"""A database with the newest schema and no jobs, made once per process: a copy costs a fifth of what its schema costs.

A store in memory begins as a copy. Among files only those of tests do (`jobstate.testing.staged`): several processes
may create a file at the same time, which takes the transaction of `migrations.ensure`.
"""

from __future__ import annotations

import os
import sqlite3
from functools import cache
from typing import Final

from jobstate.storage.connections import Connections, OwnDatabase, Timing
from jobstate.storage.engine import Engine
from jobstate.storage.schema import migrations
from jobstate.storage.statements import statements

AUTO_VACUUM: Final = "PRAGMA auto_vacuum = INCREMENTAL"
_VERSIONS: Final = slice(18, 20)
"""The bytes of a database header for the journal of writers and readers: 1 a rollback journal, 2 a WAL."""


def fill(connection: sqlite3.Connection, durability: str) -> None:
    """Copy the blank into an empty database; leave it empty where this SQLite cannot serialize one."""
    image = _image(migrations.newest(), durability)
    if image is None:
        return
    source = sqlite3.connect(":memory:")
    try:
        source.deserialize(image)
        source.backup(connection)
    finally:
        source.close()


def write(path: str | os.PathLike[str], durability: str) -> None:
    """Create a file of that durability that holds the blank, unless there is one.

    Where SQLite cannot serialize one, `open` creates the file.
    """
    image = _image(migrations.newest(), durability)
    if image is None:
        return
    content = bytearray(image)
    content[_VERSIONS] = b"\x02\x02"
    try:
        with open(path, "xb") as file:
            file.write(content)
    except OSError:  # `open` reports what is wrong with the path
        return


@cache
def _image(version: int, durability: str) -> bytes | None:
    """The bytes of the blank; `version` is that of the schema, for which it is kept."""
    if not hasattr(sqlite3.Connection, "serialize"):
        return None
    database = OwnDatabase(":memory:", [], in_memory=True)
    engine = Engine(Connections(database, ":memory:", 0, _NO_WAITING, owned=True))
    try:
        engine.read(AUTO_VACUUM)
        migrations.ensure(engine, statements("").tables, own_file=True, now=0, durability=durability)
        return engine.connections.connection().serialize()
    finally:
        engine.connections.close()


_NO_WAITING: Final = Timing(float, lambda seconds: None, float)
"""No other connection sees this database."""
