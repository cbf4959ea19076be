"""`Waiter`: awaits the next change of a store, or the moment when an idle step is due."""

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

_LONGEST_WAIT: Final = 1.0
"""Seconds until the clock is read again, which may have jumped."""

Change = asyncio.Event | int
"""What to wait for: an event that the next change sets; by another clock than that of the machine, the version of the
store that the next change exceeds."""


class Waiter:
    """Shared by all tasks that wait on one store.

    By the clock of the machine, one thread polls the change counter for all of them, and no task holds a thread. By
    another clock, one thread sleeps for all of them, or turns that clock.
    """

    def __init__(self, context: Context, pools: ThreadPools) -> None:
        self._context = context
        self._pools = pools
        self._notifier: ChangeNotifier | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def notifier(self) -> ChangeNotifier:
        """The notifier of changes, started at first use."""
        if self._notifier is None:
            self._loop = running_loop()
            repository = self._context.repository
            self._notifier = ChangeNotifier(lambda: repository)
            self._notifier.start()
        elif self._loop is not running_loop():
            raise InvalidRequest("event loop", "is another one than that on which the store waited before")
        return self._notifier

    async def next_change(self) -> Change:
        """What `wait` waits for. Take it before a step, so that no change falls in between."""
        if isinstance(self._context.clock, SystemClock):
            return self.notifier.next_change()
        return await self._pools.on_clock_thread(self._context.repository.version)

    async def wait(self, change: Change, idle: Idle) -> None:
        """Wait for the change, or until the step is due."""
        if isinstance(change, int):
            await self._poll(change, idle)
            return
        while (left := self._seconds_left(idle)) > 0:
            if await self.notifier.wait(change, min(left, _LONGEST_WAIT)):
                return

    def wake(self) -> None:
        """Wake all tasks that wait by the clock of the machine."""
        if self._notifier is not None:
            self._notifier.wake()

    def stop(self) -> None:
        """Wake all tasks for the last time, and wait for the thread to end."""
        if self._notifier is not None:
            self._notifier.stop()
            self._notifier.join()

    async def _poll(self, version: int, idle: Idle) -> None:
        pauses = PollInterval()
        while not self._is_due(idle):
            if await self._pools.on_clock_thread(partial(self._sleep_and_compare, pauses.next(), version)):
                return

    def _sleep_and_compare(self, pause: float, version: int) -> bool:
        self._context.clock.sleep(pause)
        return self._context.repository.version() != version

    def _is_due(self, idle: Idle) -> bool:
        return is_due(idle, self._context.clock.now(), self._context.clock.monotonic())

    def _seconds_left(self, idle: Idle) -> float:
        """Seconds until the step is due if the clock does not jump."""
        if self._is_due(idle):
            return 0.0
        now, left = self._context.clock.now(), math.inf
        if idle.give_up is not None:
            left = idle.give_up - self._context.clock.monotonic()
        instants = () if idle.job is None else (idle.job.lease_expires_us, idle.job.stop_deadline_us)
        ahead = [(instant - now) / 1_000_000 for instant in instants if instant is not None and instant > now]
        return min([left, *ahead])
