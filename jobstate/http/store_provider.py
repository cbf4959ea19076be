"""The store behind a server, which lives longer than a file may stay where it is."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from jobstate.domain.errors import StoreUnavailable
from jobstate.store.store import JobStore

_IN_MEMORY: Final = ":memory:"
_LOG: Final = "-wal"
_INDEX_OF_LOG: Final = "-shm"
_log: Final = logging.getLogger(__name__)

Identity = tuple[int, int]


class StoreProvider:
    """Hands out the store for one call. A file that was taken away is missed at once, and opened again when it is back.

    Without this a server would go on writing into a file that no longer has a name.
    """

    def __init__(self, store: JobStore, reopen: Callable[[], JobStore] | None = None) -> None:
        self._store = store
        self._given = store
        self._reopen = reopen if store.path != _IN_MEMORY else None
        self._lock = threading.Lock()
        self._identity = _identity(store.path) or (0, 0)
        self._log_identity = _identity(store.path + _LOG)

    @property
    def path(self) -> str:
        """Where the store is."""
        return self._store.path

    def store(self) -> JobStore:
        """The store; StoreUnavailable while its file is not there."""
        if self._reopen is None:
            return self._store
        found = self._found()
        if found != self._identity:
            with self._lock:
                if found != self._identity:
                    self._change(found, self._reopen)
        return self._store

    def confirm(self, store: JobStore) -> None:
        """StoreUnavailable when the file was taken away while it was written: what was written went with it."""
        if self._reopen is None:
            return
        if self._found() != self._identity or store.repository is not self._store.repository:
            raise StoreUnavailable(self.path, "the file was taken away meanwhile; look what it holds now, and repeat")

    def close(self) -> None:
        """Close the store, unless it is the one that was given, which its owner closes."""
        if self._store is not self._given:
            self._store.close()

    def _found(self) -> Identity:
        """Which file has the name now. An empty one is about to be filled: opening it would make a new store of it."""
        path = self._store.path
        try:
            found = os.stat(path)
        except OSError:
            raise StoreUnavailable(path, "the file is gone; the server goes on as soon as it is back") from None
        identity = (found.st_dev, found.st_ino)
        if identity != self._identity and found.st_size == 0:
            raise StoreUnavailable(path, "the file is empty; the server goes on as soon as a store is there")
        return identity

    def _change(self, found: Identity, reopen: Callable[[], JobStore]) -> None:
        path = self._store.path
        log = path + _LOG
        if self._log_identity is not None and _identity(log) == self._log_identity:
            # SQLite would take the log of the old file for that of the new one, and show what stands in it.
            aside = f"{log}.of-replaced-{self._identity[1]}"
            os.replace(log, aside)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + _INDEX_OF_LOG)
            _log.warning("%s was replaced; the log of the file that was there before is kept as %s", path, aside)
        replaced, self._store = self._store, reopen()
        self._identity, self._log_identity = found, _identity(path + _LOG)
        replaced.close()


def _identity(path: str) -> Identity | None:
    """Which file has this name now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
