"""Jobs in any state, and stores without pytest."""

from __future__ import annotations

from pathlib import Path

import pytest

import jobstate
from jobstate import InvalidRequest, JobStore, State
from jobstate.domain.lifecycle import LEASED
from jobstate.testing import JobIn, assert_no_leaks, job_in, staged


@pytest.mark.parametrize("state", State)
def test_a_job_comes_into_each_state_by_legal_steps(
    jobstate_store: JobStore, jobstate_job_in: JobIn, state: State
) -> None:
    jobstate_store.submit("extract", priority=-5)
    job = jobstate_job_in(state.value, kind="extract", labels={"team": "data"})
    assert (job.state, job.kind, job.labels) == (state, "extract", {"team": "data"})
    assert jobstate_store.get(job) == job
    assert jobstate_store.audit().ok
    assert (job.worker_id is not None) == (state in LEASED)


def test_the_workers_side_of_it_is_there(jobstate_store: JobStore, jobstate_job_in: JobIn) -> None:
    job = jobstate_job_in("stopping")
    run = jobstate_job_in.runs[job.id]
    run.checkpoint(state=7)
    run.finish_stop()
    assert jobstate_store.get(job).state is State.STOPPED
    assert_no_leaks()


@pytest.mark.parametrize("word", ["active", "Sleeping", ""])
def test_a_word_that_is_no_state_is_refused(jobstate_job_in: JobIn, word: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        jobstate_job_in(word)
    assert refused.value.field == "state"
    with pytest.raises(InvalidRequest, match="hold"):
        jobstate_job_in("Running", hold=True)


def test_a_store_is_staged_without_pytest_too(tmp_path: Path) -> None:
    with staged(tmp_path / "jobs.db", stop_timeout=5) as outer, staged() as inner:
        assert job_in("Running").id == 1
        assert job_in("Completed", store=outer.store.acting("someone")).id == 1
        assert [stage.store.counts()[State.RUNNING] for stage in (outer, inner)] == [0, 1]
        with pytest.raises(InvalidRequest, match="staged"), jobstate.open(":memory:") as other:
            job_in("Running", store=other)
