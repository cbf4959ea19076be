"""Metrics for Prometheus: what this process does to jobs, and how many jobs there are.

`jobstate serve` shows them at `/metrics` under the same names, with the same labels: it feeds a `PrometheusObserver`
from the history. A server counts the changes of all processes, an observer those of its own, so a sum over both
counts twice: sum over one of them, by the label `job` or `instance` that Prometheus gives its targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from jobstate.core.installation import install_command
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import SWEEPER, Event
from jobstate.domain.job import Job, row_of
from jobstate.domain.job_row import Lease
from jobstate.domain.lifecycle import LEASED, State, Trigger
from jobstate.domain.stop import StopOutcome
from jobstate.observers.observer import Claim, Heartbeat, LeaseLoss, Observer, Sweep, Transition
from jobstate.telemetry.open_runs import OpenRuns, ends_the_lease

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    raise ImportError(
        f"jobstate.telemetry.prometheus needs prometheus-client; install it with: {install_command('prometheus')}"
    ) from error

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
"""The upper bounds of the buckets."""
MOST_KINDS: Final = 100
OTHER: Final = "other"
"""The label of kinds beyond the first `most_kinds`."""
LEASE_LOST: Final = "lease_lost"


class _Run(NamedTuple):
    began_us: int
    kind: str


class PrometheusObserver(Observer):
    """Counts and measures. Pass one to `jobstate.open(…, observers=[PrometheusObserver()])`; each store needs its own.

    Args:
        registry: Where the metrics are registered; by default the registry of the process.
        most_kinds: How many kinds get a label of their own, >= 1: the first ones; all others share `other`.
        heartbeats: Whether to count heartbeats. A server has none: it reads the history, which does not record them.
    """

    def __init__(
        self, registry: CollectorRegistry = REGISTRY, *, most_kinds: int = MOST_KINDS, heartbeats: bool = True
    ) -> None:
        if most_kinds < 1:
            raise InvalidRequest("most_kinds", f"must be at least 1, not {most_kinds}")
        self._registry = registry
        self._most_kinds = most_kinds
        self._kinds: set[str] = set()
        self._runs = OpenRuns[_Run]()
        self._transitions = self._counter(
            "transitions", "Changes of state.", "kind", "from_state", "to_state", "trigger"
        )
        self._claim_latency = self._histogram("claim_latency_seconds", "From when a job was due to its claim.", "kind")
        self._in_progress = Gauge("jobstate_runs_in_progress", "Runs that hold a lease.", ["kind"], registry=registry)
        self._run_seconds = self._histogram("run_seconds", "From a claim to the end of its lease.", "kind", "end")
        self._failed = self._counter("failed_attempts", "Runs that failed, or lost their lease.", "kind")
        self._heartbeats = self._counter("heartbeats", "Heartbeats of workers.") if heartbeats else None
        self._lease_losses = self._counter("lease_losses", "Leases that ran out.", "kind")
        self._sweeps = self._counter("sweeps", "Sweeps, and other calls that settled something overdue.")
        self._swept = self._counter("swept_jobs", "Overdue jobs that were settled.")

    def transition(self, transition: Transition) -> None:
        """Count it, and measure the run if this ends it."""
        event, kind = transition.event, self._label(transition.job.kind)
        came_from = "" if event.from_state is None else event.from_state.value
        self._transitions.labels(kind, came_from, event.to_state.value, event.trigger).inc()
        if is_failed_attempt(event):
            self._failed.labels(kind).inc()
        if is_lease_loss(event):
            self._lease_losses.labels(kind).inc()
        if ends_the_lease(event) and self._runs.about(event) is not None:
            self._end(event.job_id, event.at_us, event.trigger)

    def claimed(self, claim: Claim) -> None:
        """Measure how long the job waited, and count the run as in progress."""
        event, job = claim.event, claim.job
        kind = self._label(job.kind)
        self._claim_latency.labels(kind).observe(max(0, event.at_us - row_of(job).available_us) / 1_000_000)
        self._begin(Lease(job.id, event.token), _Run(event.at_us, kind))

    def resumed(self, job: Job) -> None:
        """Track the run that holds this job's lease, whose claim was before this observer: it is not counted."""
        claimed_us = row_of(job).claimed_us
        if claimed_us is not None:
            self._begin(job.lease, _Run(claimed_us, self._label(job.kind)))

    def running(self) -> tuple[int, ...]:
        """The ids of the jobs whose runs are in progress."""
        return self._runs.jobs()

    def forget(self, job_id: int) -> None:
        """Drop a run without measuring it: its job was removed, and its end with it."""
        self._remove(job_id)

    def heartbeat(self, heartbeat: Heartbeat) -> None:
        """Count it."""
        if self._heartbeats is not None:
            self._heartbeats.inc()

    def lease_lost(self, loss: LeaseLoss) -> None:
        """Measure the run, which ended here."""
        if self._runs.of(loss.job.lease) is not None:
            self._end(loss.job.id, loss.at_us, LEASE_LOST)

    def swept(self, sweep: Sweep) -> None:
        """Count the sweep and its jobs."""
        self._sweeps.inc()
        self._swept.inc(len(sweep.job_ids))

    def closed(self) -> None:
        """Count the open runs as no longer in progress."""
        for job_id in self._runs.jobs():
            self._remove(job_id)

    def _begin(self, lease: Lease, run: _Run) -> None:
        if self._runs.of(lease) is None:  # else it was resumed before its claim was read
            self._end(lease.job_id, run.began_us, LEASE_LOST)
            self._runs.begin(lease, run)
            self._in_progress.labels(run.kind).inc()

    def _remove(self, job_id: int) -> _Run | None:
        run = self._runs.end(job_id)
        if run is not None:
            self._in_progress.labels(run.kind).dec()
        return run

    def _end(self, job_id: int, at_us: int, end: str) -> None:
        run = self._remove(job_id)
        if run is not None:
            self._run_seconds.labels(run.kind, end).observe(max(0, at_us - run.began_us) / 1_000_000)

    def _label(self, kind: str) -> str:
        if kind not in self._kinds:
            if len(self._kinds) >= self._most_kinds:
                return OTHER
            self._kinds.add(kind)
        return kind

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"jobstate_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"jobstate_{name}", text, labels, registry=self._registry, buckets=SECONDS)


class JobsByState(Collector):
    """The number of jobs in each state, counted at each scrape: `REGISTRY.register(JobsByState(jobs.counts))`."""

    def __init__(self, counts: Callable[[], Mapping[State, int]]) -> None:
        self._counts = counts

    def describe(self) -> list[GaugeMetricFamily]:
        """The gauge without values, so that registering does not read the store."""
        return [self._family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge with one value per state."""
        family = self._family()
        for state, count in self._counts().items():
            family.add_metric([state.value], count)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("jobstate_jobs", "Jobs by state.", labels=["state"])


def is_lease_loss(event: Event) -> bool:
    """Whether this entry settled an expired lease."""
    if not event.actor.startswith(SWEEPER):
        return False
    lost = event.detail.get("outcome") == StopOutcome.WORKER_LOST
    return lost or event.trigger in (Trigger.RECOVER, Trigger.FAIL)


def is_failed_attempt(event: Event) -> bool:
    """Whether a run failed, was failed by an operator, or lost its lease."""
    if event.detail.get("outcome") in (StopOutcome.WORKER_FAILED, StopOutcome.WORKER_LOST):
        return True
    return event.trigger in (Trigger.RECOVER, Trigger.FAIL) and event.from_state in LEASED and event.attempt > 0
