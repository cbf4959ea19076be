"""Metrics as they are scraped, read back with the parser of the real client."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import jobstate
from jobstate import InvalidRequest, JobStore, Run, State
from jobstate.telemetry.prometheus import OTHER, JobsByState, PrometheusObserver
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, claimed, running, submitted


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def store(open_store: OpenStore, registry: CollectorRegistry) -> JobStore:
    return open_store(observers=[PrometheusObserver(registry)])


def scraped(registry: CollectorRegistry) -> dict[tuple[str, tuple[str, ...]], float]:
    """The value by the name and the values of the labels, in the order of their names; no creation times."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (
            sample.name.removeprefix("jobstate_"),
            tuple(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_transitions_are_counted_by_kind_and_edge(store: JobStore, registry: CollectorRegistry) -> None:
    for _ in range(2):
        running(store, kind="extract").complete()
    found = {labels: value for (name, labels), value in scraped(registry).items() if name == "transitions_total"}
    assert found == {  # from_state, kind, to_state, trigger
        ("", "extract", "Scheduled", "submit"): 2,
        ("Scheduled", "extract", "Running", "claim"): 2,
        ("Running", "extract", "Completed", "complete"): 2,
    }


def test_a_wait_lasts_from_when_the_job_was_due(
    store: JobStore, registry: CollectorRegistry, clock: ManualClock
) -> None:
    job = submitted(store, kind="extract", available_at=jobstate.domain.validation.instant(clock.now() + 60_000_000))
    clock.advance("62s")
    run = claimed(store, job)
    assert scraped(registry)["claim_latency_seconds_sum", ("extract",)] == 2
    run.fail("disk gone")
    clock.advance("13s")  # the retry is due after ten
    claimed(store, job)
    found = scraped(registry)
    assert found["claim_latency_seconds_sum", ("extract",)] == 2 + 3
    assert found["claim_latency_seconds_count", ("extract",)] == 2


def test_a_run_is_in_progress_until_its_lease_ends_and_is_measured_then(
    store: JobStore, registry: CollectorRegistry, clock: ManualClock
) -> None:
    first, second = running(store, kind="extract"), running(store, kind="extract")
    assert scraped(registry)["runs_in_progress", ("extract",)] == 2
    clock.advance("4s")
    first.complete()
    second.release()
    found = scraped(registry)
    assert found["runs_in_progress", ("extract",)] == 0
    for end in ("complete", "release"):
        assert found["run_seconds_count", (end, "extract")] == 1
        assert found["run_seconds_sum", (end, "extract")] == 4


def runs_out(store: JobStore, run: Run, clock: ManualClock) -> None:
    clock.advance("31s")
    store.sweep()


def runs_out_while_stopping(store: JobStore, run: Run, clock: ManualClock) -> None:
    store.stop(run)
    runs_out(store, run, clock)


ENDS: dict[str, tuple[Callable[[JobStore, Run, ManualClock], object], str, int, int]] = {
    "failed": (lambda store, run, clock: run.fail("no", retryable=False), "fail", 1, 0),
    "to be tried again": (lambda store, run, clock: run.fail("no"), "recover", 1, 0),
    "failed while stopping": (lambda store, run, clock: (store.stop(run), run.fail("no")), "finish_stop", 1, 0),
    "given up": (lambda store, run, clock: store.fail(run, "no"), "fail", 1, 0),
    "ran out": (runs_out, "recover", 1, 1),
    "ran out while stopping": (runs_out_while_stopping, "halt", 1, 1),
    "stopped": (lambda store, run, clock: (store.stop(run), run.finish_stop()), "finish_stop", 0, 0),
    "stopped by force": (lambda store, run, clock: store.stop(run, mode="force"), "halt", 0, 0),
    "handed back": (lambda store, run, clock: run.release(), "release", 0, 0),
}


@pytest.mark.parametrize("how", ENDS)
def test_failed_attempts_and_lease_losses_are_counted_whoever_settles_them(
    store: JobStore, registry: CollectorRegistry, clock: ManualClock, how: str
) -> None:
    end, trigger, failed, lost = ENDS[how]
    run = running(store, kind="extract")
    end(store, run, clock)
    found = scraped(registry)
    assert found.get(("failed_attempts_total", ("extract",)), 0) == failed
    assert found.get(("lease_losses_total", ("extract",)), 0) == lost
    assert found["run_seconds_count", (trigger, "extract")] == 1
    assert found["runs_in_progress", ("extract",)] == 0


def test_what_an_operator_gives_up_between_runs_is_no_failed_attempt(
    store: JobStore, registry: CollectorRegistry
) -> None:
    store.fail(submitted(store, kind="extract"), "no")
    waiting = running(store, kind="load")
    waiting.fail("disk gone")
    store.fail(waiting, "no")
    asked = submitted(store, kind="extract")
    store.stop(asked)
    store.fail(asked, "no")
    found = scraped(registry)
    assert ("failed_attempts_total", ("extract",)) not in found
    assert found["failed_attempts_total", ("load",)] == 1


def test_a_run_that_another_process_ended_ends_once_this_process_notices(
    registry: CollectorRegistry, clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=[PrometheusObserver(registry)]) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        run = running(here, kind="extract")
        there.stop(run, mode="force")
        assert scraped(registry)["runs_in_progress", ("extract",)] == 1
        with pytest.raises(jobstate.LeaseLost):
            run.heartbeat()
    found = scraped(registry)
    assert found["runs_in_progress", ("extract",)] == 0
    assert found["run_seconds_count", ("lease_lost", "extract")] == 1


def test_the_end_of_the_next_run_elsewhere_is_not_that_of_a_lost_one(
    registry: CollectorRegistry, clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=[PrometheusObserver(registry)]) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        run = running(here, kind="extract", retry=AT_ONCE)
        clock.advance("31s")
        (again,) = there.claim("elsewhere")
        here.stop(again, mode="force")
        with run:
            pass
    assert scraped(registry)["run_seconds_count", ("lease_lost", "extract")] == 1


def test_a_job_that_is_claimed_again_here_has_one_run_in_progress(
    registry: CollectorRegistry, clock: ManualClock, tmp_path: Path
) -> None:
    path = tmp_path / "jobs.db"
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=[PrometheusObserver(registry)]) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        running(here, kind="extract", retry=AT_ONCE)
        clock.advance("31s")
        there.sweep()
        here.claim("worker-01")
        assert scraped(registry)["runs_in_progress", ("extract",)] == 1


