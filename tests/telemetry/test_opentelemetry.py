"""Spans of runs, as the real SDK exports them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import jobstate
from jobstate import JobStopping, JobStore, Run, aio
from jobstate.aio import AsyncRun
from jobstate.telemetry.opentelemetry import OpenTelemetryObserver, _links, carry
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import running, submitted

Traced = tuple[TracerProvider, InMemorySpanExporter]


@pytest.fixture
def traced() -> Iterator[Traced]:
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


@pytest.fixture
def store(open_store: OpenStore, traced: Traced) -> JobStore:
    return open_store(observers=[OpenTelemetryObserver(traced[0])])


@pytest.fixture
def tracer(traced: Traced) -> trace.Tracer:
    """The tracer of a user's code."""
    return traced[0].get_tracer("app")


def the_span(traced: Traced) -> ReadableSpan:
    (span,) = [span for span in traced[1].get_finished_spans() if span.kind is SpanKind.CONSUMER]
    return span


def events_of(span: ReadableSpan) -> list[str]:
    return [event.name for event in span.events]


def test_a_run_is_a_span_from_its_claim_to_its_end(store: JobStore, traced: Traced, clock: ManualClock) -> None:
    run = running(store, kind="extract", pipeline_id="pipe_1")
    began = clock.now()
    clock.advance("5s")
    assert traced[1].get_finished_spans() == ()
    run.complete()
    span = the_span(traced)
    assert (span.name, span.parent, span.links) == ("process extract", None, ())
    assert (span.start_time, span.end_time) == (began * 1000, (began + 5_000_000) * 1000)
    assert dict(span.attributes or {}) == {
        "messaging.system": "jobstate",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "extract",
        "messaging.message.id": "1",
        "messaging.client.id": "worker-01",
        "jobstate.job.attempt": 1,
        "jobstate.run.token": 1,
        "jobstate.pipeline.id": "pipe_1",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert events_of(span) == ["jobstate.claim", "jobstate.complete"]


def test_changes_of_state_are_events_with_actor_and_reason(store: JobStore, traced: Traced, clock: ManualClock) -> None:
    run = running(store)
    clock.advance("1s")
    store.stop(run, actor="ana", reason="wrong input")
    run.finish_stop()
    span = the_span(traced)
    assert events_of(span) == [f"jobstate.{name}" for name in ("claim", "request_stop", "begin_stop", "finish_stop")]
    assert span.events[1].timestamp == clock.now() * 1000
    assert dict(span.events[1].attributes or {}) == {
        "jobstate.from_state": "Running",
        "jobstate.to_state": "StopRequested",
        "jobstate.actor": "ana",
        "jobstate.reason": "wrong input",
    }
    assert span.status.status_code is StatusCode.UNSET


ENDS: dict[str, tuple[Any, str | None]] = {
    "failed for good": (lambda store, run, clock: run.fail(ValueError("no"), retryable=False), "ValueError: no"),
    "to be tried again": (lambda store, run, clock: run.fail("disk gone", domain="disk"), "disk: disk gone"),
    "given up": (lambda store, run, clock: store.fail(run, "wrong cluster"), "operator: wrong cluster"),
    "lease ran out": (lambda store, run, clock: store.sweep(), "lease: the lease of worker-01 ran out"),
    "handed back": (lambda store, run, clock: run.release(), None),
    "stopped by force": (lambda store, run, clock: store.stop(run, mode="force"), None),
    "stopped too late": (lambda store, run, clock: (store.stop(run, timeout=0), store.sweep()), "timed_out"),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_run_that_went_wrong_is_a_span_in_error(
    store: JobStore, traced: Traced, clock: ManualClock, how: str
) -> None:
    end, error = ENDS[how]
    run = running(store)
    if how == "lease ran out":
        clock.advance("31s")
    end(store, run, clock)
    span = the_span(traced)
    assert (span.status.status_code is StatusCode.ERROR) == (error is not None)
    kind, _, message = (error or "").partition(": ")
    assert (span.attributes or {}).get("error.type") == (kind or None)
    assert message in (span.status.description or "")


def test_the_next_attempt_is_a_span_of_its_own(store: JobStore, traced: Traced) -> None:
    job = submitted(store, retry=jobstate.RetryPolicy(initial=0, jitter=0))
    for _ in range(2):
        (run,) = store.claim("worker-01")
        run.fail("again")
    spans = traced[1].get_finished_spans()
    assert [(span.attributes or {})["jobstate.job.attempt"] for span in spans] == [1, 2]
    assert len({span.context.trace_id for span in spans if span.context}) == 2
    assert store.get(job).attempt == 2


def test_spans_of_the_handler_are_children_of_the_run(store: JobStore, traced: Traced, tracer: trace.Tracer) -> None:
    store.submit("extract")

    def extract(run: Run) -> None:
        with tracer.start_as_current_span("read"):
            pass

    with tracer.start_as_current_span("outside"):
        store.worker("w", until_idle=True).serve({"extract": extract})
    spans = {span.name: span for span in traced[1].get_finished_spans()}
    process, read = spans["process extract"], spans["read"]
    assert process.context is not None and read.context is not None and read.parent is not None
    assert read.parent.span_id == process.context.span_id
    assert read.context.trace_id == process.context.trace_id
    assert process.parent is None, "a run is a trace of its own, wherever its worker was started"


def test_spans_of_an_awaited_handler_are_children_of_the_run(
    tmp_path: Path, traced: Traced, tracer: trace.Tracer
) -> None:
    async def extract(run: AsyncRun) -> None:
        await asyncio.sleep(0)
        with tracer.start_as_current_span("read"):
            await asyncio.sleep(0)

    async def work() -> None:
        observers = [OpenTelemetryObserver(traced[0])]
        async with aio.open(tmp_path / "jobs.db", durability="normal", observers=observers) as jobs:
            await jobs.submit("extract")
            await jobs.worker("w", until_idle=True).serve({"extract": extract})

    asyncio.run(work())
    spans = {span.name: span for span in traced[1].get_finished_spans()}
    process, read = spans["process extract"], spans["read"]
    assert process.context is not None and read.parent is not None
    assert read.parent.span_id == process.context.span_id


def test_after_the_block_the_span_before_is_current_again(
    store: JobStore, traced: Traced, tracer: trace.Tracer
) -> None:
    with tracer.start_as_current_span("outside") as outside:
        with running(store):
            assert trace.get_current_span() is not outside
        assert trace.get_current_span() is outside


def test_the_exception_of_a_handler_is_recorded_and_a_stop_is_not(store: JobStore, traced: Traced) -> None:
    with running(store):
        raise ConnectionError("node went away")
    assert "exception" in events_of(the_span(traced))
    traced[1].clear()
    run = running(store)
    store.stop(run)
    run.heartbeat()
    with run:
        assert run.stop
        raise JobStopping(run.id, "checkpoint")
    assert "exception" not in events_of(the_span(traced))


def test_a_run_that_another_process_ended_is_in_error_once_this_process_notices(
    tmp_path: Path, traced: Traced, clock: ManualClock
) -> None:
    path = tmp_path / "jobs.db"
    observers = [OpenTelemetryObserver(traced[0])]
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=observers) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        run = running(here)
        there.stop(run, mode="force")
        with pytest.raises(jobstate.LeaseLost):
            run.heartbeat()
        span = the_span(traced)
        assert (span.attributes or {})["error.type"] == "LeaseLost"


def test_what_happens_to_the_next_run_elsewhere_is_no_event_of_a_lost_one(
    tmp_path: Path, traced: Traced, clock: ManualClock
) -> None:
    path = tmp_path / "jobs.db"
    observers = [OpenTelemetryObserver(traced[0])]
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=observers) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        run = running(here, retry=jobstate.RetryPolicy(initial=0, jitter=0))
        clock.advance("31s")
        (again,) = there.claim("elsewhere")
        here.stop(again, mode="force")
        assert traced[1].get_finished_spans() == ()
        with pytest.raises(jobstate.LeaseLost):
            run.complete()
        assert events_of(the_span(traced)) == ["jobstate.claim"]


