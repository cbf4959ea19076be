"""What a worker process of the demo does: read every file of its job, report it, checkpoint, obey a stop."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import jobstate
from jobstate.demo.files import Part, read, table_of
from jobstate.demo.reads import Journal

KIND: Final = "demo.count"
LEASE: Final = 2.0
CHECKPOINT_EVERY: Final = 20
"""Files from one checkpoint to the next."""
READ: Final = "read"
"""The operator that reads files: its records are files."""
COUNT: Final = "count"
"""The operator that adds what was read to the progress: its records are lines."""
_LONGEST_HOLD: Final = 60.0


def descriptor(part: Part, pace: float) -> dict[str, Any]:
    """The job that counts this part."""
    return {"folder": str(part.folder), "recursive": part.recursive, "exclude": list(part.exclude), "pace": pace}


def part_of(job: jobstate.Job) -> Part:
    """The part that a job counts."""
    told = job.descriptor
    return Part(Path(told["folder"]), told["recursive"], tuple(told["exclude"]))


def count(run: jobstate.Run, journal: Journal) -> None:
    """The handler: go on behind the last checkpoint, one file after the other; when it is to stop, take a last one."""
    told = run.job.descriptor
    files = part_of(run.job).files()
    start = start_of(run)
    if run.restored is None:
        run.log.info("%s starts: %d files", run.job.worker_id, len(files))
    else:
        run.log.info("%s goes on from %s, after %d of %d files", run.job.worker_id, run.restored.id, start, len(files))
    for place in range(start, len(files)):
        if place == told.get("hold_at") and run.job.restarted_from is None and run.job.attempt <= told["hold_attempts"]:
            _hold(run)
        if run.stopping:
            run.log.info("asked to end: a checkpoint after %d of %d files", place, len(files))
            run.checkpoint(state=place)
            run.raise_if_stopping()
        journal.note(run, place)
        _report(run, files[place])
        time.sleep(told["pace"])
        if (place + 1) % CHECKPOINT_EVERY == 0:
            run.checkpoint(state=place + 1)
    run.log.info("all %d files are read", len(files))


def start_of(run: jobstate.Run) -> int:
    """The place of the first file that the run has to read."""
    return int(run.restored.state) if run.restored else 0


def _report(run: jobstate.Run, path: Path) -> None:
    """Add one file to the progress of its table, whose blocks are its lines, and to the metrics."""
    table, began = table_of(path), time.perf_counter()
    tally = read(path)
    took = 1000 * (time.perf_counter() - began)
    if tally.unreadable:
        run.log.warning("may not be read, counts without its content: %s", path, operator_id=READ)
    run.metrics(
        READ,
        kind="source",
        records_in=1,
        records_out=1,
        bytes_in=tally.size_bytes,
        warnings=tally.unreadable,
        latency_ms=took,
    )
    run.metrics(COUNT, kind="sink", records_in=1, records_out=tally.lines)
    before = run.progress.get(table)
    first = 0 if before is None or before.current_block is None else before.current_block + 1
    if tally.lines:
        run.add_range(table, first, first + tally.lines - 1, files=1, size_bytes=tally.size_bytes)
    else:
        run.add_files(table, files=1, size_bytes=tally.size_bytes)


def _hold(run: jobstate.Run) -> None:
    """Wait half way, so that the stop and the crash of the demo meet a job at work on any machine."""
    run.flush()
    until = time.monotonic() + _LONGEST_HOLD
    while time.monotonic() < until and not run.stopping:
        time.sleep(0.01)


def serve(database: str, node: str, journals: str) -> None:
    """Work until told to end."""
    journal = Journal(Path(journals), node)
    try:
        with jobstate.open(database) as jobs:
            worker = jobs.worker(node, kinds=[KIND], lease=LEASE, shutdown_timeout=2)
            worker.serve({KIND: lambda run: count(run, journal)})
    finally:
        journal.close()


if __name__ == "__main__":
    serve(*sys.argv[1:])
