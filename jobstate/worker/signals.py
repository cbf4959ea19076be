"""SIGINT and SIGTERM while a worker works: the first shuts it down, the second interrupts it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from jobstate.system import pid

WATCHED: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def shutdown_on_signal(shut_down: Callable[[], None]) -> Iterator[None]:
    """Call `shut_down` at the first signal, raise KeyboardInterrupt at the second; restore the old handlers after.

    Only the main thread of a process can receive signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = False
    process = pid()

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal received
        if pid() != process:  # a child that a handler forked: it is not the worker
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
            return
        if received:
            raise KeyboardInterrupt
        received = True
        shut_down()

    before = {number: signal.signal(number, handle) for number in WATCHED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
