"""Taking turns: one thread at a time speaks, in the order in which the threads drew their numbers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

PATIENCE: Final = 1.0
"""Seconds to wait for one who drew a number and does not come, because a signal interrupted it on its way."""

Speech = Callable[[], None]


class Turns:
    """Numbers are drawn under the write lock of a store, so that they follow its commits.

    Whoever drew one comes with it a few instructions later, or gives it up.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._drawn = 0
        self._next = 0
        self._given_up: set[int] = set()
        self._waiting: set[int] = set()
        self._speaker: int | None = None
        """The thread that speaks."""
        self._caused: deque[tuple[int, Speech]] = deque()
        """What the speaker has to say because of its own speech, with the numbers that it drew meanwhile."""
        self._left: deque[Speech] = deque()
        """What others left to be said by the speaker."""

    def draw(self) -> int:
        """The next number."""
        with self._changed:
            number = self._drawn
            self._drawn += 1
            return number

    def give_up(self, number: int) -> None:
        """Nobody comes with this number."""
        with self._changed:
            self._move_on_past(number)

    def speak(self, number: int, speech: Speech) -> None:
        """Wait for the turn of this number and speak; what this causes on the same thread is said afterwards."""
        if self._speaker == threading.get_ident():
            self._caused.append((number, speech))
            return
        coming = deque([(number, speech)])
        while coming:
            number, speech = coming.popleft()
            self._wait(number)
            coming.extend(self._speak_now(speech, number))

    def interject(self, speech: Speech) -> None:
        """Speak without a number and without waiting: now, or whoever is speaking says it too."""
        with self._changed:
            if self._speaker is not None:
                self._left.append(speech)
                return
            self._speaker = threading.get_ident()
        for number, caused in self._speak_now(speech, None):
            self.speak(number, caused)

    def _speak_now(self, speech: Speech, number: int | None) -> list[tuple[int, Speech]]:
        """What the speech has caused meanwhile."""
        try:
            while True:
                speech()
                with self._changed:
                    if not self._left:
                        return self._end(number)
                    speech = self._left.popleft()
        except BaseException:
            with self._changed:
                for drawn, _ in self._end(number):
                    self._move_on_past(drawn)
            raise

    def _wait(self, number: int) -> None:
        with self._changed:
            self._waiting.add(number)
            try:
                while self._speaker is not None or number > self._next:
                    somebody_is_missing = self._speaker is None
                    if self._changed.wait(PATIENCE if somebody_is_missing else None) or not somebody_is_missing:
                        continue
                    if self._speaker is None and number == min(self._waiting):
                        self._next = max(self._next, number)
            except BaseException:
                self._move_on_past(number)
                raise
            finally:
                self._waiting.discard(number)
            self._speaker = threading.get_ident()

    def _end(self, number: int | None) -> list[tuple[int, Speech]]:
        """The speaker has ended, with the lock in its hand; what it caused."""
        caused = [*self._caused]
        self._caused.clear()
        self._speaker = None
        if number is None:
            self._changed.notify_all()
        else:
            self._move_on_past(number)
        return caused

    def _move_on_past(self, number: int) -> None:
        self._given_up.add(number)
        while self._next in self._given_up:
            self._next += 1
        self._given_up = {later for later in self._given_up if later > self._next}
        self._changed.notify_all()
