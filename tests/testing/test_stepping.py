"""Handlers run in the process of the test, step by step."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from jobstate import Fatal, InvalidRequest, JobStore, RetryPolicy, Run, State, StopOutcome, StoreBusy
from jobstate.testing import Drain, ManualClock, RunOne, assert_history, assert_no_leaks, busy
from jobstate.testing import drain as drain_of
from jobstate.testing import run_one as run_one_of
from tests.testing.handlers import BLOCKS, HANDLERS, count


@pytest.fixture
def jobstate_handlers() -> dict[str, object]:
    return dict(HANDLERS)


def test_a_run_is_claimed_called_and_settled(jobstate_store: JobStore, jobstate_run_one: RunOne) -> None:
    first, second = jobstate_store.submit("count"), jobstate_store.submit("count")
    done = jobstate_run_one()
    assert done is not None
    assert (done.id, done.state, done.worker_id) == (first.id, State.COMPLETED, None)
    assert jobstate_store.progress(first)["blocks"].files_count == BLOCKS
    assert jobstate_store.get(second).state is State.SCHEDULED
    assert jobstate_run_one() is not None
    assert jobstate_run_one() is None
    assert_no_leaks()


def test_no_thread_is_started_and_no_time_passes(
    jobstate_store: JobStore, jobstate_drain: Drain, jobstate_clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a step neither sleeps nor starts a thread")

    monkeypatch.setattr(time, "sleep", refused)
    monkeypatch.setattr(threading.Thread, "start", refused)
    before = jobstate_clock.now()
    jobstate_store.submit_many([{"kind": "count"}, {"kind": "refuse"}])
    assert [job.state for job in jobstate_drain()] == [State.COMPLETED, State.RECOVERING]
    assert jobstate_clock.now() == before
    with busy("complete"):
        jobstate_store.submit("count")
        jobstate_drain()


def test_a_drain_ends_when_nothing_is_due_and_leaves_the_clock(
    jobstate_store: JobStore, jobstate_drain: Drain, jobstate_clock: ManualClock
) -> None:
    job = jobstate_store.submit("refuse", retry=RetryPolicy(initial=5))
    assert [done.state for done in jobstate_drain()] == [State.RECOVERING]
    assert jobstate_drain() == []
    jobstate_clock.advance("4.999s")
    assert jobstate_drain() == []
    jobstate_clock.advance("0.001s")
    assert [done.id for done in jobstate_drain()] == [job.id], "a retry comes without chance, just when it should"


def test_a_drain_that_turns_the_clock_sees_every_job_of_its_kinds_end(
    jobstate_store: JobStore, jobstate_drain: Drain, jobstate_clock: ManualClock
) -> None:
    later = jobstate_clock.now() + 3_600_000_000
    jobstate_store.submit("refuse")
    jobstate_store.claim("a worker that died", kinds=["refuse"])
    jobstate_store.submit("other")
    jobstate_drain(turn_clock=True)
    assert {job.kind: job.state for job in jobstate_store.iterate("all")} == {
        "refuse": State.FAILED,
        "other": State.SCHEDULED,
    }
    assert jobstate_clock.now() < later


def test_a_drain_that_never_ends_is_an_error(jobstate_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobstate.testing.runner._MOST_RUNS", 20)
    jobstate_store.submit("again")

    def hand_back(run: Run) -> None:
        run.release()

    with pytest.raises(AssertionError, match="after 20 runs jobs are still due"):
        drain_of({"again": hand_back})


def test_a_stop_is_noticed_at_once(jobstate_store: JobStore, jobstate_clock: ManualClock) -> None:
    def stopped(run: Run) -> None:
        assert not run.stopping
        jobstate_store.stop(run, reason="enough")
        run.raise_if_stopping()
        raise AssertionError("it was not noticed")

    job = jobstate_store.submit("stopped")
    done = run_one_of({"stopped": stopped})
    assert done is not None
    assert done.stop is not None
    assert (done.state, done.stop.outcome, done.stop.reason) == (State.STOPPED, StopOutcome.NO_CHECKPOINT, "enough")
    assert_history(job, "Scheduled -> Running -> StopRequested -> Stopping -> Stopped")


def test_a_handler_that_lets_the_clock_pass_its_lease_has_lost_it(
    jobstate_store: JobStore, jobstate_clock: ManualClock
) -> None:
    def hung(run: Run) -> None:
        jobstate_clock.advance("31s")
        jobstate_store.sweep()
        assert run.lost

    job = jobstate_store.submit("hung")
    run_one_of({"hung": hung})
    assert_history(job, "Scheduled -> Running -> Recovering")


def test_an_assertion_of_pytest_within_a_handler_fails_the_test(jobstate_store: JobStore) -> None:
    jobstate_store.submit("check")
    with pytest.raises(pytest.fail.Exception, match="as wanted"):
        run_one_of({"check": lambda run: pytest.fail("as wanted")})


def test_sys_exit_and_fatal_errors_fail_the_job_as_a_worker_would(jobstate_store: JobStore) -> None:
    def fatal(run: Run) -> None:
        raise Fatal("bad input")

    def leave(run: Run) -> None:
        raise SystemExit(3)

    jobstate_store.submit("fatal")
    jobstate_store.submit("leave", max_attempts=1)
    assert [job.state for job in drain_of({"fatal": fatal, "leave": leave})] == [State.FAILED] * 2


def test_a_store_that_stays_busy_is_an_error_in_the_end(jobstate_store: JobStore) -> None:
    jobstate_store.submit("count")
    with busy("claim", times=3):
        assert [job.state for job in drain_of({"count": count})] == [State.COMPLETED]
    jobstate_store.submit("count")
    with busy("claim", times=1000), pytest.raises(StoreBusy):
        drain_of({"count": count})


def test_without_handlers_it_says_where_to_name_them(jobstate_stage: object) -> None:
    with pytest.raises(InvalidRequest, match="jobstate_handlers"):
        run_one_of({})
    with pytest.raises(InvalidRequest, match="lease"):
        run_one_of({"count": count}, lease=timedelta(0))


def test_without_a_store_it_says_which_fixture_to_use() -> None:
    with pytest.raises(InvalidRequest, match="jobstate_store"):
        run_one_of({"count": count})