def test_heartbeats_and_sweeps_are_counted(store: JobStore, registry: CollectorRegistry, clock: ManualClock) -> None:
    running(store).heartbeat()
    clock.advance("31s")
    store.sweep()
    store.sweep()
    found = scraped(registry)
    assert [found[f"{name}_total", ()] for name in ("heartbeats", "sweeps", "swept_jobs")] == [1, 2, 1]


def test_a_closed_store_has_no_run_in_progress(open_store: OpenStore, registry: CollectorRegistry) -> None:
    store = open_store(observers=[PrometheusObserver(registry)])
    running(store, kind="extract")
    store.close()
    assert scraped(registry)["runs_in_progress", ("extract",)] == 0


def test_no_more_kinds_than_allowed_have_a_label(open_store: OpenStore, registry: CollectorRegistry) -> None:
    store = open_store(observers=[PrometheusObserver(registry, most_kinds=2)])
    for kind in ("a", "b", "c", "d", "a"):
        running(store, kind=kind)
    found = {labels: value for (name, labels), value in scraped(registry).items() if name == "runs_in_progress"}
    assert found == {("a",): 2, ("b",): 1, (OTHER,): 2}
    with pytest.raises(InvalidRequest, match="most_kinds"):
        PrometheusObserver(CollectorRegistry(), most_kinds=0)


def test_jobs_by_state_are_counted_at_each_scrape(store: JobStore) -> None:
    registry = CollectorRegistry()
    registry.register(JobsByState(store.counts))
    assert scraped(registry)["jobs", ("Scheduled",)] == 0
    submitted(store)
    found = scraped(registry)
    assert found["jobs", ("Scheduled",)] == 1
    assert {labels[0] for name, labels in found if name == "jobs"} == set(State)


def test_without_the_package_the_import_says_what_to_install() -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; import jobstate.telemetry.prometheus"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stderr.splitlines()[-1] == (
        "ImportError: jobstate.telemetry.prometheus needs prometheus-client; "
        "install it with: pip install 'jobstate-ledger[prometheus]'"
    )
