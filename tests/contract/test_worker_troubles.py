"""What goes wrong around a handler at night, and must not take the job, the worker or the store along."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee
import pytest

import jobstate
from jobstate import JobStore, Run, State
from jobstate.storage.transaction import Transaction
from tests.contract.conftest import OpenStore


@pytest.fixture
def jobs(open_store: OpenStore) -> JobStore:
    """A store on the clock of the machine: these are about threads."""
    return open_store(clock=jobstate.SystemClock(), timeout=5)


def in_time(action: Callable[[], object], seconds: float = 20) -> None:
    """Run it on a thread; it must end by itself."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"


def test_a_handler_may_checkpoint_inside_a_batch_while_the_heart_flushes(jobs: JobStore) -> None:
    def handler(run: Run) -> None:
        for step in range(14):
            run.add_range("rows", step, step)
            with jobs.batch():
                jobs.submit("other")
                time.sleep(0.1)  # the heart flushes about once a second
                run.checkpoint(state=step)

    job = jobs.submit("work")
    began = time.monotonic()
    in_time(lambda: jobs.worker("w", until_idle=True).serve({"work": handler}))
    assert time.monotonic() - began < 5
    assert jobs.get(job).state is State.COMPLETED


def test_a_checkpoint_beside_a_flush_that_fails_at_its_commit_holds_all_the_same(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a flush has taken was not written yet; a checkpoint that found nothing left to write lost it for good."""
    (run,) = jobs.claim("w", kinds=[jobs.submit("work").kind])
    run.add_range("rows", 0, 99)
    run.metrics("read", records_in=100)
    run.log.info("read")
    commit, committing = Transaction._commit, threading.Event()

    def full(self: Transaction) -> None:
        if threading.current_thread() is not flushing or self._joined:
            commit(self)
            return
        committing.set()
        time.sleep(0.2)
        raise jobstate.StoreFull("jobs.db", "the disk is full")

    def flush() -> None:
        with pytest.raises(jobstate.StoreFull):
            run.flush_if_free()

    monkeypatch.setattr(Transaction, "_commit", full)
    flushing = threading.Thread(target=flush)
    flushing.start()
    committing.wait()
    checkpoint = run.checkpoint(state=100)
    flushing.join()
    assert checkpoint.progress["rows"].current_block == 99
    run.release()
    (run,) = jobs.claim("w")
    assert run.progress["rows"].current_block == 99
    assert jobs.metrics(run).totals.records_in == 100
    assert [entry.message for entry in jobs.logs(run)] == ["read"]


def test_a_flush_after_an_end_in_a_transaction_is_no_lost_lease(
    jobs: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    def handler(run: Run) -> None:
        with jobs.batch():
            run.add_range("rows", 0, 9)
            run.log.info("ending")
            run.flush()
            time.sleep(1.3)  # the heart comes to flush, and waits for the store
            run.complete()
        time.sleep(0.2)
        assert not run.lost

    job = jobs.submit("work")
    in_time(lambda: jobs.worker("w", until_idle=True).serve({"work": handler}))
    assert jobs.get(job).state is State.COMPLETED
    assert [record.getMessage() for record in caplog.records if record.name == "jobstate.worker"] == []
    assert [entry.message for entry in jobs.logs(job)] == ["ending"]


@pytest.mark.parametrize("error", [sqlite3.OperationalError("boom"), RuntimeError("boom")])
def test_a_worker_whose_heartbeats_died_ends_with_their_error(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> Any:
        raise error

    monkeypatch.setattr(jobs.repository.leases, "renew", broken)
    with pytest.raises(type(error), match="boom"):
        jobs.worker("w", shutdown_timeout=0.1).serve({"work": lambda run: None})


def test_a_shutdown_ends_though_a_hung_handler_lost_its_lease(jobs: JobStore) -> None:
    never, began = threading.Event(), threading.Event()

    def hung(_run: Run) -> None:
        began.set()
        never.wait(60)

    job = jobs.submit("work")
    worker = jobs.worker("w", shutdown_timeout=0.2)
    serving = threading.Thread(target=lambda: worker.serve({"work": hung}), daemon=True)
    serving.start()
    assert began.wait(10)
    jobs.stop(job, mode="force")
    time.sleep(0.1)
    worker.shut_down()
    serving.join(10)
    never.set()
    assert not serving.is_alive()


def test_what_a_handler_raises_after_its_job_ended_is_logged(jobs: JobStore, caplog: pytest.LogCaptureFixture) -> None:
    jobs.submit("work")
    (run,) = jobs.claim("w")
    with caplog.at_level(logging.WARNING), run:
        run.complete()
        raise ValueError("publishing failed")
    assert "publishing failed" in caplog.text


def test_an_end_that_was_undone_with_its_transaction_is_no_end(jobs: JobStore) -> None:
    job = jobs.submit("work")
    (run,) = jobs.claim("w")
    with run, jobs.batch():
        run.complete()
        raise ValueError("the batch is undone")
    assert jobs.get(job).state is State.RECOVERING
    assert jobs.get(job).failure is not None


def test_an_end_that_was_kept_with_its_transaction_is_one(jobs: JobStore) -> None:
    job = jobs.submit("work")
    (run,) = jobs.claim("w")
    with run, jobs.batch():
        run.complete()
    assert run.settled
    assert jobs.get(job).state is State.COMPLETED
    assert not run.lost


def test_a_handler_that_exits_the_process_is_charged(jobs: JobStore) -> None:
    job = jobs.submit("work", max_attempts=2, retry=jobstate.RetryPolicy(initial=0))
    in_time(lambda: jobs.worker("w", until_idle=True).serve({"work": lambda run: sys.exit(2)}))
    found = jobs.get(job)
    assert (found.state, found.attempt) == (State.FAILED, 2)
    assert found.failure is not None
    assert found.failure.message == "the handler called sys.exit(2)"


def test_a_handler_that_stops_unasked_is_charged(jobs: JobStore) -> None:
    def handler(run: Run) -> None:
        raise jobstate.JobStopping(run.id, "checkpoint")

    job = jobs.submit("work", max_attempts=1)
    in_time(lambda: jobs.worker("w", until_idle=True).serve({"work": handler}))
    assert jobs.get(job).state is State.FAILED


def test_a_failure_that_cannot_say_what_it_is_still_fails_the_job(jobs: JobStore) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("broken str")

    job = jobs.submit("work", max_attempts=1)
    (run,) = jobs.claim("w")
    run.fail(Mute())
    failure = jobs.get(job).failure
    assert failure is not None
    assert failure.message.startswith("Mute")


def test_a_handler_that_a_call_would_only_make_is_refused(jobs: JobStore) -> None:
    async def later(_run: Run) -> None:
        await asyncio.sleep(0)

    def some(_run: Run) -> Any:
        yield 1

    for handler in (later, some):
        with pytest.raises(jobstate.InvalidRequest, match="handlers: has an async or generator function"):
            jobs.worker("w").serve({"work": handler})


def test_a_backup_inside_a_transaction_is_refused(jobs: JobStore, tmp_path: Path) -> None:
    with jobs.batch(), pytest.raises(jobstate.InvalidRequest, match="cannot be made inside a transaction"):
        jobs.backup(tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_worker_can_serve_twice(jobs: JobStore) -> None:
    first, second = jobs.submit("a"), jobs.submit("b")
    worker = jobs.worker("w", until_idle=True)
    worker.serve({"a": lambda run: None})
    worker.serve({"b": lambda run: None})
    assert {jobs.get(job).state for job in (first, second)} == {State.COMPLETED}


def test_a_batch_in_the_callers_database_is_a_transaction_that_peewee_knows(tmp_path: Path) -> None:
    app = peewee.SqliteDatabase(str(tmp_path / "app.db"), pragmas={"journal_mode": "wal"})

    class Order(peewee.Model):  # type: ignore[misc]
        name = peewee.TextField(unique=True)

        class Meta:
            database = app

    app.create_tables([Order])
    with jobstate.open(app) as store:
        with store.batch():
            job = store.submit("send")
            Order.get_or_create(name="a")
            with app.atomic():
                Order.create(name="b")
        assert (Order.select().count(), store.get(job).state) == (2, State.SCHEDULED)
        with pytest.raises(ZeroDivisionError), store.batch():
            store.submit("send")
            Order.create(name="c")
            raise ZeroDivisionError
        assert (Order.select().count(), len(store.list().jobs)) == (2, 1)
    app.close()


def test_a_database_of_the_caller_that_every_thread_would_see_differently_is_refused() -> None:
    with pytest.raises(jobstate.InvalidRequest, match="thread_safe=False"):
        jobstate.open(peewee.SqliteDatabase(":memory:"))
