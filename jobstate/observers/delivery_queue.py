"""Taking turns: one thread at a time speaks, in the order in which the threads drew their numbers.

A signal may raise an exception anywhere. Who is interrupted between drawing a number and coming with it is waited for a
short while only; and who is interrupted while speaking has the floor no longer than the `_Floor` in its frame lives.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 1.0
"""Seconds to wait for one who drew a number and does not come."""

Speech = Callable[[], None]


class _Delivery:
    """What the one who speaks has, and nobody else."""

    __slots__ = ("__weakref__", "caused", "number", "thread")

    def __init__(self, number: int | None) -> None:
        self.number = number
        self.thread = threading.get_ident()
        self.caused: deque[tuple[int, Speech]] = deque()
        """What the speaker has to say because of its own speech, with the numbers that it drew meanwhile."""


class DeliveryQueue:
    """Numbers are drawn under the write lock of a store, so that they follow its commits.

    Whoever drew one comes with it a few instructions later, or gives it up.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._drawn = 0
        self._next = 0
        self._given_up: set[int] = set()
        self._waiting: set[int] = set()
        self._held: Callable[[], _Delivery | None] | None = None
        """A weak reference to the floor of the one who speaks."""
        self._left: deque[Speech] = deque()
        """What others left to be said by the speaker."""

    def draw(self) -> int:
        """The next number."""
        with self._lock:
            number = self._drawn
            self._drawn += 1
            return number

    def give_up(self, number: int) -> None:
        """Nobody comes with this number."""
        with self._lock:
            self._move_on_past(number)

    def speak(self, number: int, speech: Speech) -> None:
        """Wait for the turn of this number and speak; what this causes on the same thread is said afterwards."""
        held = self._floor()
        if held is not None and held.thread == threading.get_ident():
            held.caused.append((number, speech))
            return
        self._speak(_Delivery(number), speech)

    def interject(self, speech: Speech) -> None:
        """Speak without a number and without waiting: now, or whoever is speaking says it too."""
        with self._lock:
            if self._floor() is not None:
                self._left.append(speech)
                return
            floor = _Delivery(None)
            self._held = weakref.ref(floor)
        self._speak(floor, speech)

    def _speak(self, floor: _Delivery, speech: Speech) -> None:
        """Speak as soon as the floor is ours, then say what that caused, each in its turn."""
        coming = floor.caused
        while True:
            try:
                if floor.number is not None:
                    self._wait(floor)
                while True:
                    speech()
                    with self._lock:
                        if not self._left:
                            self._end(floor)
                            break
                        speech = self._left.popleft()
            except BaseException:
                with self._lock:
                    self._end(floor)
                    for number, _ in coming:
                        self._move_on_past(number)
                raise
            if not coming:
                return
            number, speech = coming.popleft()
            floor = _Delivery(number)
            floor.caused = coming

    def _floor(self) -> _Delivery | None:
        """That of the one who speaks, where there is one."""
        return None if self._held is None else self._held()

    def _wait(self, floor: _Delivery) -> None:
        number = floor.number
        assert number is not None
        with self._lock:
            self._waiting.add(number)
            try:
                while self._floor() is not None or number > self._next:
                    somebody_is_missing = self._floor() is None
                    if self._changed.wait(PATIENCE) or not somebody_is_missing:
                        continue
                    if self._floor() is None and number == min(self._waiting):
                        self._next = max(self._next, number)
            finally:
                self._waiting.discard(number)
            self._held = weakref.ref(floor)

    def _end(self, floor: _Delivery) -> None:
        """This floor is free, with the lock in hand."""
        if self._floor() is floor:
            self._held = None
        if floor.number is not None:
            self._move_on_past(floor.number)
        self._changed.notify_all()

    def _move_on_past(self, number: int) -> None:
        self._given_up.add(number)
        while self._next in self._given_up:
            self._next += 1
        self._given_up = {later for later in self._given_up if later > self._next}
        self._changed.notify_all()
