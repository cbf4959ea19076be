"""An ordered delivery queue, built as a ticket lock: one thread delivers at a time, in the order of the tickets.

A signal may raise an exception anywhere. So a ticket whose holder never comes is skipped after `TICKET_TIMEOUT`, and a
thread that is interrupted while it delivers owns the queue no longer than the `_Owner` in its frame lives.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

TICKET_TIMEOUT: Final = 1.0
"""Seconds to wait for the holder of the next ticket."""

Deliver = Callable[[], None]


class _Owner:
    """The thread that delivers now. Only that thread changes it."""

    __slots__ = ("__weakref__", "nested", "thread", "ticket")

    def __init__(self, ticket: int | None) -> None:
        self.ticket = ticket
        self.thread = threading.get_ident()
        self.nested: deque[tuple[int, Deliver]] = deque()
        """Deliveries that its own delivery caused, with their tickets."""


class DeliveryQueue:
    """Delivers in the order of the tickets.

    A store takes a ticket under its write lock, so tickets follow the commits. Its holder delivers a few instructions
    later, or cancels.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._next_ticket = 0
        self._now_serving = 0
        self._finished: set[int] = set()
        """Tickets that were finished before their turn came."""
        self._waiting: set[int] = set()
        self._owner: Callable[[], _Owner | None] | None = None
        """A weak reference."""
        self._unordered: deque[Deliver] = deque()
        """Deliveries without a ticket that other threads left to the owner."""

    def take_ticket(self) -> int:
        """The next ticket."""
        with self._lock:
            ticket = self._next_ticket
            self._next_ticket += 1
            return ticket

    def cancel(self, ticket: int) -> None:
        """Let later tickets pass: nothing is delivered with this one."""
        with self._lock:
            self._finish(ticket)

    def deliver(self, ticket: int, deliver: Deliver) -> None:
        """Deliver in the turn of the ticket. A delivery that this causes on the same thread comes after it."""
        owner = self._current_owner()
        if owner is not None and owner.thread == threading.get_ident():
            owner.nested.append((ticket, deliver))
            return
        self._deliver_all(_Owner(ticket), deliver)

    def deliver_unordered(self, deliver: Deliver) -> None:
        """Deliver without a ticket and without waiting: now, or on the thread that delivers at this moment."""
        with self._lock:
            if self._current_owner() is not None:
                self._unordered.append(deliver)
                return
            owner = _Owner(None)
            self._owner = weakref.ref(owner)
        self._deliver_all(owner, deliver)

    def _deliver_all(self, owner: _Owner, deliver: Deliver) -> None:
        """Deliver as soon as the queue is ours, then the deliveries that this caused, each in its turn."""
        nested = owner.nested
        while True:
            try:
                if owner.ticket is not None:
                    self._acquire(owner)
                while True:
                    deliver()
                    with self._lock:
                        if not self._unordered:
                            self._release(owner)
                            break
                        deliver = self._unordered.popleft()
            except BaseException:
                with self._lock:
                    self._release(owner)
                    for ticket, _ in nested:
                        self._finish(ticket)
                raise
            if not nested:
                return
            ticket, deliver = nested.popleft()
            owner = _Owner(ticket)
            owner.nested = nested

    def _current_owner(self) -> _Owner | None:
        return None if self._owner is None else self._owner()

    def _acquire(self, owner: _Owner) -> None:
        ticket = owner.ticket
        assert ticket is not None
        with self._lock:
            self._waiting.add(ticket)
            try:
                while self._current_owner() is not None or ticket > self._now_serving:
                    holder_is_missing = self._current_owner() is None
                    if self._changed.wait(TICKET_TIMEOUT) or not holder_is_missing:
                        continue
                    if self._current_owner() is None and ticket == min(self._waiting):
                        self._now_serving = max(self._now_serving, ticket)
            finally:
                self._waiting.discard(ticket)
            self._owner = weakref.ref(owner)

    def _release(self, owner: _Owner) -> None:
        """Free the queue if it is this owner's; the caller holds the lock."""
        if self._current_owner() is owner:
            self._owner = None
        if owner.ticket is not None:
            self._finish(owner.ticket)
        self._changed.notify_all()

    def _finish(self, ticket: int) -> None:
        self._finished.add(ticket)
        while self._now_serving in self._finished:
            self._now_serving += 1
        self._finished = {later for later in self._finished if later > self._now_serving}
        self._changed.notify_all()
