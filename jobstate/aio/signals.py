"""SIGINT and SIGTERM for workers on an event loop: the first one shuts all of them down, the second one interrupts."""

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


class _LoopSignals:
    """The signal handlers of one loop, shared by its workers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = False
        self._previous: dict[signal.Signals, Any] = {}
        self.workers: list[Callable[[], None]] = []

    def install(self) -> None:
        for number in WATCHED:
            self._previous[number] = signal.getsignal(number)
            self._loop.add_signal_handler(number, self._on_signal)

    def restore(self) -> None:
        for number, previous in self._previous.items():
            self._loop.remove_signal_handler(number)
            if previous is not None:  # not a handler of Python's
                signal.signal(number, previous)

    def _on_signal(self) -> None:
        if self._received:
            raise KeyboardInterrupt
        self._received = True
        for shut_down in tuple(self.workers):
            shut_down()


_signals: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopSignals] = WeakKeyDictionary()


@contextmanager
def shutdown_on_signal(shut_down: Callable[[], None]) -> Iterator[None]:
    """Call `shut_down` at the first signal, raise KeyboardInterrupt at the second; restore the old handlers at the end.

    Only a loop in the main thread of a process receives signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = running_loop()
    signals = _signals.get(loop)
    if signals is None:
        signals = _signals[loop] = _LoopSignals(loop)
        signals.install()
    signals.workers.append(shut_down)
    try:
        yield
    finally:
        signals.workers.remove(shut_down)
        if not signals.workers:
            del _signals[loop]
            signals.restore()
