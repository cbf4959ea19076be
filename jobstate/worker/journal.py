"""What one run says and shows, gathered in memory until it is written: log entries and rows of output.

They are numbered on from what the store holds of the job. Nobody else writes any while the lease stands, so the numbers
hold, and writing an entry twice (the first time in a transaction that was undone, or was not) leaves one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Generic, TypeVar

from jobstate.domain.logs import LogEntry
from jobstate.domain.output import OutputRow

MAX_WAITING: Final = 10_000
"""How many entries wait to be written at most; beyond that the oldest are lost, and their numbers with them."""

Entry = TypeVar("Entry", LogEntry, OutputRow)


class Journal(Generic[Entry]):
    """Entries in the order in which they were made. Safe to use from several threads.

    Args:
        series_of: What an entry is numbered in: entries of several series are numbered apart.
        written: The newest number that the store holds, by series; asked once, before the first writing.
    """

    def __init__(self, series_of: Callable[[Entry], str], written: Callable[[], Mapping[str, int]]) -> None:
        self._series_of: Callable[[Entry], str] = series_of
        self._written = written
        self._before: Mapping[str, int] | None = None
        self._made: dict[str, int] = {}
        self._waiting: deque[Entry] = deque(maxlen=MAX_WAITING)
        self._lock = threading.Lock()

    @property
    def dirty(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._waiting)

    def add(self, series: str, make: Callable[[int], Entry]) -> None:
        """Note an entry, which `make` makes of its number in this run."""
        with self._lock:
            number = self._made[series] = self._made.get(series, 0) + 1
            self._waiting.append(make(number))

    def take(self) -> list[Entry]:
        """What is to be written, with its numbers in the job; it counts as written until `put_back`."""
        if not self._waiting:
            return []
        if self._before is None:
            self._before = self._written()
        with self._lock:
            taken = [self._moved(entry, 1) for entry in self._waiting]
            self._waiting.clear()
            return taken

    def put_back(self, taken: Iterable[Entry]) -> None:
        """The writing failed, or may be undone: these are to be written again."""
        with self._lock:
            again = [self._moved(entry, -1) for entry in taken]
            again.extend(self._waiting)
            self._waiting = deque(again, maxlen=MAX_WAITING)

    def _moved(self, entry: Entry, sign: int) -> Entry:
        """The entry with its number in the job instead of that in the run, or the reverse."""
        assert self._before is not None
        return replace(entry, number=entry.number + sign * self._before.get(self._series_of(entry), 0))
