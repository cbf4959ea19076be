"""A log of the files that the workers of the demo read, outside the store, to compare the two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import jobstate
from jobstate.domain.job_row import Lease

_SUFFIX: Final = ".reads"


class Read(NamedTuple):
    """A file that a run started to read, by its position among the files of the job."""

    job_id: int
    token: int
    position: int

    @property
    def run(self) -> Lease:
        """The run that read it."""
        return Lease(self.job_id, self.token)


class ReadLog:
    """The reads of one worker. An entry outlives the process as soon as `record` returns."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._file = (folder / f"{worker}{_SUFFIX}").open("ab", buffering=0)

    def record(self, run: jobstate.Run, index: int) -> None:
        """Record that the run is about to read the file of this index."""
        self._file.write(f"{run.id} {run.token} {index}\n".encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def recorded_reads(folder: Path) -> list[Read]:
    """The reads of all workers; those of one run are in order."""
    return [
        Read(*map(int, line.split()))
        for path in sorted(folder.glob(f"*{_SUFFIX}"))
        for line in path.read_text().splitlines()
    ]


def lost_runs(events: Iterable[jobstate.Event]) -> set[Lease]:
    """The runs of a history that failed or whose worker died: their work since the last checkpoint is done again."""
    lost: set[Lease] = set()
    claimed: Lease | None = None
    for event in events:
        if event.trigger == jobstate.Trigger.CLAIM:
            claimed = Lease(event.job_id, event.token)
        elif event.trigger == jobstate.Trigger.RECOVER and claimed is not None:
            lost.add(claimed)
    return lost


def read_again(
    reads: Iterable[Read], lineage: Sequence[int], files: int, lost: AbstractSet[Lease], limit: int
) -> int | None:
    """Count the files that a job and its restarts read more than once.

    Args:
        reads: The recorded reads, also of other jobs.
        lineage: The job and its restarts, in order.
        files: The number of files to read.
        lost: The runs whose work may be done again.
        limit: The number of files between two checkpoints: the most that may be read again after a lost run.

    Returns:
        The count, or None if a file was left out, or read again although a checkpoint covered it.
    """
    ours = sorted((read for read in reads if read.job_id in lineage), key=lambda read: (read.job_id, read.token))
    done = again = 0
    may_repeat = 0
    for run, group in groupby(ours, key=lambda read: read.run):
        positions = [read.position for read in group]
        first = positions[0]
        if positions != list(range(first, first + len(positions))) or not 0 <= done - first <= may_repeat:
            return None
        again += done - first
        done = first + len(positions)
        may_repeat = limit if run in lost else 0
    return again if done == files else None
