"""The jobs that a shell offers when it completes an id.

Reads the file without opening a store: creates, changes and locks nothing, and leaves out what it cannot read at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from jobstate.domain.lifecycle import State
from jobstate.storage.file_uri import file_uri

_PATIENCE: Final = 0.1
_STEPS: Final = 10_000
_MOST_STEPS: Final = 300
"""How often it runs `_STEPS` instructions of SQLite before it gives up: about a tenth of a second."""
_DIGITS: Final = 19


def glance(path: str, begins: str, states: Iterable[State], limit: int) -> list[tuple[int, str, str]]:
    """Id, state and kind of the newest jobs in these states whose id begins so; nothing where there is no store."""
    if not os.path.isfile(path) or (begins and not (begins.isascii() and begins.isdigit())):
        return []
    found: list[tuple[int, str, str]] = []
    try:
        connection = sqlite3.connect(_address(path), uri=True, timeout=_PATIENCE)
    except sqlite3.Error:
        return []
    try:
        steps = iter(range(_MOST_STEPS))
        connection.set_progress_handler(lambda: int(next(steps, None) is None), _STEPS)
        names = [state.value for state in states]
        among = ", ".join("?" * len(names))
        for low, high in _ranges(begins):
            found += connection.execute(
                f"SELECT id, state, kind FROM jobs WHERE id BETWEEN ? AND ? AND state IN ({among}) "
                "ORDER BY id DESC LIMIT ?",
                (low, high, *names, limit - len(found)),
            ).fetchall()
    except sqlite3.Error:  # another program's file, or one that is busy or large: the jobs found so far will do
        pass
    finally:
        connection.close()
    return found


def _address(path: str) -> str:
    """Read-only. Without a log beside it no process writes the file, and an ordinary reader would leave one behind."""
    return file_uri(path, "ro") + ("" if os.path.exists(f"{path}-wal") else "&immutable=1")


def _ranges(begins: str) -> Iterator[tuple[int, int]]:
    """The ranges of the numbers whose digits begin so, the highest first."""
    if not begins:
        yield 1, 2**63 - 1
    elif begins[0] != "0":
        for more in range(_DIGITS - len(begins), -1, -1):
            low = int(begins) * 10**more
            yield min(low, 2**63 - 1), min(low + 10**more - 1, 2**63 - 1)
