"""The progress of one run by table, buffered in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobstate.domain.checkpoints import Progress
from jobstate.domain.progress import TableProgress
from jobstate.domain.validation import text

_NOTHING = TableProgress()


class ProgressBuffer:
    """Absolute progress by table, and which tables are unwritten. Safe to use from several threads."""

    def __init__(self, restored: Progress) -> None:
        self._tables = dict(restored)
        self._unwritten: set[str] = set()
        self._lock = threading.Lock()

    def change(self, table: str, change: Callable[[TableProgress], TableProgress]) -> None:
        """Replace the progress of a table by the result of `change`."""
        with self._lock:
            before = self._tables.get(table) if isinstance(table, str) else None
            if before is None:
                before = _NOTHING
                text("table", table)
            self._tables[table] = change(before)
            self._unwritten.add(table)

    @property
    def dirty(self) -> bool:
        """Whether a table is unwritten."""
        return bool(self._unwritten)

    def current(self) -> dict[str, TableProgress]:
        """The progress by table, so far."""
        with self._lock:
            return dict(self._tables)

    def take(self) -> dict[str, TableProgress]:
        """Take the tables to write; they count as written until `put_back`."""
        if not self._unwritten:
            return {}
        with self._lock:
            taken = {name: self._tables[name] for name in self._unwritten}
            self._unwritten.clear()
            return taken

    def put_back(self, taken: Progress) -> None:
        """Requeue tables after a failed write; the next write takes their newest progress."""
        with self._lock:
            self._unwritten.update(taken)
