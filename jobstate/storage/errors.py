"""What SQLite's errors mean to the user of a store, judged by their code and not by their text."""

from __future__ import annotations

import sqlite3
from typing import Final

from jobstate.domain.errors import (
    GuardViolation,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

_PRIMARY: Final = 0xFF

_MEANING: Final[dict[int, tuple[type[StoreError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, "other writers held the database past the timeout; repeat the call"),
    sqlite3.SQLITE_LOCKED: (StoreBusy, "another connection of this process holds the database; repeat the call"),
    sqlite3.SQLITE_FULL: (StoreFull, "the disk is full; nothing was changed: free some space and repeat the call"),
    sqlite3.SQLITE_CORRUPT: (
        StoreCorrupt,
        "the file is damaged; restore a backup, or salvage it with sqlite3 .recover",
    ),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, "the file is not an SQLite database; is the path right?"),
    sqlite3.SQLITE_READONLY: (StoreReadOnly, "the file or its folder may not be written; check owner, mode and mount"),
    sqlite3.SQLITE_PERM: (StoreReadOnly, "the file may not be accessed; check owner and mode"),
    sqlite3.SQLITE_CANTOPEN: (StoreUnavailable, "the file cannot be opened; check that its folder exists and its mode"),
    sqlite3.SQLITE_IOERR: (StoreUnavailable, "the device failed to read or write; check the disk and the mount"),
    sqlite3.SQLITE_TOOBIG: (StoreFull, "a value is larger than SQLite stores; nothing was changed"),
}


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection was in the way, so that the same statement may succeed a moment later."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error, path: str) -> Exception:
    """The error of jobstate that says what happened to the store at `path`; `error` itself where it is our defect."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):  # this one error has no code
            return StoreClosed(path, "the store was closed; open it again")
        return error
    if code & _PRIMARY == sqlite3.SQLITE_CONSTRAINT and code in (
        sqlite3.SQLITE_CONSTRAINT_TRIGGER,
        sqlite3.SQLITE_CONSTRAINT_CHECK,
    ):
        return GuardViolation(path, f"the database refused the change: {error}")
    known = _MEANING.get(code & _PRIMARY)
    return error if known is None else known[0](path, known[1])


def driver_error(error: Exception) -> sqlite3.Error:
    """The driver's own error behind one that peewee wrapped."""
    original = getattr(error, "orig", error)
    return original if isinstance(original, sqlite3.Error) else sqlite3.Error(str(error))
