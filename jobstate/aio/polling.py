"""How the time between two looks passes, for the tasks that wait."""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Final

from jobstate.aio.thread_pools import ThreadPools, running_loop
from jobstate.core.change_notifier import ChangeNotifier
from jobstate.core.context import Context
from jobstate.core.watch import Idle, PollInterval, is_due
from jobstate.domain.errors import InvalidRequest
from jobstate.system import SystemClock

_AT_MOST: Final = 1.0
"""Seconds after which the clock is looked at again, which may have jumped."""

Mark = asyncio.Event | int
"""What the store was before a look: by the clock of the machine an event that a change sets, else its version."""


class Waiter:
    """For the tasks that wait on one store.

    By the clock of the machine they all wait for one thread, which looks at the change counter; none of them holds a
    thread itself. A clock of another sort is turned, or slept by, on one thread for all of them.
    """

    def __init__(self, context: Context, lanes: ThreadPools) -> None:
        self._context = context
        self._pools = lanes
        self._changes: ChangeNotifier | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def changes(self) -> ChangeNotifier:
        """What tells of changes."""
        if self._changes is None:
            self._loop = running_loop()
            repository = self._context.repository
            self._changes = ChangeNotifier(lambda: repository)
            self._changes.start()
        elif self._loop is not running_loop():
            raise InvalidRequest("event loop", "is another one than that on which the store waited before")
        return self._changes

    async def mark(self) -> Mark:
        """To be taken before a look, so that no change falls in between."""
        if isinstance(self._context.clock, SystemClock):
            return self.changes.next_change()
        return await self._pools.turn(self._context.repository.version)

    async def rest(self, mark: Mark, rest: Idle) -> None:
        """Until there may be more to be found."""
        if isinstance(mark, int):
            await self._turn(mark, rest)
            return
        while (left := self._left(rest)) > 0:
            if await self.changes.wait(mark, min(left, _AT_MOST)):
                return

    def wake(self) -> None:
        """Let everybody look anew who waits for the machine."""
        if self._changes is not None:
            self._changes.wake()

    def end(self) -> None:
        """Let everybody look anew for the last time, and wait for the thread."""
        if self._changes is not None:
            self._changes.stop()
            self._changes.join()

    async def _turn(self, seen: int, rest: Idle) -> None:
        pauses = PollInterval()
        while not self._is_due(rest):
            if await self._pools.turn(partial(self._has_changed_after, pauses.next(), seen)):
                return

    def _has_changed_after(self, pause: float, seen: int) -> bool:
        self._context.clock.sleep(pause)
        return self._context.repository.version() != seen

    def _is_due(self, rest: Idle) -> bool:
        return is_due(rest, self._context.clock.now(), self._context.clock.monotonic())

    def _left(self, rest: Idle) -> float:
        """Seconds until it is due as things are."""
        if self._is_due(rest):
            return 0.0
        now, left = self._context.clock.now(), math.inf
        if rest.give_up is not None:
            left = rest.give_up - self._context.clock.monotonic()
        instants = () if rest.job is None else (rest.job.lease_expires_us, rest.job.stop_deadline_us)
        ahead = [(instant - now) / 1_000_000 for instant in instants if instant is not None and instant > now]
        return min([left, *ahead])
