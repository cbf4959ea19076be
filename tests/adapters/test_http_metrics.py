"""What Prometheus is told, read with its own parser: true, each thing once, and never a label for everything asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import jobstate
from jobstate import State
from jobstate.domain.job import row_of
from jobstate.http.maintenance import MaintenanceThread
from jobstate.http.metrics import ServerMetrics
from jobstate.http.store_provider import StoreProvider
from jobstate.telemetry.prometheus import MOST_KINDS, PrometheusObserver
from jobstate.testing import ManualClock, Stage
from tests.adapters.server import Answer, Server, serving
from tests.processes.team import eventually, together

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[jobstate.JobStore]:
    with jobstate.open(path, durability="normal", timeout=0.2) as store:
        yield store


@pytest.fixture
def server(store: jobstate.JobStore, path: Path) -> Iterator[Server]:
    with serving(store, reopen=partial(jobstate.open, path, timeout=0.2, create=False)) as server:
        counted(server)
        yield server


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(server: Server) -> Samples:
    answer = server.ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return parsed(answer.text)


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"jobstate_{name}", tuple(sorted(labels.items()))), 0)


def total(samples: Samples, name: str) -> float:
    """The sum over all labels."""
    return sum(value for (found, _), value in samples.items() if found == f"jobstate_{name}")


def counted(server: Server) -> Samples:
    """The metrics, after a round of maintenance that began later than this call."""
    begun = of(scraped(server), "sweeps_total")
    eventually(lambda: of(scraped(server), "sweeps_total") >= begun + 2)
    return scraped(server)


# What it says


def test_jobs_by_state_are_the_counts_of_the_store_with_every_state_there(
    store: jobstate.JobStore, server: Server
) -> None:
    store.submit_many({"kind": "extract", "hold": number < 2} for number in range(7))
    store.claim("w1", limit=3)[0].complete()
    samples = scraped(server)
    assert {state: of(samples, "jobs", state=state.value) for state in State} == store.counts()
    assert len([name for name, _ in samples if name == "jobstate_jobs"]) == len(State)


def test_each_transition_is_counted_once_whoever_made_it(store: jobstate.JobStore, server: Server) -> None:
    store.submit_many({"kind": "extract"} for _ in range(30))
    server.ask("POST", "/jobs", body={"kind": "extract"})
    together(2, "drain", lambda number: (store.path, f"w{number}", "normal", "5"))  # other processes
    server.ask("POST", "/jobs", body={"kind": "extract"})
    server.ask("PUT", "/jobs/32/stop?mode=force")
    server.ask("PUT", "/jobs/32/stop?mode=force")  # changes nothing
    counted(server)
    found = {labels: value for (name, labels), value in counted(server).items() if name == "jobstate_transitions_total"}
    expected: dict[tuple[tuple[str, str], ...], float] = {}
    for event in store.repository.history.after(0, 1000):
        if not event.is_note:
            labels = (
                ("from_state", event.from_state or ""),
                ("kind", "extract"),
                ("to_state", event.to_state),
                ("trigger", event.trigger),
            )
            expected[labels] = expected.get(labels, 0) + 1
    assert found == expected
    assert (
        of(scraped(server), "transitions_total", kind="extract", from_state="", to_state="Scheduled", trigger="submit")
        == 32
    )


def test_notes_are_no_transitions(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract")
    store.claim("w1")
    store.stop(job)
    store.stop(job, mode="immediate")  # harder: a note
    samples = counted(server)
    assert sum(value for (name, _), value in samples.items() if name == "jobstate_transitions_total") == 3


# Latencies by hand: the clock of the store is turned, the server's maintenance is called.


class Observed:
    """The metrics over a store whose maintenance is called by hand."""

    def __init__(self, store: jobstate.JobStore) -> None:
        provider = StoreProvider(store)
        self.metrics = ServerMetrics(provider)
        self.maintenance = MaintenanceThread(provider, self.metrics, 1.0)
        self.maintenance.round()

    def samples(self) -> Samples:
        self.maintenance.round()
        return parsed(generate_latest(self.metrics.registry).decode())

    def latency(self, name: str) -> tuple[float, float]:
        """How many, and how many seconds together."""
        samples = self.samples()
        return total(samples, f"{name}_latency_seconds_count"), round(total(samples, f"{name}_latency_seconds_sum"), 6)


def later(clock: ManualClock, seconds: float) -> datetime:
    return datetime.fromtimestamp(clock.now() / 1_000_000 + seconds, UTC)


def test_a_claim_is_measured_from_when_the_job_was_due(jobs: jobstate.JobStore, clock: ManualClock) -> None:
    observed = Observed(jobs)
    jobs.submit("at once")
    clock.advance(3)
    jobs.claim("w1")
    assert observed.latency("claim") == (1, 3)

    jobs.submit("later", available_at=later(clock, 60))
    clock.advance(62)
    jobs.claim("w1", kinds=["later"], lease=1000)
    assert observed.latency("claim") == (2, 5)

    jobs.submit("soon", available_at=later(clock, 0.5))
    clock.advance(0.7)
    jobs.claim("w1", kinds=["soon"], lease=1000)
    assert observed.latency("claim") == (3, 5.2)

    held = jobs.submit("held", hold=True)
    clock.advance(100)
    jobs.schedule(held)
    clock.advance(4)
    jobs.claim("w1", kinds=["held"], lease=1000)
    assert observed.latency("claim") == (4, 9.2)


def test_the_pause_before_a_retry_is_no_waiting(jobs: jobstate.JobStore, clock: ManualClock) -> None:
    observed = Observed(jobs)
    job = jobs.submit("extract")
    jobs.claim("w1")[0].fail("flaky")
    pause = (row_of(jobs.get(job)).available_us - clock.now()) / 1_000_000
    assert pause > 0
    clock.advance(pause + 5)
    jobs.claim("w1")
    assert observed.latency("claim") == (2, 5)


def test_a_job_that_waited_before_the_server_began_is_measured_whole(
    jobs: jobstate.JobStore, clock: ManualClock
) -> None:
    jobs.submit("extract")
    stopping = jobs.submit("stopping")
    (run,) = jobs.claim("w1", kinds=["stopping"], lease=1000)
    jobs.stop(stopping, timeout=1000)
    clock.advance(7)
    observed = Observed(jobs)
    clock.advance(1)
    jobs.claim("w1", kinds=["extract"])
    run.finish_stop()
    assert observed.latency("claim") == (1, 8)
    assert observed.latency("stop") == (1, 8)


def test_a_stop_is_measured_from_the_first_request_to_the_end_of_the_job(
    jobs: jobstate.JobStore, clock: ManualClock
) -> None:
    observed = Observed(jobs)
    jobs.stop(jobs.submit("never started"), mode="force")
    assert observed.latency("stop") == (1, 0)

    jobs.submit("extract")
    (run,) = jobs.claim("w1", lease=1000)
    jobs.stop(run.id)
    clock.advance(2)
    jobs.stop(run.id, mode="immediate")
    clock.advance(1)
    run.begin_stop()
    clock.advance(4)
    run.finish_stop()
    assert observed.latency("stop") == (2, 7)

    jobs.submit("extract")
    (run,) = jobs.claim("w1", lease=1000)
    jobs.stop(run.id)
    clock.advance(5)
    run.complete()  # completion beats the stop
    assert observed.latency("stop") == (3, 12)


def test_a_completion_is_no_stop(jobs: jobstate.JobStore) -> None:
    observed = Observed(jobs)
    jobs.submit("extract")
    jobs.claim("w1")[0].complete()
    assert observed.latency("stop") == (0, 0)


def test_lost_leases_are_counted_and_what_a_worker_says_itself_is_none(
    jobs: jobstate.JobStore, clock: ManualClock
) -> None:
    observed = Observed(jobs)
    for number, kind in enumerate(("retried", "spent", "stopped", "failed", "released")):
        jobs.submit(kind, max_attempts=1 if kind == "spent" else 3)
        (run,) = jobs.claim("w1", kinds=[kind], lease=10)
        if kind == "stopped":
            jobs.stop(run.id, timeout=1000)
        elif kind == "failed":
            run.fail("by itself")
        elif kind == "released":
            run.release()
        assert number == run.id - 1
    clock.advance(11)
    samples = observed.samples()
    assert total(samples, "lease_losses_total") == 3
    assert of(samples, "swept_jobs_total") == 3
    assert of(samples, "sweeps_total") == 2


# The same metrics as an observer's


def test_a_server_and_the_observer_of_the_only_process_count_the_same(tmp_path: Path, clock: ManualClock) -> None:
    registry = CollectorRegistry()
    with jobstate.open(tmp_path / "one.db", clock=clock, observers=[PrometheusObserver(registry)]) as store:
        server = Observed(store)
        for number, kind in enumerate(("done", "failed", "lost", "stopped", "released", "held", "running")):
            job = store.submit(kind, hold=kind == "held", max_attempts=1 if kind == "failed" else 3)
            clock.advance(number + 1)
            server.samples()  # between any two steps, or after several
            for run in store.claim("w1", kinds=[kind], lease=10):
                clock.advance(2)
                if kind == "done":
                    run.complete()
                elif kind == "failed":
                    run.fail("by itself")
                elif kind == "stopped":
                    store.stop(job)
                    run.begin_stop()
                    run.finish_stop()
                elif kind == "released":
                    run.release()
                elif kind == "lost":
                    clock.advance(11)
                    store.sweep()
        store.stop(store.submit("never started"), mode="force")
        served, observed = server.samples(), parsed(generate_latest(registry).decode())
    own = {"jobstate_heartbeats_total", "jobstate_sweeps_total", "jobstate_swept_jobs_total"}
    timeless = {key: value for key, value in observed.items() if not key[0].endswith("_created") and key[0] not in own}
    assert {key: served.get(key) for key in timeless} == timeless
    assert len(timeless) > 100
    names = {name for name, _ in served}
    assert not {name for name, _ in observed} - names - {"jobstate_heartbeats_total", "jobstate_heartbeats_created"}


def test_runs_that_began_before_the_server_are_in_progress(jobs: jobstate.JobStore, clock: ManualClock) -> None:
    for _ in range(2):
        jobs.submit("extract")
    first, second = jobs.claim("w1", limit=2, lease=1000)
    clock.advance(5)
    observed = Observed(jobs)
    assert of(observed.samples(), "runs_in_progress", kind="extract") == 2
    first.complete()
    samples = observed.samples()
    assert of(samples, "runs_in_progress", kind="extract") == 1
    assert of(samples, "run_seconds_sum", kind="extract", end="complete") == 5
    assert observed.latency("claim") == (0, 0)
    second.release()
    assert of(observed.samples(), "runs_in_progress", kind="extract") == 0


def test_a_claim_between_the_start_of_the_counting_and_its_first_look_at_runs_is_one_run(
    jobs: jobstate.JobStore, clock: ManualClock, jobstate_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = jobstate_stage.direct.repository.jobs
    real = rows.page

    def page(*arguments: Any) -> object:
        if not jobs.counts()[State.RUNNING]:
            jobs.claim("w1", lease=1000)
        return real(*arguments)

    jobs.submit("extract")
    monkeypatch.setattr(rows, "page", page)
    samples = Observed(jobs).samples()
    assert of(samples, "runs_in_progress", kind="extract") == 1
    assert total(samples, "run_seconds_count") == 0
    assert of(samples, "transitions_total", kind="extract", from_state="Scheduled", to_state="Running", trigger="claim")


def test_a_run_whose_job_is_removed_at_once_is_in_progress_no_longer(jobs: jobstate.JobStore) -> None:
    observed = Observed(jobs)
    jobs.submit("extract")
    (run,) = jobs.claim("w1")
    assert of(observed.samples(), "runs_in_progress", kind="extract") == 1
    run.complete()
    jobs.delete(run.id)
    jobs.submit("another")
    samples = observed.samples()
    assert of(samples, "runs_in_progress", kind="extract") == 0
    assert total(samples, "run_seconds_count") == 0


# Once each, whatever fails


def test_an_event_is_counted_once_though_the_store_fails_in_the_middle(
    jobs: jobstate.JobStore, clock: ManualClock, jobstate_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = Observed(jobs)
    for _ in range(3):
        jobs.submit("extract")
    clock.advance(5)
    jobs.claim("w1", limit=3, lease=1000)
    rows = jobstate_stage.direct.repository.jobs
    real, calls = rows.find, iter(range(100))

    def find(job_id: int) -> object:
        if next(calls) == 1:
            raise jobstate.StoreBusy("jobs.db", "for a moment")
        return real(job_id)

    monkeypatch.setattr(rows, "find", find)
    with pytest.raises(jobstate.StoreBusy):
        observed.maintenance.round()
    samples = observed.samples()
    assert (
        of(samples, "transitions_total", kind="extract", from_state="Scheduled", to_state="Running", trigger="claim")
        == 3
    )
    assert observed.latency("claim") == (3, 15)


def test_a_store_in_the_place_of_another_is_counted_from_then_on(
    store: jobstate.JobStore, server: Server, path: Path
) -> None:
    store.submit_many({"kind": "extract"} for _ in range(20))
    before = of(
        counted(server), "transitions_total", kind="extract", from_state="", to_state="Scheduled", trigger="submit"
    )
    assert before == 20
    with jobstate.open(path.with_name("new.db")) as new:
        new.submit("extract")
    path.with_name("new.db").replace(path)
    counted(server)
    assert server.ask("POST", "/jobs", body={"kind": "extract"}).status == 201
    after = of(
        counted(server), "transitions_total", kind="extract", from_state="", to_state="Scheduled", trigger="submit"
    )
    assert after == 21


def test_a_defect_does_not_end_the_sweeping(
    store: jobstate.JobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = {"left": 2}
    real = MaintenanceThread.round

    def broken(self: MaintenanceThread) -> None:
        if failing["left"]:
            failing["left"] -= 1
            raise ZeroDivisionError
        real(self)

    monkeypatch.setattr(MaintenanceThread, "round", broken)
    with serving(store) as server:
        eventually(lambda: of(scraped(server), "sweeps_total") > 0)
        assert of(scraped(server), "failed_sweeps_total") == 2
    assert [record.exc_info is not None for record in caplog.records if "swept" in record.message] == [True]


# Requests


def test_requests_are_counted_by_method_route_and_status(store: jobstate.JobStore, server: Server) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))
    for job_id in (1, 2, 3, 99):
        server.ask("GET", f"/jobs/{job_id}")
    server.ask("GET", "/jobs/x")
    server.ask("POST", "/jobs/1")
    server.ask("GET", "/jobs", headers={"Host": "evil.example"})
    samples = scraped(server)
    assert of(samples, "http_requests_total", method="GET", route="/jobs/{job_id}", status="200") == 3
    assert of(samples, "http_requests_total", method="GET", route="/jobs/{job_id}", status="404") == 1
    assert of(samples, "http_requests_total", method="GET", route="/jobs/{job_id}", status="400") == 1
    assert of(samples, "http_requests_total", method="GET", route="none", status="403") == 1
    assert of(samples, "http_request_seconds_count", method="GET", route="/jobs/{job_id}") == 5


def test_what_nobody_knows_makes_no_new_labels(server: Server) -> None:
    def series() -> set[object]:
        return {key for key in scraped(server) if key[0].startswith("jobstate_http")}

    def everything(number: int) -> None:
        for path in (
            f"/nowhere{number}",
            f"/jobs/1/nothing{number}",
            f"/workers/w{number}",
            f"/jobs/{number}?x={number}",
        ):
            server.ask("GET", path)
        server.ask(f"BREW{number}", "/jobs")
        server.ask("GET", "/jobs", headers={"Host": f"evil{number}.example"})

    everything(10)
    before = series()
    for number in range(11, 20):
        everything(number)
    assert series() == before


def test_a_request_that_hits_a_defect_is_counted(store: jobstate.JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store) as server:
        with monkeypatch.context() as broken:
            broken.setattr(jobstate.JobStore, "workers", lambda _: 1 / 0)
            answer = server.ask("GET", "/workers")
        assert (answer.status, answer.json["error_code"]) == (500, "INTERNAL_ERROR")
        assert of(scraped(server), "http_requests_total", method="GET", route="/workers", status="500") == 1


# Troubles


def test_a_store_that_is_locked_is_scraped_and_one_that_is_away_or_damaged_says_so(
    store: jobstate.JobStore, server: Server, path: Path
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert scraped(server)
    other.execute("ROLLBACK")
    other.close()
    away = path.rename(path.with_name("away.db"))
    answer = server.ask("GET", "/metrics")
    assert (answer.status, answer.json["error_code"]) == (503, "STORE_UNAVAILABLE")
    away.rename(path)
    assert scraped(server)


def test_a_store_that_cannot_be_read_either_is_busy_for_the_scraper(
    store: jobstate.JobStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_: object) -> object:
        raise jobstate.StoreBusy("jobs.db", "for a moment")

    monkeypatch.setattr(type(store.repository.jobs), "counts", busy)
    answer: Answer = server.ask("GET", "/metrics")
    assert (answer.status, answer.json["error_code"], answer.headers["Retry-After"]) == (503, "STORE_BUSY", "1")


def test_a_scrape_does_not_grow_with_the_jobs(store: jobstate.JobStore) -> None:
    """Kinds are labels, a hundred of them at most, as for an observer; nothing else of a job is one."""
    with serving(store) as server:
        store.submit_many({"kind": f"kind{number}"} for number in range(MOST_KINDS + 1))
        before = len(counted(server))
        store.submit_many({"kind": f"more{number}", "node_id": f"node{number}"} for number in range(500))
        assert len(counted(server)) == before
        text = server.ask("GET", "/metrics").text
    assert "kind1" in text and "more" not in text and "node" not in text
