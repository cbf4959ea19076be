"""SQLite's errors as errors of jobstate, classified by their code and not by their text."""

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
_CHECK: Final = "CHECK constraint failed: "
_SHORT: Final = 20
"""Characters; the condition on the id has fewer, the one on the state a hundred times more."""
_NAMED: Final = 2
"""How many guards that refuse with the same message an error names."""
_LONGEST: Final = 200
"""Characters of the message of a foreign trigger."""

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
    """Whether another connection held the database, so that the same statement may succeed a moment later."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(error: sqlite3.Error, path: str) -> Exception:
    """The error of jobstate for one of the store at `path`; `error` itself where it is a defect of jobstate."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        if isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):  # this one error has no code
            return StoreClosed(path, "the store was closed; open it again")
        return error
    if code & _PRIMARY == sqlite3.SQLITE_CONSTRAINT and code in (
        sqlite3.SQLITE_CONSTRAINT_TRIGGER,
        sqlite3.SQLITE_CONSTRAINT_CHECK,
    ):
        return GuardViolation(path, f"the database refused the change: {_refusal(str(error))}")
    known = _MEANING.get(code & _PRIMARY)
    return error if known is None else known[0](path, known[1])


def _refusal(text: str) -> str:
    """Which guard refused, and why. SQLite gives the message of a trigger, and of a CHECK its whole condition."""
    if text.startswith(_CHECK):
        return (
            "the CHECK on the id of a job"
            if len(text) < len(_CHECK) + _SHORT
            else "the CHECK that a job fits its state"
        )
    from jobstate.storage.schema.guards import guards

    names = [guard.split()[2] for guard in guards("") if f"'{text}'" in guard]
    if len(names) > _NAMED:
        names[_NAMED:] = ["another"]
    return f"{' or '.join(names)}: {text}" if names else text[:_LONGEST]


def driver_error(error: Exception) -> sqlite3.Error:
    """The driver's own error behind one that peewee wrapped."""
    original = getattr(error, "orig", error)
    return original if isinstance(original, sqlite3.Error) else sqlite3.Error(str(error))
