"""SIGINT and SIGTERM while workers work on an event loop: the first asks all of them to end, the second interrupts."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from jobstate.aio.thread_pools import running_loop
from jobstate.worker.signals import WATCHED


class _Watch:
    """The workers of one loop, which share its signals."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}
        self.workers: list[Callable[[], None]] = []

    def begin(self) -> None:
        for number in WATCHED:
            self._before[number] = signal.getsignal(number)
            self._loop.add_signal_handler(number, self._heard)

    def end(self) -> None:
        for number, before in self._before.items():
            self._loop.remove_signal_handler(number)
            if before is not None:  # it was none of Python's
                signal.signal(number, before)

    def _heard(self) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        for shut_down in tuple(self.workers):
            shut_down()


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


@contextmanager
def shutdown_on_signal(shut_down: Callable[[], None]) -> Iterator[None]:
    """Call `shut_down` at the first signal, raise KeyboardInterrupt at the second; the old handlers come back after.

    Only a loop in the main thread of a process hears signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = running_loop()
    watch = _watches.get(loop)
    if watch is None:
        watch = _watches[loop] = _Watch(loop)
        watch.begin()
    watch.workers.append(shut_down)
    try:
        yield
    finally:
        watch.workers.remove(shut_down)
        if not watch.workers:
            del _watches[loop]
            watch.end()
