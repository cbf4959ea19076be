"""A run as a context manager: how the block ends, and how its job does."""

from __future__ import annotations

import pytest

from jobstate import Fatal, JobStore, LeaseLost, RetryPolicy, State
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import (
    LEASE,
    running,
    triggers,
)


def test_a_block_that_ends_completes_the_job(store: JobStore) -> None:
    with running(store) as run:
        run.set_progress("blocks", files_count=2)
    assert store.get(run).state is State.COMPLETED
    assert store.progress(run)["blocks"].files_count == 2
    assert run.settled


def test_an_exception_fails_the_run_and_is_not_raised(store: JobStore) -> None:
    with running(store) as run:
        raise OSError("disk gone")
    job = store.get(run)
    assert job.state is State.RECOVERING
    assert job.failure is not None
    assert job.failure.message == "disk gone"


@pytest.mark.parametrize("error", [Fatal("no such dataset"), ValueError("bad input")])
def test_a_fatal_exception_fails_the_job_for_good(store: JobStore, error: Exception) -> None:
    run = running(store, retry=RetryPolicy(fatal=(ValueError,)))
    with run:
        raise error
    assert store.get(run).state is State.FAILED


def test_a_handler_that_saw_the_stop_and_returns_has_stopped(store: JobStore) -> None:
    with running(store) as run:
        store.stop(run)
        run.heartbeat()
        assert run.stop is not None
    assert store.get(run).state is State.STOPPED


def test_a_handler_that_never_saw_the_stop_and_returns_has_completed(store: JobStore) -> None:
    with running(store) as run:
        store.stop(run)
    assert store.get(run).state is State.COMPLETED


def test_a_handler_that_saw_the_stop_may_say_that_it_finished_anyway(store: JobStore) -> None:
    with running(store) as run:
        store.stop(run)
        run.heartbeat()
        assert run.stopping
        run.complete()
    assert store.get(run).state is State.COMPLETED


def test_a_handler_that_agreed_to_the_stop_and_returns_has_stopped(store: JobStore) -> None:
    """Who calls `begin_stop` knows of the stop, however it heard of it."""
    with running(store) as run:
        store.stop(run)
        run.begin_stop()
    assert store.get(run).state is State.STOPPED


def test_a_stop_ends_the_handler_through_its_own_exception(store: JobStore) -> None:
    with running(store) as run:
        store.stop(run, reason="wrong input")
        run.heartbeat()
        try:
            run.raise_if_stopping()
        except Exception:
            pytest.fail("the request to stop was eaten by `except Exception`")
        pytest.fail("the handler never saw a stop")
    assert store.get(run).state is State.STOPPED


def test_a_conflict_at_the_end_of_a_block_is_not_raised(store: JobStore) -> None:
    """A job that ended between the stop request and its acknowledgement must not take the worker down."""
    with running(store) as run:
        store.stop(run, mode="force")
    assert store.get(run).state is State.STOPPED
    assert run.settled


def test_an_interrupt_hands_the_job_back_and_goes_on(store: JobStore) -> None:
    run = running(store)
    with pytest.raises(KeyboardInterrupt), run:
        raise KeyboardInterrupt
    assert triggers(store, run)[-1] == "release"


def test_a_lease_that_ran_out_by_the_local_clock_is_reported_at_once(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    run.raise_if_stopping()
    clock.advance(LEASE)
    assert run.lost
    with pytest.raises(LeaseLost):
        run.raise_if_stopping()
    assert store.get(run).state is State.RUNNING
    run.heartbeat()
    run.raise_if_stopping()
