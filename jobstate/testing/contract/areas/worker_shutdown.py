"""A worker that shuts down: it claims no more, and hands back what its handlers do not end in time."""

from __future__ import annotations

import threading
import time

from jobstate import (
    JobStore,
    LeaseLost,
    Run,
    State,
)
from jobstate.testing.contract.areas.worker_loop import PATIENCE, Serving, until_seen
from jobstate.testing.contract.situations import triggers


def test_a_shutdown_hands_the_job_back_uncharged(ticking: JobStore) -> None:
    begun = threading.Event()

    def handle(run: Run) -> None:
        begun.set()
        until_seen(run)

    job = ticking.submit("extract")
    with Serving(ticking.worker("worker-01"), {"extract": handle}):
        assert begun.wait(PATIENCE)
    found = ticking.get(job)
    assert (found.state, found.failures, found.attempt) == (State.SCHEDULED, 0, 1)
    assert triggers(ticking, job) == ["submit", "claim", "release"]
    assert list(ticking.workers()) == []


def test_a_shutdown_fences_a_handler_that_does_not_end_in_time(ticking: JobStore) -> None:
    begun, go_on = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def handle(run: Run) -> None:
        begun.set()
        go_on.wait(PATIENCE)
        try:
            run.checkpoint(state="late")
        except LeaseLost as error:
            raised.append(error)

    job = ticking.submit("extract")
    try:
        with Serving(ticking.worker("worker-01", shutdown_timeout=0.05), {"extract": handle}):
            assert begun.wait(PATIENCE)
        assert triggers(ticking, job) == ["submit", "claim", "release"]
        assert list(ticking.checkpoints(job)) == []
    finally:
        go_on.set()
    end = time.monotonic() + PATIENCE
    while not raised and time.monotonic() < end:
        time.sleep(0.005)
    assert len(raised) == 1
    assert ticking.get(job).state is State.SCHEDULED


def test_a_worker_that_shuts_down_claims_nothing_more(ticking: JobStore) -> None:
    worker = ticking.worker("worker-01")
    jobs = ticking.submit_many([{"kind": "extract"}, {"kind": "extract"}])
    with worker:
        for run in worker:
            with run:
                worker.shut_down()
    assert [ticking.get(job).state for job in jobs] == [State.COMPLETED, State.SCHEDULED]


def test_a_worker_without_work_ends_soon_at_a_shutdown(ticking: JobStore) -> None:
    began = time.monotonic()
    with Serving(ticking.worker("worker-01"), {"extract": lambda run: None}):
        time.sleep(0.02)
    assert time.monotonic() - began < 5
