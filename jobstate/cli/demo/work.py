"""What a worker process of the demo does: read every file of its job, report it, checkpoint, obey a stop."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import jobstate
from jobstate.cli.demo.files import Part, read, table_of

KIND: Final = "demo.count"
LEASE: Final = 2.0
CHECKPOINT_EVERY: Final = 20
_LONGEST_HOLD: Final = 60.0


def descriptor(part: Part, pace: float) -> dict[str, Any]:
    """The job that counts this part."""
    return {"folder": str(part.folder), "recursive": part.recursive, "exclude": list(part.exclude), "pace": pace}


def part_of(job: jobstate.Job) -> Part:
    """The part that a job counts."""
    told = job.descriptor
    return Part(Path(told["folder"]), told["recursive"], tuple(told["exclude"]))


def count(run: jobstate.Run) -> None:
    """The handler: go on behind the last checkpoint, one file after the other."""
    told = run.job.descriptor
    files = part_of(run.job).files()
    state = run.restored.state if run.restored else 0
    for done in range(state, len(files)):
        if done == told.get("hold_at") and run.job.attempt <= told["hold_attempts"]:
            run.checkpoint(state=done)
            _hold(run)
        run.raise_if_stopping()
        _report(run, files[done])
        time.sleep(told["pace"])
        if (done + 1) % CHECKPOINT_EVERY == 0:
            run.checkpoint(state=done + 1)


def _report(run: jobstate.Run, path: Path) -> None:
    """Add one file to the progress of its table; the blocks of a table are its lines."""
    table, tally = table_of(path), read(path)
    before = run.progress.get(table)
    first = 0 if before is None or before.current_block is None else before.current_block + 1
    if tally.lines:
        run.add_range(table, first, first + tally.lines - 1, files=1, size_bytes=tally.size_bytes)
    else:
        run.add_files(table, files=1, size_bytes=tally.size_bytes)


def _hold(run: jobstate.Run) -> None:
    """Wait half way, so that the stop and the crash of the demo meet a job at work on any machine."""
    until = time.monotonic() + _LONGEST_HOLD
    while time.monotonic() < until:
        run.raise_if_stopping()
        time.sleep(0.01)


if __name__ == "__main__":
    database, node = sys.argv[1:]
    with jobstate.open(database) as jobs:
        jobs.worker(node, kinds=[KIND], lease=LEASE, shutdown_timeout=2).serve({KIND: count})
