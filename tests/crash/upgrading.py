"""`python -m tests.crash.upgrading SOURCE FOLDER`: open a store, killed before another statement each time.

SOURCE is copied to `FOLDER/1.db`, `FOLDER/2.db`, …; where there is none, `open` creates the file. Prints how many
openings were killed; the one after them went through.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from itertools import count
from pathlib import Path
from typing import Any

import jobstate
from jobstate.storage.connections import Connection


def _open_until(path: Path, last: int) -> None:
    """Open the store in this process, which dies before its statement of that number."""
    ran = 0

    def execute(self: Connection, *arguments: Any) -> sqlite3.Cursor:
        nonlocal ran
        ran += 1
        if ran == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return sqlite3.Connection.execute(self, *arguments)

    setattr(Connection, "execute", execute)  # noqa: B010  (mypy does not let a method be assigned)
    jobstate.open(path, durability="normal").close()


def main(source: Path, folder: Path) -> int:
    jobstate.open(":memory:").close()  # what is computed once per process is, here and not in each child
    for number in count(1):
        path = folder / f"{number}.db"
        if source.exists():
            shutil.copy(source, path)
        child = os.fork()
        if child == 0:
            try:
                _open_until(path, number)
            except BaseException:  # the child must not go on as its parent
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), (number, code)
        if code == 0:
            return number - 1
    raise AssertionError


if __name__ == "__main__":
    print(main(Path(sys.argv[1]), Path(sys.argv[2])))
