"""The log entries and output rows of one run, buffered in memory until they are written.

Writing numbers the entries, from the newest number in the store on; while the lease is held, only this run writes any.
Entries written in a transaction that may yet be undone are kept until the store says whether it was.
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
"""The most entries in a buffer; beyond that the oldest are lost."""

Entry = TypeVar("Entry", LogEntry, OutputRow)


class EntryBuffer(Generic[Entry]):
    """Entries in the order in which they were made. Safe to use from several threads; one thread at a time writes.

    A signal handler, or a finalizer that the garbage collector runs, may add an entry in the middle of any other call
    of the same thread. So the lock is reentrant, and no loop walks a container that `add` changes.

    Args:
        capacity: The most entries that wait.
        series_of: The series of an entry; each series has numbers of its own.
        written: Reads the newest number in the store, by series.
        counts_lost: A lost entry takes a number too.
    """

    def __init__(
        self,
        capacity: int,
        series_of: Callable[[Entry], str],
        written: Callable[[], Mapping[str, int]],
        *,
        counts_lost: bool,
    ) -> None:
        self._series_of: Callable[[Entry], str] = series_of
        self._written = written
        self._newest: dict[str, int] | None = None
        """The newest number that an entry has, by series; None before the first write."""
        self._capacity = capacity
        self._waiting: deque[Entry] = deque(maxlen=capacity)
        self._unsure: list[Entry] = []
        """Entries written in a transaction that may yet be undone."""
        self._counts_lost = counts_lost
        self._lost: Counter[str] = Counter()
        self._lock = threading.RLock()

    @property
    def dirty(self) -> bool:
        """Whether an entry waits to be written, or to be confirmed."""
        return bool(self._waiting or self._unsure)

    def add(self, entry: Entry) -> None:
        """Add an entry, without a number."""
        with self._lock:
            if len(self._waiting) == self._capacity:
                self._lost[self._series_of(self._waiting[0])] += 1
            self._waiting.append(entry)

    def lost(self) -> int:
        """Return how many entries were lost since the last call."""
        with self._lock:
            return self._take_lost().total()

    def take(self, *, sure: bool) -> list[Entry]:
        """Take the entries to write, numbered; they count as written until `put_back`.

        Args:
            sure: No transaction is open: the store keeps what it holds now.
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
                    self._requeue(undone)
                self._unsure = [] if sure else kept
            if self._counts_lost:
                for series, lost in self._take_lost().items():
                    self._newest[series] = self._newest.get(series, 0) + lost
            return [self._numbered(entry, self._newest) for entry in self._take_waiting()]

    def put_back(self, taken: Iterable[Entry]) -> None:
        """Requeue entries after a failed write; their numbers are free again."""
        with self._lock:
            requeued = list(taken)
            for entry in requeued:
                assert self._newest is not None
                self._newest[self._series_of(entry)] -= 1
            self._requeue(requeued)

    def keep_unsure(self, taken: Iterable[Entry]) -> None:
        """Keep entries that were written in a transaction that may yet be undone."""
        with self._lock:
            self._unsure.extend(taken)

    def _losses_among(self, undone: list[Entry], held: Mapping[str, int]) -> Counter[str]:
        """The losses between entries that were undone: the numbers that none of these entries has."""
        assert self._newest is not None
        numbered = Counter({series: newest - held.get(series, 0) for series, newest in self._newest.items()})
        return numbered - Counter(map(self._series_of, undone))

    def _requeue(self, entries: list[Entry]) -> None:
        """Requeue entries before those that wait; beyond the capacity the oldest are lost."""
        queue = deque(entries)
        queue.extend(self._take_waiting())
        while len(queue) > self._capacity:
            self._lost[self._series_of(queue.popleft())] += 1
        queue.reverse()
        self._waiting.extendleft(queue)

    def _take_waiting(self) -> deque[Entry]:
        fresh: deque[Entry] = deque(maxlen=self._capacity)
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