def test_a_job_that_is_claimed_again_here_has_lost_its_former_run(
    tmp_path: Path, traced: Traced, clock: ManualClock
) -> None:
    path = tmp_path / "jobs.db"
    observers = [OpenTelemetryObserver(traced[0])]
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=observers) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        running(here, retry=jobstate.RetryPolicy(initial=0, jitter=0))
        clock.advance("31s")
        there.sweep()
        here.claim("worker-01")
        assert (the_span(traced).attributes or {})["error.type"] == "LeaseLost"


def test_closing_the_store_ends_what_is_open(
    open_store: OpenStore, traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(observers=[OpenTelemetryObserver(traced[0])])
    running(store)
    store.close()
    assert (the_span(traced).attributes or {})["error.type"] == "unfinished"
    assert not caplog.records


def test_a_claim_in_a_batch_has_a_span_when_it_is_committed(store: JobStore, traced: Traced) -> None:
    submitted(store)
    with store.batch():
        (run,) = store.claim("worker-01")
        with run:
            assert not trace.get_current_span().get_span_context().is_valid
    assert events_of(the_span(traced)) == ["jobstate.claim", "jobstate.complete"]


# The link to the submitter.


def test_a_run_links_to_where_its_job_was_submitted(store: JobStore, traced: Traced, tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("order") as order:
        job = store.submit("extract", carry({"dataset": "eth"}))
    assert job.descriptor["dataset"] == "eth"
    assert job.descriptor["otel"]["traceparent"].split("-")[1] == f"{order.get_span_context().trace_id:032x}"
    (run,) = store.claim("worker-01")
    run.fail("bad input", retryable=False)
    store.restart(run)
    store.claim("worker-01")[0].complete()
    for span in traced[1].get_finished_spans()[1:]:
        (link,) = span.links
        assert link.context.span_id == order.get_span_context().span_id
        assert link.context.trace_id == order.get_span_context().trace_id


def test_without_a_current_span_nothing_is_carried() -> None:
    assert carry({"dataset": "eth"}) == {"dataset": "eth"}
    assert carry() == {}


@pytest.mark.parametrize(
    "carrier",
    [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        {},
        [],
        None,
        {"traceparent": 7},
        {"traceparent": "nonsense", "tracestate": ["x"]},
        {"traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"},
        {"tracestate": "a=b"},
    ],
)
def test_a_carrier_that_cannot_be_understood_is_no_link_and_no_error(
    store: JobStore, traced: Traced, carrier: object, caplog: pytest.LogCaptureFixture
) -> None:
    run = running(store, descriptor={"otel": carrier})
    run.complete()
    assert the_span(traced).links == ()
    assert _links(run.job) == [], "not left to the SDK, of which some keep an empty link"
    assert not caplog.records


def test_submissions_with_one_key_are_equal_whatever_context_they_carry(
    store: JobStore, traced: Traced, tracer: trace.Tracer
) -> None:
    with tracer.start_as_current_span("first"):
        first = store.submit("extract", carry({"dataset": "eth"}), key="k")
    with tracer.start_as_current_span("second"):
        assert store.submit("extract", carry({"dataset": "eth"}), key="k").id == first.id
        with pytest.raises(jobstate.DuplicateJob):
            store.submit("extract", carry({"dataset": "btc"}), key="k")
    assert store.submit("extract", {"dataset": "eth"}, key="k").deduplicated


WORKER = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
import jobstate
from jobstate.telemetry.opentelemetry import OpenTelemetryObserver

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
with jobstate.open(sys.argv[1], durability="normal", observers=[OpenTelemetryObserver()]) as jobs:
    jobs.worker("there", until_idle=True).serve({"extract": lambda run: None})
(span,) = exporter.get_finished_spans()
print(span.to_json(indent=None))
"""


def test_the_link_reaches_from_process_to_process(tmp_path: Path, traced: Traced, tracer: trace.Tracer) -> None:
    with jobstate.open(tmp_path / "jobs.db", durability="normal") as store:
        with tracer.start_as_current_span("order") as order:
            store.submit("extract", carry())
        command = [sys.executable, "-W", "error", "-c", WORKER, str(tmp_path / "jobs.db")]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    span = json.loads(result.stdout)
    (link,) = span["links"]
    assert link["context"]["span_id"] == f"0x{order.get_span_context().span_id:016x}"
    assert span["context"]["trace_id"] != f"0x{order.get_span_context().trace_id:032x}"
    assert span["attributes"]["messaging.client.id"] == "there"


def test_without_the_package_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import jobstate.telemetry.opentelemetry"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.splitlines()[-1] == (
        "ImportError: jobstate.telemetry.opentelemetry needs opentelemetry-api; "
        "install it with: pip install 'jobstate-ledger[opentelemetry]'"
    )
