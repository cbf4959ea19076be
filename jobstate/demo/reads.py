"""What the workers of the demo really read, noted outside the store, so that the two can be held against each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

import jobstate
from jobstate.domain.job_row import Lease

_ENDING: Final = ".reads"


class Read(NamedTuple):
    """A file that a run set about reading, by its place among the files of the job."""

    job_id: int
    token: int
    place: int

    @property
    def run(self) -> Lease:
        """Which run it was."""
        return Lease(self.job_id, self.token)


class Journal:
    """The notes of one worker. A note is with the system when `note` returns: the death of the process leaves it."""

    def __init__(self, folder: Path, worker: str) -> None:
        self._file = (folder / f"{worker}{_ENDING}").open("ab", buffering=0)

    def note(self, run: jobstate.Run, place: int) -> None:
        """The run is about to read the file at this place."""
        self._file.write(f"{run.id} {run.token} {place}\n".encode())

    def close(self) -> None:
        """No more notes."""
        self._file.close()


def noted(folder: Path) -> list[Read]:
    """What all workers noted, the reads of a run in their order."""
    return [
        Read(*map(int, line.split()))
        for path in sorted(folder.glob(f"*{_ENDING}"))
        for line in path.read_text().splitlines()
    ]


def lost_runs(events: Iterable[jobstate.Event]) -> set[Lease]:
    """The runs of a history that ended without a word, or by a failure: what they did last is done again."""
    lost: set[Lease] = set()
    claimed: Lease | None = None
    for event in events:
        if event.trigger == jobstate.Trigger.CLAIM:
            claimed = Lease(event.job_id, event.token)
        elif event.trigger == jobstate.Trigger.RECOVER and claimed is not None:
            lost.add(claimed)
    return lost


def read_again(
    reads: Iterable[Read], lineage: Sequence[int], files: int, lost: AbstractSet[Lease], most: int
) -> int | None:
    """How many of its files a job, together with those that restart it, read once more.

    Args:
        reads: What was noted, of other jobs too.
        lineage: The job and its restarts, in their order.
        files: How many files there are to read.
        lost: The runs after which work may be done again.
        most: How many files are read between two checkpoints, and so may be.

    Returns:
        The number, or None where a file was left out, or one was read again though a checkpoint had it.
    """
    ours = sorted((read for read in reads if read.job_id in lineage), key=lambda read: (read.job_id, read.token))
    done = again = 0
    may_repeat = 0
    for run, group in groupby(ours, key=lambda read: read.run):
        places = [read.place for read in group]
        first = places[0]
        if places != list(range(first, first + len(places))) or not 0 <= done - first <= may_repeat:
            return None
        again += done - first
        done = first + len(places)
        may_repeat = most if run in lost else 0
    return again if done == files else None
