"""The store of a server, also after its file was replaced."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from jobstate.domain.errors import StoreUnavailable
from jobstate.store.job_store import JobStore

_IN_MEMORY: Final = ":memory:"
_WAL: Final = "-wal"
_WAL_INDEX: Final = "-shm"
_log: Final = logging.getLogger(__name__)

Identity = tuple[int, int]


class StoreProvider:
    """Provides the store for one call. Notices at once that the file is missing, and opens the file that replaces it.

    Without it a server would continue to write to a file that no longer has a name.
    """

    def __init__(self, store: JobStore, reopen: Callable[[], JobStore] | None = None) -> None:
        self._store = store
        self._original = store
        self._reopen = reopen if store.path != _IN_MEMORY else None
        self._lock = threading.Lock()
        self._identity = _identity(store.path) or (0, 0)
        self._wal_identity = _identity(store.path + _WAL)

    @property
    def path(self) -> str:
        """The path of the store."""
        return self._store.path

    def store(self) -> JobStore:
        """The store; StoreUnavailable while its file is missing."""
        if self._reopen is None:
            return self._store
        found = self._found()
        if found != self._identity:
            with self._lock:
                if found != self._identity:
                    self._reopen_as(found, self._reopen)
        return self._store

    def confirm(self, store: JobStore) -> None:
        """StoreUnavailable when the file was removed or replaced during the call: the changes are in the old file."""
        if self._reopen is None:
            return
        if self._found() != self._identity or store.repository is not self._store.repository:
            raise StoreUnavailable(
                self.path,
                "the file was removed or replaced during the call; check what the store holds now, and repeat",
            )

    def close(self) -> None:
        """Close the store, unless it is the original one, which its owner closes."""
        if self._store is not self._original:
            self._store.close()

    def _found(self) -> Identity:
        """The identity of the file now. An empty file is about to be filled: to open it would create a new store."""
        path = self._store.path
        try:
            found = os.stat(path)
        except OSError:
            raise StoreUnavailable(path, "the file is missing; the server continues as soon as it is back") from None
        identity = (found.st_dev, found.st_ino)
        if identity != self._identity and found.st_size == 0:
            raise StoreUnavailable(path, "the file is empty; the server continues as soon as it holds a store")
        return identity

    def _reopen_as(self, found: Identity, reopen: Callable[[], JobStore]) -> None:
        path = self._store.path
        wal = path + _WAL
        if self._wal_identity is not None and _identity(wal) == self._wal_identity:
            # SQLite would take the WAL of the old file for that of the new one, and read it.
            aside = f"{wal}.of-replaced-{self._identity[1]}"
            os.replace(wal, aside)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + _WAL_INDEX)
            _log.warning("%s was replaced; the server kept the WAL of the old file as %s", path, aside)
        replaced, self._store = self._store, reopen()
        self._identity, self._wal_identity = found, _identity(path + _WAL)
        replaced.close()


def _identity(path: str) -> Identity | None:
    """Device and inode of the file, or None without one."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
