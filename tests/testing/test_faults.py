"""Faults come where they were put, and the store then holds what it would after the real thing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import pytest

from jobstate import InvalidRequest, JobStore, LeaseLost, Run, State, StopOutcome, StoreBusy, StoreFull, Trigger
from jobstate.domain.job import row_of
from jobstate.testing import (
    POINTS,
    Crash,
    Drain,
    JobIn,
    ManualClock,
    RunOne,
    assert_history,
    assert_no_leaks,
    assert_none_live,
    busy,
    crash_after,
    crash_before,
    disk_full,
    every_crash,
    lose_lease,
    stop_arrives_at,
)
from jobstate.testing.contract.situations import everything
from tests.testing.handlers import BLOCKS, HANDLERS


def _report(run: Run) -> None:
    run.add_files("blocks")
    run.flush()


WORKER_VERBS: Final[dict[str, Callable[[Run], object]]] = {
    "heartbeat": lambda run: run.heartbeat(),
    "flush": _report,
    "checkpoint": lambda run: run.checkpoint(state=1),
    "begin_checkpoint": lambda run: run.begin_checkpoint(),
    "complete": lambda run: run.complete(),
    "fail": lambda run: run.fail("bad input", retryable=False),
    "recover": lambda run: run.fail("disk gone"),
    "release": lambda run: run.release(),
}


@pytest.fixture
def jobstate_handlers() -> dict[str, object]:
    return dict(HANDLERS)


def test_every_trigger_is_a_point() -> None:
    assert {trigger.value for trigger in Trigger} < set(POINTS)


@pytest.mark.parametrize("point", WORKER_VERBS)
def test_a_crash_before_a_write_leaves_nothing_of_it(
    jobstate_store: JobStore, jobstate_job_in: JobIn, jobstate_clock: ManualClock, point: str
) -> None:
    job = jobstate_job_in("Running")
    jobstate_clock.advance("1s")
    before = everything(jobstate_store)
    with crash_before(point) as crash, jobstate_job_in.runs[job.id] as run:
        run.add_files("lost")
        WORKER_VERBS[point](run)
    assert crash.arrived
    assert everything(jobstate_store) == before, "also what leaving the block of the run would have written"


@pytest.mark.parametrize("point", WORKER_VERBS)
def test_a_crash_after_a_write_leaves_all_of_it_and_nothing_more(
    jobstate_store: JobStore, jobstate_job_in: JobIn, jobstate_clock: ManualClock, point: str
) -> None:
    job, twin = jobstate_job_in("Running"), jobstate_job_in("Running")
    jobstate_clock.advance("1s")
    WORKER_VERBS[point](jobstate_job_in.runs[twin.id])
    with crash_after(point), jobstate_job_in.runs[job.id] as run:
        WORKER_VERBS[point](run)
        run.add_files("lost")
    died, lived = jobstate_store.get(job), jobstate_store.get(twin)
    assert (died.state, row_of(died).lease_expires_us, died.seq) == (
        lived.state,
        row_of(lived).lease_expires_us,
        lived.seq,
    )
    assert jobstate_store.progress(job) == jobstate_store.progress(twin)
    assert len(jobstate_store.checkpoints(job)) == len(jobstate_store.checkpoints(twin))


def test_the_lease_of_a_dead_worker_stays_until_the_clock_passes_it(
    jobstate_store: JobStore, jobstate_drain: Drain, jobstate_clock: ManualClock
) -> None:
    job = jobstate_store.submit("count")
    with crash_after("claim"):
        jobstate_drain()
    jobstate_clock.advance("29.9s")
    assert jobstate_drain() == []
    assert jobstate_store.get(job).worker_id == "worker-01"
    jobstate_drain(turn_clock=True)
    assert_history(job, "Scheduled -> Running -> Recovering -> Running -> Completed")


def test_nothing_that_a_dead_process_does_reaches_the_store(jobstate_store: JobStore) -> None:
    tried = []

    def stubborn() -> None:
        try:
            jobstate_store.submit("first")
        except BaseException:  # as careless code does
            for attempt in (
                lambda: jobstate_store.submit("second"),
                lambda: jobstate_store.list("all"),
                lambda: jobstate_store.batch().__enter__(),
            ):
                with pytest.raises(Crash):
                    attempt()
                tried.append(attempt)

    with crash_after("submit"):
        stubborn()
    assert len(tried) == 3
    assert [job.kind for job in jobstate_store.list("all").jobs] == ["first"]


def test_a_crash_that_is_swallowed_within_a_transaction_still_undoes_it(jobstate_store: JobStore) -> None:
    with crash_after("submit"), jobstate_store.batch(), contextlib.suppress(Crash):
        jobstate_store.submit("first")
    assert jobstate_store.list("all").jobs == []


def test_a_crash_at_every_write_of_a_handler_loses_and_doubles_nothing(
    jobstate_store: JobStore, jobstate_drain: Drain
) -> None:
    met = []
    for crash in every_crash():
        job = jobstate_store.submit("count")
        with crash:
            jobstate_drain()
        met.append(str(crash))
        jobstate_drain(turn_clock=True)
        assert jobstate_store.get(job).state is State.COMPLETED
        assert jobstate_store.progress(job)["blocks"].files_count == BLOCKS
    words = [crash.split(", ")[-1].rstrip(">") for crash in met]
    writes = ["claim", *["checkpoint"] * 3, "complete"]
    assert words[:-2] == [f"{when} {write}" for write in writes for when in ("before", "after")]
    assert words[-2:] == ["before claim", "<a crash at moment 12 of the block"], "the last pass has no crash"
    assert_no_leaks()


def test_a_crash_without_a_block_is_refused_instead_of_going_on_for_ever(jobstate_store: JobStore) -> None:
    with pytest.raises(InvalidRequest, match="with crash"):
        list(every_crash())
    crash = crash_after("submit")
    with crash:
        jobstate_store.submit("extract")
    with pytest.raises(InvalidRequest, match="used already"), crash:
        pass


def test_a_fault_that_never_comes_fails_the_test_and_says_where_the_block_got(
    jobstate_store: JobStore, jobstate_drain: Drain
) -> None:
    jobstate_store.submit("refuse")
    with pytest.raises(AssertionError) as told, crash_before("complete"):
        jobstate_drain()
    assert "a crash before complete never occurred; the block reached before claim, after claim, before recover" in str(
        told.value
    )
    with pytest.raises(AssertionError, match="reached no write"), busy():
        pass
    with pytest.raises(ZeroDivisionError), crash_before("complete"):
        _ = 1 / 0


def test_what_is_after_a_write_is_not_after_a_refused_one(jobstate_store: JobStore, jobstate_job_in: JobIn) -> None:
    job = jobstate_job_in("Running")
    jobstate_store.stop(job, mode="force")
    for point, change in (("complete", "complete"), ("release", "release")):
        with pytest.raises(LeaseLost), crash_after(point):
            getattr(jobstate_job_in.runs[job.id], change)()


def test_a_misspelt_point_is_refused(jobstate_store: JobStore) -> None:
    with pytest.raises(InvalidRequest, match="must be one of submit, "):
        crash_after("clam")


def test_a_worker_that_was_held_up_finds_its_lease_lost(
    jobstate_store: JobStore, jobstate_run_one: RunOne, jobstate_clock: ManualClock
) -> None:
    seen = []

    def work(run: Run) -> None:
        try:
            run.checkpoint(state=1)
        except LeaseLost:
            seen.append(run.lost)
            raise

    job = jobstate_store.submit("work")
    before = jobstate_clock.now()
    with lose_lease():
        jobstate_run_one({"work": work})
    assert jobstate_store.checkpoints(job) == []
    jobstate_clock.advance("1s")
    with lose_lease("complete"):
        jobstate_run_one({"work": lambda run: None})
    assert_history(job, "Scheduled -> Running -> Recovering -> Running -> Recovering")
    assert jobstate_clock.now() == before + 61_000_000
    assert seen == [True]


def test_a_stop_arrives_at_the_point_and_the_handler_sees_it(jobstate_store: JobStore, jobstate_drain: Drain) -> None:
    job = jobstate_store.submit("count")
    with stop_arrives_at("checkpoint", reason="wrong input"):
        jobstate_drain()
    found = jobstate_store.get(job)
    assert found.stop is not None
    assert (found.stop.outcome, found.stop.reason) == (StopOutcome.CHECKPOINTED, "wrong input")
    assert jobstate_store.progress(job)["blocks"].files_count == 10
    assert_history(job, "Scheduled -> Running -> StopRequested -> Stopping -> Stopped")


@pytest.mark.parametrize(
    ("point", "mode", "expected"),
    [
        ("claim", "checkpoint", "Scheduled -> Running -> StopRequested -> Stopping -> Stopped"),
        ("submit", "checkpoint", "Scheduled -> StopRequested -> Stopping -> Stopped"),
        ("complete", "checkpoint", "Scheduled -> Running -> StopRequested -> Completed"),
        ("complete", "force", "Scheduled -> Running -> Stopped"),
    ],
)
def test_a_stop_arrives_anywhere(
    jobstate_store: JobStore, jobstate_drain: Drain, point: str, mode: str, expected: str
) -> None:
    with stop_arrives_at(point, mode=mode):
        job = jobstate_store.submit("count")
        jobstate_drain()
    assert_history(job, expected)
    assert_none_live()


@pytest.mark.parametrize(("fault", "error"), [(busy, StoreBusy), (disk_full, StoreFull)])
def test_a_store_that_refuses_writes_nothing_and_works_again(
    jobstate_store: JobStore, jobstate_drain: Drain, fault: type, error: type[Exception]
) -> None:
    with fault(times=2):
        for _ in range(2):
            with pytest.raises(error):
                jobstate_store.submit("count")
        jobstate_store.submit("count")
    with fault("complete", times=3):
        jobstate_drain()
    assert_history(1, "Scheduled -> Running -> Completed")
    with pytest.raises(InvalidRequest, match="times"):
        fault(times=0)
