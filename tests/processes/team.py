"""Several real processes that start at one moment: the side of the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PATIENCE: Final = 60.0
ROLES: Final = "tests.processes.roles"


class Member:
    """One process that runs a role of that module. It sends its messages as lines of JSON."""

    def __init__(self, role: str, *arguments: object, module: str = ROLES) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, role, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def receive(self) -> Any:
        """The next message of the process; AssertionError with its stderr when it ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait(PATIENCE)
            assert self.process.stderr is not None
            raise AssertionError(f"the process ended with {self.process.returncode}: {self.process.stderr.read()}")
        return json.loads(line)

    def send(self, word: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it: it runs no more code."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def ended(self, within: float = PATIENCE) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(within)

    def output(self) -> tuple[str, str]:
        """Wait for its end; the rest of its stdout, and its stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return out, err


@contextmanager
def member(role: str, *arguments: object, module: str = ROLES) -> Iterator[Member]:
    """Start a process, which is killed at the end of the block if it still runs."""
    one = Member(role, *arguments, module=module)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate(timeout=PATIENCE)


def together(size: int, role: str, arguments: Callable[[int], tuple[object, ...]]) -> list[Any]:
    """Run a role in several processes, which all begin when all are ready; the last message of each."""
    with ExitStack() as stack:
        team = [stack.enter_context(member(role, *arguments(number))) for number in range(size)]
        for one in team:
            assert one.receive() == "ready"
        for one in team:
            one.send()
        answers = [one.receive() for one in team]
        assert [one.ended() for one in team] == [0] * size
        return answers


def eventually(condition: Callable[[], bool], within: float = 10.0) -> float:
    """Wait until it holds; how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < within, "it did not come true in time"
        time.sleep(0.002)
    return time.monotonic() - began
