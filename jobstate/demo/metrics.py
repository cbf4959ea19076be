"""What the jobs of the demo counted, how fast they were, and what they said last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import jobstate
from jobstate.demo.files import Tally
from jobstate.domain.latency import Quantiles, quantiles

LINES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class Measured:
    """The metrics of several jobs together."""

    counted: Tally
    """Their counters: each file once, also where it was read again."""
    seconds: float
    """From the first start of any of them to the last end."""
    latency: Quantiles | None
    """How long a file took to read."""

    @property
    def files_per_second(self) -> float:
        """How fast all of them together were; 0 where no time passed."""
        return self.counted.files / self.seconds if self.seconds > 0 else 0.0


def measured(store: jobstate.JobStore, jobs: Iterable[jobstate.Job]) -> Measured:
    """What the operators of these jobs counted: read files and bytes, counted lines, met files that cannot be read."""
    counted, histograms = Tally(), []
    starts, ends = [], []
    for job in jobs:
        metrics = store.metrics(job)
        totals = metrics.totals
        counted += Tally(totals.records_in, totals.bytes_in, totals.records_out, totals.warnings)
        for operator in metrics.operators:
            histograms += [told.latency_json for told in operator.subtasks if told.latency_json is not None]
        if job.started_at is not None and job.finished_at is not None:
            starts.append(job.started_at)
            ends.append(job.finished_at)
    seconds = (max(ends) - min(starts)).total_seconds() if ends else 0.0
    return Measured(counted, seconds, quantiles(histograms))


def last_lines(store: jobstate.JobStore, job_id: int) -> Sequence[jobstate.LogEntry]:
    """The newest entries of the log of a job, in the order in which they were made."""
    return store.logs(job_id, limit=LINES_SHOWN).entries[::-1]
