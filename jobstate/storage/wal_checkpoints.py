"""Copies the write-ahead log back into the file, in a way that no version of SQLite can lose commits by.

SQLite 3.7.0 to 3.51.2 (fixed in 3.51.3, 3.50.7 and 3.44.6) reads the header of the log before a checkpoint, and the
part that is copied already after it. If another process begins the log anew and commits in between, SQLite records the
old length, and readers skip every later commit up to it. An automatic checkpoint takes that risk after any commit. So
the connections of jobstate make none, and one is made here only while a connection that writes nothing holds the write
lock: to begin the log anew takes that lock.

PASSIVE by name: FULL, RESTART and TRUNCATE fall back to it, unprotected, when the lock is busy. The log is flushed
before the lock is taken, so that the copy under the lock writes to memory only. SQLite's own checkpoint when the last
connection to a file is closed needs no care: it excludes all others.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

from jobstate.storage.errors import is_busy

LONGEST: Final = 800
"""Frames after which the log is copied back: fewer than the 1,000 after which other programs do it by themselves."""
SHORTEST: Final = 50
LOOK_EVERY: Final = 8
"""Commits of a store between two looks at the log, which cost some microseconds."""
_GOAL: Final = 0.015
"""Seconds that a copy may take, as every other writer waits for it; the length of the log follows from it."""
_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_SALTS: Final = slice(16, 24)
_SALTS_OF_FRAME: Final = 8

_log: Final = logging.getLogger("jobstate")


class WalCheckpoints:
    """The checkpoints that one store makes. Threads may call it; one of them at a time looks.

    Args:
        path: The file.
        connect: Makes a connection, on which the checkpoints run.
        monotonic: The time, to measure a checkpoint with.
    """

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection], monotonic: Callable[[], float]) -> None:
        self._wal = f"{os.path.realpath(path)}-wal"  # SQLite keeps it beside the file itself, not beside a link to it
        self._connect = connect
        self._monotonic = monotonic
        self._commits = 0
        self._looking = threading.RLock()  # a signal handler may close the store in the middle
        self._connection: sqlite3.Connection | None = None
        self._descriptor: int | None = None
        self._salts = b""
        self._length = LONGEST
        self._next = LONGEST
        """The number of the frame whose presence asks for a checkpoint."""
        self._failed = False
        self._closed = False

    def after_commit(self, connection: sqlite3.Connection) -> None:
        """Count a commit; now and then look at the log, and copy it back when it is long.

        Never raises what a checkpoint met, as the commit has succeeded; StoreUnavailable where the file lost its name.

        Args:
            connection: The one that committed; it holds the write lock during a checkpoint.
        """
        self._commits += 1
        if self._commits % LOOK_EVERY != 1:  # the first one too: many short-lived processes make a long log together
            return
        if not self._looking.acquire(blocking=False):
            return
        try:
            if not self._closed and self._is_long():
                self._copy_back(connection)
            self._failed = False
        except (sqlite3.Error, OSError) as error:
            if not self._failed:
                _log.warning("%s could not be copied back, and grows until it can: %s", self._wal, error)
            self._failed = True
        finally:
            self._looking.release()

    def close(self) -> None:
        """Close the connection and the log."""
        with self._looking:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._forget_log()

    def _is_long(self) -> bool:
        """Whether frame `_next` is in the log, by its salts: the file does not shrink when the log begins anew."""
        log = self._open_log()
        if log is None:
            return False
        header = os.pread(log, _HEADER, 0)
        if len(header) < _HEADER:
            return False
        salts = header[_SALTS]
        if salts != self._salts:
            self._salts, self._next = salts, self._length
        frame = int.from_bytes(header[8:12], "big") + _FRAME_HEADER
        return os.pread(log, len(salts), _HEADER + (self._next - 1) * frame + _SALTS_OF_FRAME) == salts

    def _copy_back(self, connection: sqlite3.Connection) -> None:
        """Copy the log back while `connection` holds the write lock; leave it to others when they hold it."""
        if self._connection is None:
            self._connection = self._connect()
        assert self._descriptor is not None
        os.fdatasync(self._descriptor)
        try:
            connection.execute("BEGIN IMMEDIATE")
            began = self._monotonic()
            _, frames, _ = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            took = self._monotonic() - began
        except sqlite3.Error as error:
            if is_busy(error):
                return
            raise
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if frames < 0:  # another program copies at this moment
            return
        self._length = max(SHORTEST, min(LONGEST, round(self._length * _GOAL / max(took, _GOAL / 2))))
        # A reader may pin the log: then it stays, and is tried again when it is longer. Else it begins anew.
        self._next = frames + self._length // 4

    def _open_log(self) -> int | None:
        """A descriptor of the log in use. (Not of the `-shm` or the file: to close those drops SQLite's locks.)"""
        if self._descriptor is not None and os.fstat(self._descriptor).st_nlink == 0:
            self._forget_log()
        if self._descriptor is None:
            try:
                self._descriptor = os.open(self._wal, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return None
        return self._descriptor

    def _forget_log(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
