"""What Prometheus is told: the jobs by state, what happens to them, and what the server itself does.

What happens to jobs is read from their history, whoever did it: the counts begin when the server does. Of a job that
is removed within a second of its end, that end may be missing.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobstate.domain.event import Event
from jobstate.domain.lifecycle import STOP_PENDING, TERMINAL, State, Trigger
from jobstate.http.store_provider import StoreProvider
from jobstate.store.store import JobStore
from jobstate.telemetry.prometheus import SECONDS, JobsByState, is_lease_loss

_REMEMBERED: Final = 100_000
"""Jobs whose last event is kept in mind, to know how long they waited."""
_SHORT_WAIT: Final = 10_000
"""Microseconds; what waited longer may have been told to, so the job itself is asked since when it was due."""


_NO_ROUTE: Final = "none"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ServerMetrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, provider: StoreProvider) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(JobsByState(lambda: provider.store().counts()))
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
        return Histogram(f"jobstate_{name}", told, labels, registry=self.registry, buckets=SECONDS)


class Observer:
    """Reads the history as it grows, and counts."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics
        self._last: OrderedDict[int, int] = OrderedDict()
        self._stops: OrderedDict[int, int] = OrderedDict()

    def observe(self, store: JobStore, event: Event) -> None:
        """Count what this event says; they come in order, each once. When the store fails, nothing was counted."""
        if event.is_note:
            return
        metrics = self._metrics
        waited = self._waited(store, event)
        came_from = "" if event.from_state is None else event.from_state.value
        metrics.transitions.labels(came_from, event.to_state.value, event.trigger).inc()
        if event.trigger == Trigger.CLAIM:
            metrics.claim_latency.observe(waited)
        elif event.trigger == Trigger.REQUEST_STOP:
            _remember(self._stops, event.job_id, event.at_us)
        elif event.to_state in TERMINAL and (event.job_id in self._stops or event.to_state is State.STOPPED):
            metrics.stop_latency.observe(waited)
            self._stops.pop(event.job_id, None)
        if is_lease_loss(event):
            metrics.lease_losses.inc()
        _remember(self._last, event.job_id, event.at_us)

    def _waited(self, store: JobStore, event: Event) -> float:
        """Seconds since the job was due, for a claim; since it was asked to stop, for the end of a stop."""
        since = event.at_us
        if event.trigger == Trigger.CLAIM:
            since = self._due(store, event)
        elif event.job_id in self._stops:
            since = self._stops[event.job_id]
        elif event.from_state in STOP_PENDING:  # it was asked before anybody counted
            asked = [past.at_us for past in store.repository.history.events(event.job_id) if _asks_to_stop(past)]
            since = asked[-1] if asked else since
        return max(0, event.at_us - since) / 1_000_000

    def _due(self, store: JobStore, claim: Event) -> int:
        """Since when the job could be claimed."""
        since = self._last.get(claim.job_id)
        if since is not None and claim.at_us - since <= _SHORT_WAIT:
            return since
        job = store.repository.jobs.find(claim.job_id)
        due = 0 if job is None or job.available_us > claim.at_us else job.available_us
        return max(since or 0, due) or claim.at_us


def _asks_to_stop(event: Event) -> bool:
    return event.trigger == Trigger.REQUEST_STOP and not event.is_note


def _remember(times: OrderedDict[int, int], job_id: int, at: int) -> None:
    times[job_id] = at
    times.move_to_end(job_id)
    if len(times) > _REMEMBERED:
        times.popitem(last=False)


class RequestMetrics:
    """Counts each request with its route and status, and measures how long its answer took to begin."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                self._count(scope, message["status"], time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            if not answered:  # the framework answers, outside of everything
                self._count(scope, HTTPStatus.INTERNAL_SERVER_ERROR, time.perf_counter() - began)
            raise

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # Paths and methods are the sender's to choose; only those that we know become labels.
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(int(status))).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
