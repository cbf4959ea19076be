"""The metrics of a server: those of jobs, which a `PrometheusObserver` counts, and those of the server itself."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobstate.http.store_provider import StoreProvider
from jobstate.telemetry.prometheus import SECONDS, JobsByState, PrometheusObserver

_NO_ROUTE: Final = "none"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ServerMetrics:
    """The metrics of one server, in a registry of their own. `observer` counts what happens to jobs."""

    def __init__(self, provider: StoreProvider) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(JobsByState(lambda: provider.store().counts()))
        self.observer = PrometheusObserver(self.registry, heartbeats=False)
        self.stop_latency = self._histogram(
            "stop_latency_seconds", "From the request to stop a job to the end of the job."
        )
        self.failed_sweeps = self._counter("failed_sweeps", "Sweeps of this server that failed.")
        self.requests = self._counter("http_requests", "Requests.", "method", "route", "status")
        self.request_seconds = self._histogram("http_request_seconds", "Time to answer.", "method", "route")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"jobstate_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"jobstate_{name}", text, labels, registry=self.registry, buckets=SECONDS)


class RequestMetrics:
    """Middleware: counts each request by route and status, also a refused one, and measures the time to its answer."""

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
            if not answered:  # the framework answers, outside of every middleware
                self._count(scope, HTTPStatus.INTERNAL_SERVER_ERROR, time.perf_counter() - began)
            raise

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # The sender chooses paths and methods; only known ones become labels.
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, route, str(int(status))).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)
