"""Requests that wait: one thread looks at the change counter of the store and wakes all of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Final

from jobstate.context import Pauses
from jobstate.domain.errors import StoreError
from jobstate.http.keeper import Keeper

_STORE_AWAY: Final = 1.0
"""Seconds between two looks while the store cannot be read."""


class Changes:
    """Tells the requests that wait when the store changed, or that the server is about to end."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._look, name="jobstate-changes", daemon=True)

    @property
    def ended(self) -> bool:
        """Whether the server is about to end, so that nobody should wait any longer."""
        return self._ending.is_set()

    def start(self) -> None:
        """Begin to look; called on the event loop that the requests run on."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def end(self) -> None:
        """Wake everybody for the last time. May be called from any thread, more than once, and by a signal handler."""
        self._ending.set()
        self._wake()

    def join(self) -> None:
        """Wait until nobody looks any more."""
        self._thread.join()

    def mark(self) -> asyncio.Event:
        """What `after` waits for; to be taken before the store is read, so that no change falls in between."""
        return self._next

    async def after(self, mark: asyncio.Event, seconds: float) -> bool:
        """Wait for a change since the mark was taken, at most so long; whether there was one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await mark.wait()
        return mark.is_set()

    def _wake(self) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits on it
                self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        over, self._next = self._next, asyncio.Event()
        over.set()

    def _look(self) -> None:
        pauses = Pauses()
        seen: tuple[int, int] | None = None
        while not self._ending.is_set():
            try:
                repository = self._keeper.store().repository
                version = (id(repository), repository.version())  # a file that was replaced counts from anew
            except StoreError:  # the requests find out by themselves, and say so
                self._ending.wait(_STORE_AWAY)
                continue
            if version != seen:
                seen = version
                pauses.restart()
                self._wake()
            self._ending.wait(pauses.next())
