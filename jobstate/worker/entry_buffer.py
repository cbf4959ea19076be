"""What one run says and shows, gathered in memory until it is written: log entries and rows of output.

Entries are numbered when they are written, on from what the store holds of the job. Nobody else writes any while the
lease stands. What is written in a transaction that may yet be undone is kept until the store can be asked again.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final, Generic, TypeVar

from jobstate.domain.logs import LogEntry
from jobstate.domain.output import OutputRow

MAX_LOGS_WAITING: Final = 10_000
MAX_OUTPUT_WAITING: Final = 2_000
"""How many entries wait to be written at most; beyond that the oldest are lost."""

Entry = TypeVar("Entry", LogEntry, OutputRow)


class EntryBuffer(Generic[Entry]):
    """Entries in the order in which they were made. Safe to use from several threads; one at a time writes.

    An entry may come in the middle of any other call of the same thread: from a signal handler, or from a finalizer
    that the garbage collector runs. So the lock lets its holder in again, and nothing is walked that `add` changes.

    Args:
        most: How many may wait.
        series_of: What an entry is numbered in: entries of several series are numbered apart.
        written: The newest number that the store holds, by series.
        counts_lost: What is lost takes a number too.
    """

    def __init__(
        self,
        most: int,
        series_of: Callable[[Entry], str],
        written: Callable[[], Mapping[str, int]],
        *,
        counts_lost: bool,
    ) -> None:
        self._series_of: Callable[[Entry], str] = series_of
        self._written = written
        self._newest: dict[str, int] | None = None
        """The newest number that was given, by series."""
        self._most = most
        self._waiting: deque[Entry] = deque(maxlen=most)
        self._unsure: list[Entry] = []
        """Written, in a transaction that may yet be undone."""
        self._counts_lost = counts_lost
        self._lost: Counter[str] = Counter()
        self._lock = threading.RLock()

    @property
    def dirty(self) -> bool:
        """Whether anything is to be written, or to be made sure of."""
        return bool(self._waiting or self._unsure)

    def add(self, entry: Entry) -> None:
        """Note an entry, which is not numbered yet."""
        with self._lock:
            if len(self._waiting) == self._most:
                self._lost[self._series_of(self._waiting[0])] += 1
            self._waiting.append(entry)

    def lost(self) -> int:
        """How many were lost since this was asked last."""
        with self._lock:
            return self._take_lost().total()

    def take(self, *, sure: bool) -> list[Entry]:
        """What is to be written, numbered; it counts as written until `put_back`.

        Args:
            sure: What the store holds now, it will hold: no transaction is open.
        """
        if not self.dirty:
            return []
        held = self._written() if self._newest is None or self._unsure else {}
        with self._lock:
            if self._newest is None:
                self._newest = dict(held)
            if self._unsure:
                kept = [entry for entry in self._unsure if entry.number <= held.get(self._series_of(entry), 0)]
                undone = [entry for entry in self._unsure if entry.number > held.get(self._series_of(entry), 0)]
                if undone:
                    self._lost.update(self._losses_among(undone, held))
                    self._newest = dict(held)
                    self._return(undone)
                self._unsure = [] if sure else kept
            if self._counts_lost:
                for series, lost in self._take_lost().items():
                    self._newest[series] = self._newest.get(series, 0) + lost
            return [self._numbered(entry, self._newest) for entry in self._take_waiting()]

    def put_back(self, taken: Iterable[Entry]) -> None:
        """The writing failed: these are to be written again, and their numbers are free."""
        with self._lock:
            again = list(taken)
            for entry in again:
                assert self._newest is not None
                self._newest[self._series_of(entry)] -= 1
            self._return(again)

    def doubt(self, taken: Iterable[Entry]) -> None:
        """These were written, in a transaction that may yet be undone."""
        with self._lock:
            self._unsure.extend(taken)

    def _losses_among(self, undone: list[Entry], held: Mapping[str, int]) -> Counter[str]:
        """What was lost between entries that the store does not hold after all: numbers that none of them has."""
        assert self._newest is not None
        numbered = Counter({series: newest - held.get(series, 0) for series, newest in self._newest.items()})
        return numbered - Counter(map(self._series_of, undone))

    def _return(self, entries: list[Entry]) -> None:
        """Put entries before those that wait; as many as there is no room for are lost, the oldest."""
        again = deque(entries)
        again.extend(self._take_waiting())
        while len(again) > self._most:
            self._lost[self._series_of(again.popleft())] += 1
        again.reverse()
        self._waiting.extendleft(again)

    def _take_waiting(self) -> deque[Entry]:
        fresh: deque[Entry] = deque(maxlen=self._most)
        taken, self._waiting = self._waiting, fresh
        return taken

    def _take_lost(self) -> Counter[str]:
        fresh: Counter[str] = Counter()
        taken, self._lost = self._lost, fresh
        return taken

    def _numbered(self, entry: Entry, newest: dict[str, int]) -> Entry:
        series = self._series_of(entry)
        number = newest[series] = newest.get(series, 0) + 1
        return replace(entry, number=number)
