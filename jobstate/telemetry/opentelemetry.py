"""Traces for OpenTelemetry: a span for each run, linked to where its job was submitted.

The span of a run is of kind CONSUMER, in a trace of its own, from the claim to the end of the lease. Changes of state
are its events, spans that the handler starts are its children. It links to the context of the submitter, which `carry`
puts into the descriptor as W3C Trace Context: `descriptor["otel"] = {"traceparent": "00-…"}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from jobstate._version import __version__
from jobstate.core.installation import install_command
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.job_row import Lease
from jobstate.domain.lifecycle import Trigger
from jobstate.domain.stop import StopOutcome
from jobstate.domain.submission import TRACE_CONTEXT_KEY
from jobstate.observers.observer import Claim, LeaseLoss, Observer, Transition
from jobstate.telemetry.open_runs import OpenRuns, ends_the_lease

try:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    raise ImportError(
        f"jobstate.telemetry.opentelemetry needs opentelemetry-api; install it with: {install_command('opentelemetry')}"
    ) from error

_W3C: Final = TraceContextTextMapPropagator()
_FAILED_STOPS: Final = frozenset({StopOutcome.TIMED_OUT, StopOutcome.WORKER_FAILED, StopOutcome.WORKER_LOST})
"""Stops that ended in another way than was requested."""
_LEASE_LOST: Final = ("LeaseLost", "the lease is gone")
_CHARGED: Final = frozenset({Trigger.FAIL.value, Trigger.RECOVER.value})


def carry(descriptor: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The descriptor with the current context added, for `submit`; unchanged where no span is current.

    The runs of the job, and of jobs that restart it, link to that context. Two submissions with the same key that
    differ only in it are still equal.
    """
    carrier: dict[str, str] = {}
    _W3C.inject(carrier)
    return {**(descriptor or {}), **({TRACE_CONTEXT_KEY: carrier} if carrier else {})}


class OpenTelemetryObserver(Observer):
    """A span for each run of this process. Pass it to `jobstate.open(…, observers=[OpenTelemetryObserver()])`.

    The span is current inside `with run:`, so in every handler of `serve`. When the store is closed, the spans of runs
    that are still open are ended, so that none is lost.

    Args:
        tracer_provider: The provider of the spans; None: the global one.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("jobstate", __version__, tracer_provider)
        self._open = OpenRuns[Span]()
        self._newest_us = 0

    def claimed(self, claim: Claim) -> None:
        """Start a span."""
        event, job = claim.event, claim.job
        self._end(job.id, event.at_us, *_LEASE_LOST)
        span = self._tracer.start_span(
            f"process {job.kind}",
            Context(),
            SpanKind.CONSUMER,
            _attributes(event, job),
            _links(job),
            start_time=event.at_us * 1000,
        )
        _add(span, event)
        self._open.begin(Lease(job.id, event.token), span)

    def transition(self, transition: Transition) -> None:
        """Add an event to the span of the run, and end it with the lease."""
        event = transition.event
        self._newest_us = event.at_us
        span = self._open.about(event)
        if span is None:
            return
        _add(span, event)
        if ends_the_lease(event):
            self._end(event.job_id, event.at_us, *_error_of(event, transition.job))

    def lease_lost(self, loss: LeaseLoss) -> None:
        """End the span of a run that lost its lease."""
        if self._open.of(loss.job.lease) is not None:
            self._end(loss.job.id, loss.at_us, *_LEASE_LOST)

    @contextmanager
    def within(self, job: Job) -> Iterator[None]:
        """Make the span current."""
        span = self._open.of(job.lease)
        if span is None:
            yield
            return
        with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
            try:
                yield
            except Exception as error:
                if span.is_recording():
                    span.record_exception(error)
                raise

    def closed(self) -> None:
        """End the spans of runs that are still open."""
        for job_id in self._open.jobs():
            self._end(job_id, self._newest_us, "unfinished", "the store was closed before the run ended")

    def _end(self, job_id: int, at_us: int, error_type: str | None = None, message: str | None = None) -> None:
        span = self._open.end(job_id)
        if span is None:
            return
        if error_type is not None:
            span.set_attribute("error.type", error_type)
            span.set_status(Status(StatusCode.ERROR, message))
        span.end(at_us * 1000)


def _attributes(event: Event, job: Job) -> dict[str, str | int]:
    """Named by the semantic conventions for messaging where they have a name."""
    found: dict[str, str | int] = {
        "messaging.system": "jobstate",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.kind,
        "messaging.message.id": str(job.id),
        "messaging.client.id": event.node or "",
        "jobstate.job.attempt": event.attempt,
        "jobstate.run.token": event.token,
    }
    if job.pipeline_id is not None:
        found["jobstate.pipeline.id"] = job.pipeline_id
    return found


def _links(job: Job) -> list[Link]:
    """A link to the context of the submitter; none if the descriptor has no valid one."""
    carrier = job.descriptor.get(TRACE_CONTEXT_KEY)
    if not isinstance(carrier, dict):
        return []
    texts = {name: value for name, value in carrier.items() if isinstance(value, str)}
    found = trace.get_current_span(_W3C.extract(texts, Context())).get_span_context()
    return [Link(found)] if found.is_valid else []


def _add(span: Span, event: Event) -> None:
    attributes = {
        "jobstate.from_state": event.from_state,
        "jobstate.to_state": event.to_state.value,
        "jobstate.actor": event.actor,
        "jobstate.reason": event.reason,
    }
    known = {name: str(value) for name, value in attributes.items() if value is not None}
    span.add_event(f"jobstate.{event.trigger}", known, event.at_us * 1000)


def _error_of(event: Event, job: Job) -> tuple[str, str] | tuple[()]:
    """The type and message of the error that ended the run; empty without one."""
    outcome = event.detail.get("outcome")
    if event.trigger in _CHARGED or outcome == StopOutcome.WORKER_FAILED:
        failure = job.failure
        return (failure.domain or failure.kind.value, failure.summary) if failure is not None else ("error", "failed")
    if outcome in _FAILED_STOPS:
        return outcome, f"the stop ended as {outcome}"
    return ()
