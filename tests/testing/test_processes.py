"""Real worker processes, and what is left of them."""

from __future__ import annotations

import pytest

from jobstate import InvalidRequest, JobStore, State
from jobstate.testing import StartWorker, assert_history

HANDLERS = "tests.testing.handlers:HANDLERS"


def test_a_worker_process_works_is_killed_and_another_goes_on(
    jobstate_store: JobStore, jobstate_worker_process: StartWorker
) -> None:
    job = jobstate_store.submit("hang", max_attempts=2)
    first = jobstate_worker_process(HANDLERS, lease=0.5)
    jobstate_store.wait(job, until="running", timeout=30)
    first.kill()
    assert not first.alive
    second = jobstate_worker_process(HANDLERS, node_id="second")
    claims = (event for event in jobstate_store.watch(job=job, timeout=30) if event.trigger == "claim")
    assert [event.node for event in (next(claims), next(claims))] == [first.node_id, "second"]
    jobstate_store.stop(job)
    assert jobstate_store.wait(job, timeout=30).state is State.STOPPED
    assert second.stop() == 0
    assert "worker second runs count, hang, refuse" in second.output
    assert_history(job, "Scheduled -> Running -> Recovering -> Running -> StopRequested -> Stopping -> Stopped")
    assert [worker.node_id for worker in jobstate_store.workers()] == [first.node_id], "a dead one cannot sign off"


def test_one_that_does_not_begin_says_why(jobstate_worker_process: StartWorker) -> None:
    with pytest.raises(InvalidRequest, match="there is no module"):
        jobstate_worker_process("tests.testing.handless:HANDLERS")
    with pytest.raises(InvalidRequest, match="lease"):
        jobstate_worker_process(HANDLERS, lease=-1)
