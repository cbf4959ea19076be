"""Failures around a handler do not harm the job, the worker or the store."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import jobstate
from jobstate import JobStore, Run, State


def in_time(action: Callable[[], object], seconds: float = 20) -> None:
    """Run it on a thread; it must end by itself."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"


def test_a_handler_may_checkpoint_inside_a_batch_while_the_heartbeat_thread_flushes(ticking: JobStore) -> None:
    def handler(run: Run) -> None:
        for step in range(14):
            run.add_range("rows", step, step)
            with ticking.batch():
                ticking.submit("other")
                time.sleep(0.1)  # the heartbeat thread flushes about once a second
                run.checkpoint(state=step)

    job = ticking.submit("work")
    began = time.monotonic()
    in_time(lambda: ticking.worker("w", until_idle=True).serve({"work": handler}))
    assert time.monotonic() - began < 5
    assert ticking.get(job).state is State.COMPLETED


def test_the_log_of_a_worker_says_that_a_handler_goes_on_without_its_lease(
    ticking: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    warnings: list[str] = []

    def handler(run: Run) -> None:
        ticking.stop(run, mode="force")
        for _ in range(500):
            warnings[:] = [
                record.getMessage() for record in caplog.records if "its lease is lost" in record.getMessage()
            ]
            if warnings:
                return
            time.sleep(0.01)

    job = ticking.submit("work")
    in_time(lambda: ticking.worker("w", until_idle=True).serve({"work": handler}))
    assert warnings == [f"job {job.id}: its lease is lost; the handler has its place in the worker until it ends"]


def test_a_flush_after_an_end_in_a_transaction_is_no_lost_lease(
    ticking: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(run: Run) -> None:
        with ticking.batch():
            run.add_range("rows", 0, 9)
            run.log.info("ending")
            run.flush()
            time.sleep(1.3)  # the heartbeat thread flushes, and waits for the store
            run.complete()
        time.sleep(0.2)
        assert not run.lost

    job = ticking.submit("work")
    in_time(lambda: ticking.worker("w", until_idle=True).serve({"work": handler}))
    assert ticking.get(job).state is State.COMPLETED
    assert [record.getMessage() for record in caplog.records if record.name == "jobstate.worker"] == []
    assert [entry.message for entry in ticking.logs(job)] == ["ending"]


def test_a_shutdown_ends_though_a_hung_handler_lost_its_lease(ticking: JobStore) -> None:
    never, began = threading.Event(), threading.Event()

    def hung(_run: Run) -> None:
        began.set()
        never.wait(60)

    job = ticking.submit("work")
    worker = ticking.worker("w", shutdown_timeout=0.2)
    serving = threading.Thread(target=lambda: worker.serve({"work": hung}), daemon=True)
    serving.start()
    assert began.wait(10)
    ticking.stop(job, mode="force")
    time.sleep(0.1)
    worker.shut_down()
    serving.join(10)
    never.set()
    assert not serving.is_alive()


def test_what_a_handler_raises_after_its_job_ended_is_logged(
    ticking: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    ticking.submit("work")
    (run,) = ticking.claim("w")
    with caplog.at_level(logging.WARNING), run:
        run.complete()
        raise ValueError("publishing failed")
    assert "publishing failed" in caplog.text


def test_an_end_that_was_undone_with_its_transaction_is_no_end(ticking: JobStore) -> None:
    job = ticking.submit("work")
    (run,) = ticking.claim("w")
    with run, ticking.batch():
        run.complete()
        raise ValueError("the batch is undone")
    assert ticking.get(job).state is State.RECOVERING
    assert ticking.get(job).failure is not None


def test_an_end_that_was_kept_with_its_transaction_is_one(ticking: JobStore) -> None:
    job = ticking.submit("work")
    (run,) = ticking.claim("w")
    with run, ticking.batch():
        run.complete()
    assert run.settled
    assert ticking.get(job).state is State.COMPLETED
    assert not run.lost


def test_a_handler_that_exits_the_process_is_charged(ticking: JobStore) -> None:
    job = ticking.submit("work", max_attempts=2, retry=jobstate.RetryPolicy(initial=0))
    in_time(lambda: ticking.worker("w", until_idle=True).serve({"work": lambda run: sys.exit(2)}))
    found = ticking.get(job)
    assert (found.state, found.attempt) == (State.FAILED, 2)
    assert found.failure is not None
    assert found.failure.message == "the handler called sys.exit(2)"


def test_a_handler_that_stops_unasked_is_charged(ticking: JobStore) -> None:
    def handler(run: Run) -> None:
        raise jobstate.JobStopping(run.id, "checkpoint")

    job = ticking.submit("work", max_attempts=1)
    in_time(lambda: ticking.worker("w", until_idle=True).serve({"work": handler}))
    assert ticking.get(job).state is State.FAILED


def test_a_failure_that_cannot_say_what_it_is_still_fails_the_job(ticking: JobStore) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("broken str")

    job = ticking.submit("work", max_attempts=1)
    (run,) = ticking.claim("w")
    run.fail(Mute())
    failure = ticking.get(job).failure
    assert failure is not None
    assert failure.message.startswith("Mute")


def test_a_handler_that_a_call_would_only_make_is_refused(ticking: JobStore) -> None:
    async def later(_run: Run) -> None:
        await asyncio.sleep(0)

    def some(_run: Run) -> Any:
        yield 1

    refused: list[Any] = [later, some]
    for handler in refused:
        with pytest.raises(jobstate.InvalidRequest, match="handlers: has an async or generator function"):
            ticking.worker("w").serve({"work": handler})


def test_a_worker_can_serve_twice(ticking: JobStore) -> None:
    first, second = ticking.submit("a"), ticking.submit("b")
    worker = ticking.worker("w", until_idle=True)
    worker.serve({"a": lambda run: None})
    worker.serve({"b": lambda run: None})
    assert {ticking.get(job).state for job in (first, second)} == {State.COMPLETED}
