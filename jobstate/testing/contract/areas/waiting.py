"""Waiting for a job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from jobstate import TERMINAL, InvalidRequest, JobNotFound, JobStore, State, WaitTimeout
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import LEASE, TERMINAL_SCENES, everything, running, scene, submitted


def later(call: Callable[[], object], after: float = 0.1) -> threading.Timer:
    timer = threading.Timer(after, call)
    timer.start()
    return timer


@pytest.mark.parametrize("name", TERMINAL_SCENES)
def test_a_wait_for_a_job_that_has_ended_returns_at_once(store: JobStore, clock: ManualClock, name: str) -> None:
    there = scene(store, name)
    began = clock.monotonic()
    assert store.wait(there.id, timeout=10) == store.get(there.id)
    assert clock.monotonic() == began


def test_a_wait_ends_in_any_of_the_states_that_are_asked_for(store: JobStore) -> None:
    run = running(store)
    wanted: list[Any] = [
        State.RUNNING,
        "running",
        "active",
        ["completed", "RUNNING"],
        [*TERMINAL, State.RUNNING],
        "all",
    ]
    for until in wanted:
        assert store.wait(run, until=until, timeout=0).state is State.RUNNING


def test_a_wait_times_out_and_says_where_the_job_is(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    before = everything(store)
    began = clock.monotonic()
    with pytest.raises(WaitTimeout) as late:
        store.wait(run, timeout=5)
    assert 5 <= clock.monotonic() - began < 5.1
    assert (late.value.job_id, late.value.state) == (run.id, State.RUNNING)
    assert isinstance(late.value, TimeoutError)
    assert late.value.retryable
    assert everything(store) == before


def test_a_wait_for_a_state_that_cannot_come_any_more_does_not_last(store: JobStore, clock: ManualClock) -> None:
    there = scene(store, "Failed")
    began = clock.monotonic()
    with pytest.raises(WaitTimeout, match="Failed"):
        store.wait(there.id, until="completed")
    assert clock.monotonic() == began


def test_a_wait_settles_its_job_when_it_is_due(store: JobStore, clock: ManualClock) -> None:
    run = running(store, max_attempts=1)
    job = store.wait(run, timeout=LEASE + 1)
    assert job.state is State.FAILED
    assert store.events(run)[-1].actor.startswith("sweep:")
    assert row_of(job).finished_us is not None
    assert row_of(job).finished_us - row_of(run.job).lease_expires_us < 100_000  # type: ignore[operator]


def test_a_wait_sees_a_stop_through_to_its_deadline(store: JobStore) -> None:
    there = scene(store, "Stopping")
    store.stop(there.id, timeout=8)
    job = store.wait(there.id, timeout=10)
    assert (job.state, row_of(job).stop_outcome) == (State.STOPPED, "timed_out")


def test_a_wait_wakes_within_milliseconds_of_the_change(ticking: JobStore) -> None:
    run = running(ticking)
    ended: list[float] = []

    def end() -> None:
        run.complete()
        ended.append(time.monotonic())

    timer = later(end)
    job = ticking.wait(run, timeout=20)
    woken = time.monotonic()
    timer.join()
    assert job.state is State.COMPLETED
    assert woken - ended[0] < 1.0


def test_a_wait_ends_when_its_job_is_removed(ticking: JobStore) -> None:
    job = submitted(ticking)

    def remove() -> None:
        ticking.stop(job, mode="force")
        ticking.delete(job)

    timer = later(remove)
    with pytest.raises((JobNotFound, WaitTimeout)):
        ticking.wait(job, until="completed", timeout=20)
    timer.join()


def test_several_threads_may_wait_for_one_job(ticking: JobStore) -> None:
    run = running(ticking)
    found: list[State] = []
    waiters = [threading.Thread(target=lambda: found.append(ticking.wait(run, timeout=20).state)) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    run.complete()
    for waiter in waiters:
        waiter.join()
    assert found == [State.COMPLETED] * 4


def test_a_wait_takes_no_word_that_names_no_state(store: JobStore) -> None:
    job = submitted(store)
    unknown: list[Any] = ["finished", [], ["completed", "x"]]
    for until in unknown:
        with pytest.raises(InvalidRequest) as refused:
            store.wait(job, until=until, timeout=1)
        assert refused.value.field == "until"
