"""How long a thread waits for other writers: shorter, once nobody waits for its answer any more."""

from __future__ import annotations

import threading
from types import TracebackType


class _Thread(threading.local):
    hurry: CancelToken | None = None


_thread = _Thread()


class CancelToken:
    """A block of calls on one thread, which other threads may ask to wait for nobody."""

    def __init__(self) -> None:
        self.asked = False
        self._outer: CancelToken | None = None

    def ask(self) -> None:
        """What the block still has to wait for is given up, with the error that comes of waiting too long."""
        self.asked = True

    def __enter__(self) -> CancelToken:
        self._outer, _thread.hurry = _thread.hurry, self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _thread.hurry = self._outer


def is_cancelled() -> bool:
    """Whether the calling thread should wait for nobody."""
    hurry = _thread.hurry
    return hurry is not None and hurry.asked
