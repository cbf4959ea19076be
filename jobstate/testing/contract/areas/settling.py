"""Settling overdue jobs: lost leases, retries, spent attempts, an operator's fail, and clock jumps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobstate import FailureKind, InvalidRequest, JobNotFound, JobStore, LeaseLost, State, TransitionNotAllowed
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import (
    AT_ONCE,
    HELD_SCENES,
    LEASE,
    PATIENT,
    SCENES,
    claimed,
    everything,
    one_of_each,
    running,
    scene,
    submitted,
    triggers,
)


def test_a_lost_lease_puts_the_job_back_for_another_attempt(store: JobStore, clock: ManualClock) -> None:
    run = running(store, retry=PATIENT)
    clock.advance(LEASE)
    (job,) = store.sweep(actor="cron:nightly")
    assert job == store.get(run)
    assert (job.state, job.failures, job.worker_id, job.attempt) == (State.RECOVERING, 1, None, 1)
    assert job.lease_token == run.token + 1
    assert row_of(job).available_us == clock.now() + 10_000_000
    assert job.failure is not None
    assert (job.failure.kind, job.failure.domain) == (FailureKind.ERROR, "lease")
    assert "worker-01" in job.failure.message
    last = store.events(run)[-1]
    assert (last.trigger, last.actor, last.node) == ("recover", "sweep:cron:nightly", "worker-01")


def test_the_delays_between_attempts_grow_up_to_the_cap(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=PATIENT, max_attempts=10)
    waits = []
    for turn in range(6):
        run = claimed(store, job)
        if turn % 2:
            run.fail("disk gone")
        else:
            clock.advance(LEASE)
            store.sweep()
        waits.append((row_of(store.get(job)).available_us - clock.now()) / 1_000_000)
        clock.advance(waits[-1])
    assert waits == [10, 20, 40, 60, 60, 60]


def test_chance_only_takes_its_share_off_a_delay(store: JobStore, clock: ManualClock) -> None:
    waits = set()
    for _ in range(30):
        job = store.submit("flaky")  # the default: a second, less a quarter by chance
        (run,) = store.claim("worker-01", kinds=["flaky"])
        waits.add(row_of(run.fail("disk gone")).available_us - clock.now())
        store.stop(job, mode="force")
    assert 750_000 <= min(waits) <= max(waits) <= 1_000_000
    assert len(waits) > 5


def test_a_lost_lease_that_spent_the_attempts_fails_the_job_and_fences_its_worker(
    store: JobStore, clock: ManualClock
) -> None:
    run = running(store, max_attempts=1)
    clock.advance(LEASE)
    (job,) = store.sweep()
    assert (job.state, job.failures) == (State.FAILED, 1)
    assert job.lease_token == run.token + 1
    with pytest.raises(LeaseLost):
        run.fail("too late", retryable=False)


def test_a_heartbeat_keeps_a_job_from_being_settled(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    for _ in range(10):
        clock.advance(LEASE - 1)
        run.heartbeat()
    assert store.sweep() == []
    assert store.get(run).state is State.RUNNING


def test_a_sweep_with_nothing_overdue_changes_nothing(store: JobStore) -> None:
    one_of_each(store)
    assert [job.state for job in store.sweep()] == [State.STOPPED]  # the stop without a worker
    before = everything(store)
    assert store.sweep() == []
    assert everything(store) == before


def test_a_sweep_settles_at_most_its_limit_the_longest_overdue_first(store: JobStore, clock: ManualClock) -> None:
    runs = []
    for _ in range(5):
        runs.append(running(store, retry=AT_ONCE))
        clock.advance(1)
    clock.advance(LEASE)
    assert [job.id for job in store.sweep(limit=2)] == [run.id for run in runs[:2]]
    assert [job.id for job in store.sweep(limit=2)] == [run.id for run in runs[2:4]]
    assert [job.id for job in store.sweep()] == [runs[4].id]


def test_settling_happens_once_whoever_comes(store: JobStore, clock: ManualClock) -> None:
    run = running(store, retry=PATIENT)
    clock.advance(LEASE)
    other = running(store)  # this claim has settled it
    settled = store.get(run)
    store.sweep()
    other.heartbeat()
    store.stop(other)
    assert store.prune() == 0
    assert store.get(run) == settled
    assert triggers(store, run) == ["submit", "claim", "recover"]


def test_reading_never_settles(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    store.stop(running(store))
    clock.advance(10_000)
    before = everything(store)
    store.get(run)
    store.list("all")
    store.counts()
    store.audit()
    list(store.watch(timeout=0))
    store.prune(dry_run=True)
    assert everything(store) == before


def test_a_retry_is_due_exactly_at_its_time(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=PATIENT)
    claimed(store, job).fail("disk gone")
    clock.advance(timedelta(seconds=10) - timedelta(microseconds=1))
    assert store.claim("worker-01") == []
    clock.advance(timedelta(microseconds=1))
    assert [run.id for run in store.claim("worker-01")] == [job.id]


# The operator's fail.

UNFAILABLE = ("Created", "Stopped", "Completed", "Failed")


@pytest.mark.parametrize("name", [name for name in SCENES if name not in UNFAILABLE])
def test_an_operator_fails_a_job_for_good(store: JobStore, clock: ManualClock, name: str) -> None:
    there = scene(store, name)
    before = store.get(there.id)
    clock.advance(1)
    job = store.fail(there.id, "wrong cluster", actor="cli:ana")
    assert job == store.get(there.id)
    assert (job.state, row_of(job).finished_us, job.failures) == (State.FAILED, clock.now(), before.failures)
    assert job.failure is not None
    assert (job.failure.message, job.failure.kind, job.failure.domain) == (
        "wrong cluster",
        FailureKind.FATAL,
        "operator",
    )
    last = store.events(there.id)[-1]
    assert (last.trigger, last.actor, last.reason) == ("fail", "cli:ana", "wrong cluster")
    assert job.lease_token == before.lease_token + (name in HELD_SCENES)
    if name in HELD_SCENES:
        with pytest.raises(LeaseLost):
            there.held.fail("too late", retryable=False)
        assert store.get(there.id) == job


@pytest.mark.parametrize("name", UNFAILABLE)
def test_an_operator_cannot_fail_a_job_that_was_never_queued_or_has_ended(store: JobStore, name: str) -> None:
    there = scene(store, name)
    before = everything(store)
    with pytest.raises(TransitionNotAllowed) as refused:
        store.fail(there.id, "wrong cluster")
    assert refused.value.trigger == "fail"
    assert everything(store) == before


def test_an_operator_says_why_a_job_is_given_up(store: JobStore) -> None:
    run = running(store)
    before = everything(store)
    with pytest.raises(InvalidRequest) as refused:
        store.fail(run, "")
    assert refused.value.field == "reason"
    assert everything(store) == before
    with pytest.raises(JobNotFound):
        store.fail(4711, "wrong cluster")


# Clocks that jump.


def test_after_a_jump_of_the_clock_nobody_is_declared_lost_for_one_lease(store: JobStore, clock: ManualClock) -> None:
    """A machine that was suspended finds every lease overdue, though every worker slept too and is about to beat."""
    run = running(store, retry=AT_ONCE)
    clock.jump(3600)
    assert store.sweep() == []
    assert store.claim("worker-02") == []
    clock.advance(LEASE - 0.001)
    assert store.sweep() == []
    assert store.get(run).state is State.RUNNING
    run.heartbeat()
    clock.advance(LEASE - 0.001)
    assert store.sweep() == []
    run.complete()
    assert store.get(run).state is State.COMPLETED


def test_after_the_grace_of_a_jump_lost_leases_are_settled(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.jump(3600)
    assert store.sweep() == []
    clock.advance(LEASE)
    assert [job.id for job in store.sweep()] == [run.id]


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_after_a_jump_a_stop_has_its_grace_too(store: JobStore, clock: ManualClock, name: str) -> None:
    run = scene(store, name).held
    clock.jump(3600)
    assert store.sweep() == []
    run.finish_stop()
    assert row_of(store.get(run)).stop_outcome == "no_checkpoint"


def test_after_a_jump_a_stop_that_waits_for_nobody_still_ends(store: JobStore, clock: ManualClock) -> None:
    there = scene(store, "StopRequested, unheld")
    clock.jump(3600)
    assert [job.id for job in store.sweep()] == [there.id]


def test_time_that_passes_on_both_clocks_is_no_jump(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(timedelta(days=30))
    assert [job.id for job in store.sweep()] == [run.id]


def test_a_small_correction_of_the_clock_is_no_jump(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.jump(1)
    clock.advance(LEASE - 1)
    assert [job.id for job in store.sweep()] == [run.id]
