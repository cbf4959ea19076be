"""`ChangeNotifier`: one thread polls the change counter of a store and wakes all tasks that wait for a change."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Final

from jobstate.core.watch import PollInterval
from jobstate.domain.errors import StoreError
from jobstate.ports.repository import Repository
from jobstate.system import chance

_RETRY: Final = 1.0
"""Seconds between two polls while the store cannot be read."""
_SPREAD: Final = 0.0005
"""Seconds that each waiting task adds to the mean delay of all after a change: together they read the store some two
thousand times a second at most, however fast it changes."""
_log: Final = logging.getLogger(__name__)


class ChangeNotifier:
    """Wakes waiting tasks when the store changed, or when the notifier is stopping.

    It does not poll while no task waits.

    Args:
        current: Returns the store, which may be another one after its file was replaced.
    """

    def __init__(self, current: Callable[[], Repository]) -> None:
        self._current = current
        self._loop: asyncio.AbstractEventLoop | None = None
        self._change = asyncio.Event()
        self._waiting = 0
        self._wake_up: queue.SimpleQueue[None] = queue.SimpleQueue()
        """An item ends a pause of the thread. A signal handler may put one."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="jobstate-changes", daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called; a task should wait no longer then."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Start the thread; called on the event loop of the waiting tasks."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Wake all tasks for the last time. May be called from any thread, more than once, and by a signal handler."""
        if not self._stopping.is_set():  # a second signal may come while the first one sets it
            self._stopping.set()
        self._wake_up.put(None)
        self.wake()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def wake(self) -> None:
        """Wake all tasks as if the store had changed. May be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
                self._loop.call_soon_threadsafe(self._notify)

    def next_change(self) -> asyncio.Event:
        """What `wait` waits for. Take it before you read the store, so that no change falls in between."""
        return self._change

    async def wait(self, change: asyncio.Event, timeout: float) -> bool:
        """Wait for the change, at most `timeout` seconds. Many tasks wake spread over time, not all at once.

        Returns:
            Whether the store changed.
        """
        self._waiting += 1
        if self._waiting == 1:
            self._wake_up.put(None)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await change.wait()
                    await asyncio.sleep(self._waiting * _SPREAD * 2 * chance())
        finally:
            self._waiting -= 1
        return change.is_set()

    def _notify(self) -> None:
        change, self._change = self._change, asyncio.Event()
        change.set()

    def _poll(self) -> None:
        pauses = PollInterval()
        seen: tuple[Repository, int] | None = None
        readable = True
        while not self._stopping.is_set():
            if not self._waiting:
                self._wake_up.get()
                continue
            try:
                repository = self._current()
                version = (repository, repository.version())  # a replaced file counts from the beginning again
            except Exception as error:  # noqa: BLE001  (logged, unless it is an error of the store)
                # Waiting tasks read the store themselves and raise its error; they all depend on this thread.
                if readable and not isinstance(error, StoreError):
                    _log.exception("the store cannot be polled for changes; trying again every second")
                readable = False
                self._stopping.wait(_RETRY)
                continue
            readable = True
            if version != seen:
                seen = version
                pauses.reset()
                self.wake()
            with contextlib.suppress(queue.Empty):
                self._wake_up.get(timeout=pauses.next())
        if seen is not None:
            seen[0].close_thread()
