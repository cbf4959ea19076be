"""A token that another thread cancels, so that the calls under it stop waiting for other writers.

`jobstate.aio` cancels it when the task that awaits a call is cancelled; the storage asks before it waits once more.
"""

from __future__ import annotations

import threading
from types import TracebackType


class _Current(threading.local):
    token: CancelToken | None = None


_current = _Current()


class CancelToken:
    """Covers the calls that one thread makes in its `with` block."""

    def __init__(self) -> None:
        self.cancelled = False
        self._outer: CancelToken | None = None

    def cancel(self) -> None:
        """Let the calls wait no longer: each raises the error of a wait that took too long."""
        self.cancelled = True

    def __enter__(self) -> CancelToken:
        self._outer, _current.token = _current.token, self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.token = self._outer


def is_cancelled() -> bool:
    """Whether the token of the calling thread was cancelled."""
    token = _current.token
    return token is not None and token.cancelled
