"""Tasks that wait for a change: one thread looks at the change counter of the store and wakes all of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from jobstate.core.context import PollInterval
from jobstate.domain.errors import StoreError
from jobstate.ports.repository import Repository
from jobstate.system import chance

_STORE_AWAY: Final = 1.0
"""Seconds between two looks while the store cannot be read."""
_REST: Final = 0.0005
"""Seconds that each of those who wait adds to the time between two looks of each: all of them together look some two
thousand times a second at most, however fast the store changes."""
_log: Final = logging.getLogger(__name__)


class ChangeNotifier:
    """Tells the tasks that wait when the store changed, or that they should wait no longer.

    Nobody looks while nobody waits.

    Args:
        current: The store as it is now.
    """

    def __init__(self, current: Callable[[], Repository]) -> None:
        self._current = current
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self._waiting = 0
        self._wanted: queue.SimpleQueue[None] = queue.SimpleQueue()
        """Something in it ends a pause. A signal handler may put it there."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="jobstate-changes", daemon=True)

    @property
    def ended(self) -> bool:
        """Whether those who wait are about to be sent away, so that nobody should wait any longer."""
        return self._ending.is_set()

    def start(self) -> None:
        """Begin to look; called on the event loop that the tasks run on."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def end(self) -> None:
        """Wake everybody for the last time. May be called from any thread, more than once, and by a signal handler."""
        if not self._ending.is_set():  # a second signal may come while the first one sets it
            self._ending.set()
        self._wanted.put(None)
        self.wake()

    def join(self) -> None:
        """Wait until nobody looks any more."""
        self._thread.join()

    def wake(self) -> None:
        """Let everybody look anew, as if the store had changed. May be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits on it
                self._loop.call_soon_threadsafe(self._turn)

    def mark(self) -> asyncio.Event:
        """What `after` waits for; to be taken before the store is read, so that no change falls in between."""
        return self._next

    async def after(self, mark: asyncio.Event, seconds: float) -> bool:
        """Wait for a change since the mark was taken, at most so long; where many wait, not all look at once.

        Returns:
            Whether there was one.
        """
        self._waiting += 1
        if self._waiting == 1:
            self._wanted.put(None)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await mark.wait()
                    await asyncio.sleep(self._waiting * _REST * 2 * chance())
        finally:
            self._waiting -= 1
        return mark.is_set()

    def _turn(self) -> None:
        over, self._next = self._next, asyncio.Event()
        over.set()

    def _look(self) -> None:
        pauses = PollInterval()
        seen: tuple[Repository, int] | None = None
        well = True
        while not self._ending.is_set():
            if not self._waiting:
                self._wanted.get()
                continue
            try:
                repository = self._current()
                version = (repository, repository.version())  # a file that was replaced counts from anew
            except Exception as error:  # noqa: BLE001  (it is logged, unless it is an ordinary one)
                # Those who wait find out by themselves, and say so. Whatever it is, they wait for this thread.
                if well and not isinstance(error, StoreError):
                    _log.exception("the store cannot be watched; it is tried again every second")
                well = False
                self._ending.wait(_STORE_AWAY)
                continue
            well = True
            if version != seen:
                seen = version
                pauses.restart()
                self.wake()
            with contextlib.suppress(queue.Empty):
                self._wanted.get(timeout=pauses.next())
        if seen is not None:
            seen[0].close_thread()
