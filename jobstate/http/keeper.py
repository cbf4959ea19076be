"""The store behind a server, which lives longer than a file may stay where it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from jobstate.domain.errors import StoreUnavailable
from jobstate.store import JobStore

_IN_MEMORY: Final = ":memory:"


class Keeper:
    """Hands out the store for one call. A file that was taken away is missed at once, and opened again when it is back.

    Without this a server would go on writing into a file that no longer has a name.
    """

    def __init__(self, store: JobStore, reopen: Callable[[], JobStore] | None = None) -> None:
        self._store = store
        self._reopen = reopen
        self._lock = threading.Lock()
        self._identity = _identity(store.path)

    @property
    def path(self) -> str:
        """Where the store is."""
        return self._store.path

    def store(self) -> JobStore:
        """The store; StoreUnavailable while its file is not there."""
        if self._reopen is None or self._store.path == _IN_MEMORY:
            return self._store
        found = _identity(self._store.path)
        if found is None:
            raise StoreUnavailable(self._store.path, "the file is gone; the server goes on as soon as it is back")
        if found != self._identity:
            with self._lock:
                if found != self._identity:
                    replaced, self._store = self._store, self._reopen()
                    self._identity = found
                    replaced.close()
        return self._store


def _identity(path: str) -> tuple[int, int] | None:
    """Which file has this name now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
