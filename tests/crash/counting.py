"""A worker that counts the files of the standard library, can be killed at any line, and notes what it does outside.

It takes its checkpoints in turn in one step and in two; while one of the latter is under way, it goes on counting.
"""

from __future__ import annotations

import os
import signal
import sys
import sysconfig
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import jobstate
from jobstate import Checkpoint, Run
from jobstate.testing.clock import ManualClock

KIND: Final = "count"
EVERY: Final = 25
"""Files from one checkpoint to the next."""
UNDER_WAY: Final = 5
"""Files that are counted while a checkpoint in two phases is under way."""
STDLIB: Final = Path(sysconfig.get_path("stdlib"))
FILES: Final = sorted([*STDLIB.glob("*.py"), *STDLIB.glob("encodings/*.py")])


class Kill(NamedTuple):
    """When the worker dies: at its n-th line in this project's code, or at a named point of the handler."""

    line: int | None = None
    point: str | None = None
    place: int | None = None


NEVER: Final = Kill()
CODE: Final = (str(Path(jobstate.__file__).parent), __file__)
"""Where the lines are at which it may die."""


def table_of(path: Path) -> str:
    return path.parent.name


def lines_before(place: int) -> int:
    """How many lines the files of the same table have that come before this one: where its blocks begin."""
    return _BEGINS[place]


def lines_of(path: Path) -> tuple[int, int]:
    """How many lines and bytes a file has; every file counts one line at least."""
    content = path.read_bytes()
    return max(content.count(b"\n"), 1), len(content)


def _begins() -> list[int]:
    so_far: dict[str, int] = {}
    begins = []
    for path in FILES:
        begins.append(so_far.get(table_of(path), 0))
        so_far[table_of(path)] = begins[-1] + lines_of(path)[0]
    return begins


_BEGINS: Final = _begins()


def work(database: str, effects: str, now: datetime, kill: Kill) -> int:
    """Do what there is to do, or die; how many lines that took."""
    counted = 0

    def at_line(frame: FrameType, what: str, _: Any) -> Any:
        nonlocal counted
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        if what == "line":
            counted += 1
            if counted == kill.line:
                _die()
        return at_line

    def here(point: str, place: int) -> None:
        if (point, place) == (kill.point, kill.place):
            _die()

    notes = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with jobstate.open(database, clock=ManualClock(now), durability="normal", keep_checkpoints=3) as jobs:
        sys.settrace(at_line)
        with jobs.worker(f"worker-{os.getpid()}", kinds=[KIND], until_idle=True) as worker:
            for run in worker:
                with run:
                    _count(run, notes, here)
        sys.settrace(None)
    os.close(notes)
    return counted


def _count(run: Run, notes: int, here: Callable[[str, int], None]) -> None:
    start = run.restored.state if run.restored else 0
    begun: tuple[Checkpoint, int] | None = None
    for place in range(start, len(FILES)):
        if place % EVERY == 0 and place > start:
            here("before the checkpoint", place)
            if place // EVERY % 2:
                run.checkpoint(state=place)
                _note(notes, run, "checkpoint", place)
            else:
                begun = run.begin_checkpoint(), place
                here("begun", place)
        if begun is not None and place == begun[1] + UNDER_WAY:
            here("before completing", begun[1])
            run.complete_checkpoint(begun[0], state=begun[1])
            here("completed", begun[1])
            _note(notes, run, "checkpoint", begun[1])
        here("before the effect", place)
        _note(notes, run, "file", place)
        here("before counting", place)
        lines, size = lines_of(FILES[place])
        begin = lines_before(place)
        run.add_range(table_of(FILES[place]), begin, begin + lines - 1, files=1, size_bytes=size)
        if place % 7 == 0:
            run.flush()
        here("counted", place)


def _note(notes: int, run: Run, what: str, place: int) -> None:
    """The effect outside the store: it is there as soon as this returns, whatever becomes of the process."""
    os.write(notes, f"{run.id} {run.token} {what} {place}\n".encode())


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
