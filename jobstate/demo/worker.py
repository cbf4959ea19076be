"""The worker process of the demo: reads every file of its job, reports it, writes checkpoints, obeys a stop."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Final

import jobstate
from jobstate.demo.files import Part, read, table_of
from jobstate.demo.reads import ReadLog

KIND: Final = "demo.count"
LEASE: Final = 2.0
CHECKPOINT_EVERY: Final = 20
"""Files from one checkpoint to the next."""
READ: Final = "read"
"""The operator that reads files: its records are files."""
COUNT: Final = "count"
"""The operator that adds files to the progress: its records are lines."""
_MAX_HOLD: Final = 60.0


def descriptor(part: Part, pace: float) -> dict[str, Any]:
    """The descriptor of the job that counts this part."""
    return {"folder": str(part.folder), "recursive": part.recursive, "exclude": list(part.exclude), "pace": pace}


def part_of(job: jobstate.Job) -> Part:
    """The part that a job counts."""
    fields = job.descriptor
    return Part(Path(fields["folder"]), fields["recursive"], tuple(fields["exclude"]))


def count(run: jobstate.Run, reads: ReadLog) -> None:
    """The handler: continue after the last checkpoint, file by file; before a stop, write a last checkpoint."""
    options = run.job.descriptor
    files = part_of(run.job).files()
    start = start_of(run)
    if run.restored is None:
        run.log.info("%s starts: %d files", run.job.worker_id, len(files))
    else:
        run.log.info(
            "%s continues from %s, after %d of %d files", run.job.worker_id, run.restored.id, start, len(files)
        )
    for index in range(start, len(files)):
        if (
            index == options.get("hold_at")
            and run.job.restarted_from is None
            and run.job.attempt <= options["hold_attempts"]
        ):
            _hold(run)
        if run.stopping:
            run.log.info("asked to stop: checkpoint after %d of %d files", index, len(files))
            run.checkpoint(state=index)
            run.raise_if_stopping()
        reads.record(run, index)
        _report(run, files[index])
        time.sleep(options["pace"])
        if (index + 1) % CHECKPOINT_EVERY == 0:
            run.checkpoint(state=index + 1)
    run.log.info("read all %d files", len(files))


def start_of(run: jobstate.Run) -> int:
    """The index of the first file that the run has to read."""
    return int(run.restored.state) if run.restored else 0


def _report(run: jobstate.Run, path: Path) -> None:
    """Add one file to the metrics, and to the progress of its table, where a block is a line."""
    table, started = table_of(path), time.perf_counter()
    tally = read(path)
    latency = 1000 * (time.perf_counter() - started)
    if tally.unreadable:
        run.log.warning("no read permission, counted without its content: %s", path, operator_id=READ)
    run.metrics(
        READ,
        kind="source",
        records_in=1,
        records_out=1,
        bytes_in=tally.size_bytes,
        warnings=tally.unreadable,
        latency_ms=latency,
    )
    run.metrics(COUNT, kind="sink", records_in=1, records_out=tally.lines)
    before = run.progress.get(table)
    first = 0 if before is None or before.current_block is None else before.current_block + 1
    if tally.lines:
        run.add_range(table, first, first + tally.lines - 1, files=1, size_bytes=tally.size_bytes)
    else:
        run.add_files(table, files=1, size_bytes=tally.size_bytes)


def _hold(run: jobstate.Run) -> None:
    """Wait half way, so that the stop and the crash of the demo hit a running job on any machine."""
    run.flush()
    deadline = time.monotonic() + _MAX_HOLD
    while time.monotonic() < deadline and not run.stopping:
        time.sleep(0.01)


def serve(database: str, node: str, folder: str) -> None:
    """Run jobs until SIGTERM; `folder` gets the log of the reads."""
    reads = ReadLog(Path(folder), node)
    try:
        with jobstate.open(database) as jobs:
            worker = jobs.worker(node, kinds=[KIND], lease=LEASE, shutdown_timeout=2)
            worker.serve({KIND: lambda run: count(run, reads)})
    finally:
        reads.close()


if __name__ == "__main__":
    serve(*sys.argv[1:])
