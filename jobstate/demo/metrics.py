"""The metrics and the last log entries of the jobs of the demo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import jobstate
from jobstate.demo.files import Tally
from jobstate.domain.latency import Quantiles, quantiles

LINES_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class DemoMetrics:
    """The metrics of several jobs together."""

    counted: Tally
    """Their counters; a file counts once even if it was read again."""
    seconds: float
    """Seconds from the first start of a job to the last end."""
    latency: Quantiles | None
    """How long a file took to read."""

    @property
    def files_per_second(self) -> float:
        """The throughput of all jobs together; 0 if no time passed."""
        return self.counted.files / self.seconds if self.seconds > 0 else 0.0


def metrics_of(store: jobstate.JobStore, jobs: Iterable[jobstate.Job]) -> DemoMetrics:
    """Add up the metrics of these jobs: files and bytes read, lines counted, files without read permission."""
    counted, histograms = Tally(), []
    starts, ends = [], []
    for job in jobs:
        metrics = store.metrics(job)
        totals = metrics.totals
        counted += Tally(totals.records_in, totals.bytes_in, totals.records_out, totals.warnings)
        for operator in metrics.operators:
            histograms += [subtask.latency_json for subtask in operator.subtasks if subtask.latency_json is not None]
        if job.started_at is not None and job.finished_at is not None:
            starts.append(job.started_at)
            ends.append(job.finished_at)
    seconds = (max(ends) - min(starts)).total_seconds() if ends else 0.0
    return DemoMetrics(counted, seconds, quantiles(histograms))


def last_lines(store: jobstate.JobStore, job_id: int) -> Sequence[jobstate.LogEntry]:
    """The newest entries of the log of a job, oldest first."""
    return store.logs(job_id, limit=LINES_SHOWN).entries[::-1]
