"""Assertions hold when they should, and say what was there when they do not."""

from __future__ import annotations

import pytest

from jobstate import InvalidRequest, JobStore
from jobstate.testing import JobIn, assert_history, assert_no_leaks, assert_none_live, assert_submitted


def words_of(told: pytest.ExceptionInfo[AssertionError]) -> list[str]:
    return str(told.value).splitlines()


def test_a_history_is_shown_with_the_place_where_it_differs(jobstate_store: JobStore, jobstate_job_in: JobIn) -> None:
    job = jobstate_job_in("Recovering", reason="nightly")
    assert_history(job, "Scheduled -> Running -> Recovering")
    assert_history(job, "scheduled->running->recovering")
    with pytest.raises(AssertionError) as told:
        assert_history(job.id, "Scheduled -> Running -> Completed")
    assert words_of(told) == [
        "the history differs",
        "  expected  Scheduled -> Running -> Completed",
        "  found     Scheduled -> Running -> Recovering",
        "                                    ^",
        f"job {job.id} ({job.kind}) is Recovering, attempt 1: failed by the test",
        "       +0.0 s  submit        Scheduled     test: nightly",
        "       +0.0 s  claim         Running       worker:worker-01",
        "       +0.0 s  recover       Recovering    worker:worker-01",
    ]


@pytest.mark.parametrize(
    "expected", ["Scheduled -> Recovering", "Scheduled -> Running", "Scheduled -> Running -> Recovering -> Running"]
)
def test_a_history_that_is_longer_shorter_or_took_another_path_is_refused(
    jobstate_job_in: JobIn, expected: str
) -> None:
    with pytest.raises(AssertionError, match="the history differs"):
        assert_history(jobstate_job_in("Recovering"), expected)


def test_notes_do_not_count(jobstate_store: JobStore, jobstate_job_in: JobIn) -> None:
    job = jobstate_job_in("StopRequested")
    jobstate_store.stop(job, mode="immediate")
    assert len(jobstate_store.events(job)) == 4
    assert_history(job, "Scheduled -> Running -> StopRequested")


@pytest.mark.parametrize("expected", ["", "Scheduled -> Sleeping", "Scheduled, Running", "active"])
def test_a_state_that_there_is_not_is_refused(jobstate_job_in: JobIn, expected: str) -> None:
    with pytest.raises(InvalidRequest):
        assert_history(jobstate_job_in("Running"), expected)


def test_a_submission_is_found_by_what_it_said(jobstate_store: JobStore) -> None:
    first = jobstate_store.submit("extract", {"dataset": "eth", "start": 0}, key="eth:0", labels={"team": "data"})
    second = jobstate_store.submit("extract", {"dataset": "btc"})
    assert assert_submitted("extract") == second
    assert assert_submitted("extract", descriptor={"start": 0.0, "dataset": "eth"}, labels={"team": "data"}) == first
    assert assert_submitted("extract", key="eth:0", times=1) == first
    with pytest.raises(AssertionError) as told:
        assert_submitted("extract", descriptor={"dataset": "sol"}, key="eth:0")
    assert words_of(told) == [
        "no job was submitted as 'extract', descriptor={'dataset': 'sol'}, key='eth:0'",
        "  job 2: descriptor={'dataset': 'btc'}, key=None",
        "  job 1: descriptor={'dataset': 'eth', 'start': 0}",
    ]
    with pytest.raises(AssertionError) as told:
        assert_submitted("extract", times=3)
    assert words_of(told) == [
        "2 jobs instead of 3 were submitted as 'extract'",
        "  job 2: matches",
        "  job 1: matches",
    ]
    with pytest.raises(AssertionError, match="the kinds that were submitted: extract"):
        assert_submitted("extrakt")
    with pytest.raises(InvalidRequest, match="state: is none of descriptor"):
        assert_submitted("extract", state="Running")


def test_none_live_shows_those_that_live(jobstate_store: JobStore, jobstate_job_in: JobIn) -> None:
    jobstate_job_in("Completed")
    assert_none_live()
    jobstate_job_in("Recovering", kind="extract")
    with pytest.raises(AssertionError) as told:
        assert_none_live()
    assert words_of(told)[:2] == ["live jobs: 1", "job 2 (extract) is Recovering, attempt 1: failed by the test"]


def test_a_leak_is_named(jobstate_store: JobStore, jobstate_job_in: JobIn) -> None:
    for state in ("Created", "Scheduled", "Recovering", "Stopped", "Completed", "Failed"):
        jobstate_job_in(state)
    assert_no_leaks()
    jobstate_job_in("Running", kind="extract")
    with jobstate_store.worker("worker-07"), jobstate_store.batch(), pytest.raises(AssertionError) as told:
        assert_no_leaks()
    assert words_of(told) == [
        "something was left behind",
        "  a transaction is open",
        "  worker worker-07 is registered",
        "  <Job 7 extract Running on worker-01, attempt 1> is held until 2024-01-01 00:00:30+00:00",
    ]
