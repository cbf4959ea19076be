"""Real workers, with threads and in several processes: together their observers see the whole history."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

import jobstate
from jobstate import Run
from jobstate.telemetry.opentelemetry import OpenTelemetryObserver
from jobstate.telemetry.prometheus import PrometheusObserver
from jobstate.testing import staged
from jobstate.testing.contract.situations import AT_ONCE
from jobstate.testing.runner import drain
from tests.telemetry.recording import RecordingObserver

JOBS: Final = 60


def test_handlers_on_threads_and_an_operator_are_reported_in_the_order_of_the_history(tmp_path: Path) -> None:
    seen, spans, registry = RecordingObserver(), InMemorySpanExporter(), CollectorRegistry()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    observers = [seen, OpenTelemetryObserver(provider), PrometheusObserver(registry)]

    def handler(run: Run) -> None:
        run.add_range("blocks", 0, run.id)
        if run.id % 7 == 0 and run.job.attempt == 1:
            raise ConnectionError
        if run.id % 5 == 0:
            run.checkpoint(state=1)
        run.raise_if_stopping()

    with jobstate.open(tmp_path / "jobs.db", durability="normal", observers=observers) as store:
        store.submit_many([{"kind": "extract", "retry": AT_ONCE}] * JOBS)

        def operate() -> None:
            for job_id in range(1, JOBS + 1, 4):
                store.stop(job_id, mode="force" if job_id % 8 == 1 else "checkpoint")
            store.repository.close_thread()

        operator = threading.Thread(target=operate)
        operator.start()
        store.worker("w", until_idle=True).serve({"extract": handler}, concurrency=4)
        operator.join()
        store.sweep()
        history = [event for event in store.watch(timeout=0) if not event.is_note]
        assert [transition.event for transition in seen.transitions] == history
        runs = [event for event in history if event.trigger == "claim"]
        assert [claim.event for claim in seen.claims] == runs
        assert len(spans.get_finished_spans()) == len(runs)
        assert registry.get_sample_value("jobstate_runs_in_progress", {"kind": "extract"}) == 0
        assert {loss.job.lease for loss in seen.losses} <= {
            jobstate.Lease(event.job_id, event.token - 1) for event in history if event.trigger == "halt"
        }
    provider.shutdown()


WORK: Final = """
import json, sys
import jobstate

class Reported(jobstate.Observer):
    ids = []
    def transition(self, transition):
        self.ids.append(transition.event.id)

with jobstate.open(sys.argv[1], durability="normal", observers=[Reported()]) as jobs:
    jobs.submit_many([{"kind": "extract"}] * 50)
    jobs.worker(sys.argv[2], until_idle=True).serve({"extract": lambda run: None}, concurrency=2)
print(json.dumps(Reported.ids))
"""


def test_processes_share_the_history_out_among_their_observers(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.db")
    with jobstate.open(path, durability="normal") as store:
        workers = [
            subprocess.Popen([sys.executable, "-c", WORK, path, name], stdout=subprocess.PIPE, text=True)
            for name in ("a", "b")
        ]
        reported = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
        assert sorted(reported[0] + reported[1]) == [event.id for event in store.watch(timeout=0)]
        assert all(part == sorted(part) for part in reported)


def test_a_staged_store_is_observed_like_any_other() -> None:
    seen = RecordingObserver()
    with staged(observers=[seen]) as stage:
        stage.store.submit("extract")
        drain({"extract": lambda run: None})
    assert [transition.event.trigger for transition in seen.transitions] == ["submit", "claim", "complete"]
    assert seen.calls[-3:] == ["1: block ends", "1: Running complete Completed", "closed"]
