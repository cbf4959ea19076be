"""The durability of a file: every store that opens it syncs at least as its `meta` demands.

Another process may read and act on a change that one process did not sync: so how much a power cut may take back is a
property of the file, and not of each process.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from jobstate.domain.errors import InvalidRequest
from jobstate.storage.connections import Connections
from jobstate.storage.schema.tables import Tables

FULL: Final = "full"
NORMAL: Final = "normal"
SYNCHRONOUS: Final = {FULL: "FULL", NORMAL: "NORMAL"}

_log: Final = logging.getLogger("jobstate")
_reported: Final[set[str]] = set()


def checked_durability(durability: str) -> str:
    """The durability; InvalidRequest for a word that is none."""
    if durability not in SYNCHRONOUS:
        raise InvalidRequest("durability", f"must be one of {', '.join(SYNCHRONOUS)}, not {durability!r}")
    return durability


def stored_durability(connection: sqlite3.Connection, tables: Tables) -> str:
    """The durability of the file: `full`, unless its `meta` says `normal`."""
    row = connection.execute(f"SELECT value FROM {tables.prefix}meta WHERE name = 'durability'").fetchone()
    return NORMAL if row == (NORMAL,) else FULL


def store_durability(connection: sqlite3.Connection, tables: Tables, durability: str) -> None:
    """Set the durability of the file, inside a transaction; its guard lets it only rise."""
    guard = f"{tables.prefix}meta_update_guard"
    found = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (guard,)).fetchall()
    connection.execute(f"DROP TRIGGER IF EXISTS {guard}")
    connection.execute(f"UPDATE {tables.prefix}meta SET value = ? WHERE name = 'durability'", (durability,))
    for (sql,) in found:  # none where somebody has dropped it, which the audit reports
        connection.execute(sql)


def apply_durability(connections: Connections, tables: Tables, wanted: str) -> None:
    """Let the connections of a store that was opened with `wanted` sync as that and the file demand."""
    kept = stored_durability(connections.connection(), tables)
    connections.syncs = FULL in (wanted, kept)
    if wanted == NORMAL and connections.syncs:
        connections.database.pragma("synchronous", SYNCHRONOUS[FULL], permanent=True)
        if connections.path not in _reported:
            _reported.add(connections.path)
            _log.warning(
                "%s: opened with durability normal, but the durability of the file is full, so every change is synced; "
                "`jobstate migrate --durability normal` lowers it",
                connections.path,
            )
