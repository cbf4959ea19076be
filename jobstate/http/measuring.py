"""What Prometheus is told: the jobs by state, what happens to them, and what the server itself does.

What happens to jobs is read from their history, whoever did it: the counts begin when the server does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobstate.domain.job import Event, StopOutcome
from jobstate.domain.lifecycle import State, Trigger
from jobstate.http.keeper import Keeper
from jobstate.store import JobStore

_REMEMBERED: Final = 100_000
"""Jobs whose last event is kept in mind, to know how long they waited."""
_LONG_WAIT: Final = 1_000_000
"""Microseconds; what waited longer may have been told to, so the job itself is asked since when it was due."""
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_SWEEPER: Final = "sweep:"


class Meters:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, keeper: Keeper) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_JobsByState(keeper))
        self.transitions = self._counter("transitions", "Changes of state.", "from_state", "to_state", "trigger")
        self.claim_latency = self._histogram("claim_latency_seconds", "From when a job was due to its claim.")
        self.stop_latency = self._histogram("stop_latency_seconds", "From the request to stop to the end of the job.")
        self.lease_losses = self._counter("lease_losses", "Leases that ran out.")
        self.sweeps = self._counter("sweeps", "Sweeps of this server.", "result")
        self.swept = self._counter("swept_jobs", "Overdue jobs that this server's sweeps settled.")
        self.requests = self._counter("http_requests", "Requests.", "method", "route", "status")
        self.request_seconds = self._histogram("http_request_seconds", "Time to answer.", "method", "route")

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"jobstate_{name}", told, labels, registry=self.registry)

    def _histogram(self, name: str, told: str, *labels: str) -> Histogram:
        return Histogram(f"jobstate_{name}", told, labels, registry=self.registry, buckets=_SECONDS)


class Observer:
    """Reads the history as it grows, and counts."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._last: OrderedDict[int, int] = OrderedDict()
        self._stops: OrderedDict[int, int] = OrderedDict()

    def observe(self, store: JobStore, events: Iterable[Event]) -> None:
        """Count what these events say; they come in order, each once."""
        for event in events:
            if not event.is_note:
                self._count(store, event)
                _remember(self._last, event.job_id, event.at_us)

    def _count(self, store: JobStore, event: Event) -> None:
        meters = self._meters
        came_from = "" if event.from_state is None else event.from_state.value
        meters.transitions.labels(came_from, event.to_state.value, event.trigger).inc()
        if event.trigger == Trigger.CLAIM:
            meters.claim_latency.observe((event.at_us - self._due(store, event)) / 1_000_000)
        elif event.trigger == Trigger.REQUEST_STOP:
            _remember(self._stops, event.job_id, event.at_us)
        elif event.to_state is State.STOPPED:
            asked = self._stops.pop(event.job_id, event.at_us)
            meters.stop_latency.observe((event.at_us - asked) / 1_000_000)
        if _is_lease_loss(event):
            meters.lease_losses.inc()

    def _due(self, store: JobStore, claim: Event) -> int:
        """Since when the job could be claimed."""
        since = self._last.get(claim.job_id)
        if since is not None and claim.at_us - since <= _LONG_WAIT:
            return since
        job = store.repository.jobs.find(claim.job_id)
        due = 0 if job is None or job.available_us > claim.at_us else job.available_us
        return min(claim.at_us, max(since or 0, due) or claim.at_us)


class _JobsByState(Collector):
    """Asks the store at each scrape."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def describe(self) -> list[GaugeMetricFamily]:
        """What `collect` gives, without asking the store."""
        return [self._family()]

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        family = self._family()
        for state, count in self._keeper.store().counts().items():
            family.add_metric([state.value], count)
        yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily("jobstate_jobs", "Jobs by state.", labels=["state"])


def _is_lease_loss(event: Event) -> bool:
    if not event.actor.startswith(_SWEEPER):
        return False
    lost = event.detail.get("outcome") == StopOutcome.WORKER_LOST
    return lost or event.trigger in (Trigger.RECOVER, Trigger.FAIL)


def _remember(times: OrderedDict[int, int], job_id: int, at: int) -> None:
    times[job_id] = at
    times.move_to_end(job_id)
    if len(times) > _REMEMBERED:
        times.popitem(last=False)
