"""A process that forks workers which are to die: far cheaper than starting a Python for each of them.

`python -m tests.crash.nursery` reads a line of JSON for each worker, and says how it ended.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import jobstate
from jobstate.domain import validation
from jobstate.testing.clock import ManualClock
from tests.crash.counting import KIND, NEVER, Kill, work
from tests.processes.team import PATIENCE, ROOT


class End(NamedTuple):
    """How a worker ended."""

    killed: bool
    lines: int | None
    """How many lines of code it ran, when it was not killed."""


class Nursery:
    """The side of the test."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def worker(
        self, database: Path, effects: Path, now: datetime, kill: Kill = NEVER, *, after: float | None = None
    ) -> End:
        """Let a worker work until it is killed, or nothing is left to do.

        Args:
            database: The file of the store.
            effects: Where it notes what it does outside the store.
            now: The time of its clock, which stands still.
            kill: Where it kills itself.
            after: Seconds after which it is killed from outside.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([str(database), str(effects), now.isoformat(), kill, after]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the nursery ended"
        return End(*json.loads(answer))


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, which is gone when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.nursery"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Nursery(process)
        process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=PATIENCE)


def _serve() -> None:
    _warm_up()
    for line in sys.stdin:
        database, effects, instant, kill, after = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _child(database, effects, datetime.fromisoformat(instant), Kill(*kill), writer)
        os.close(writer)
        if after is not None:
            time.sleep(after)
            os.kill(child, signal.SIGKILL)  # it is ours until it is waited for: nobody else can have its number
        with os.fdopen(reader) as pipe:
            lines = pipe.read()
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), code
        sys.stdout.write(json.dumps([code != 0, int(lines) if lines else None]) + "\n")
        sys.stdout.flush()


def _warm_up() -> None:
    """Compile every statement once, here, and not in each worker."""
    with tempfile.TemporaryDirectory() as folder:
        path, clock = f"{folder}/jobs.db", ManualClock()
        with jobstate.open(path, clock=clock) as jobs:
            jobs.submit(KIND)
        work(path, f"{folder}/effects", validation.instant(clock.now()), NEVER)


def _child(database: str, effects: str, now: datetime, kill: Kill, writer: int) -> None:
    code = 1
    try:
        os.write(writer, str(work(database, effects, now, kill)).encode())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
