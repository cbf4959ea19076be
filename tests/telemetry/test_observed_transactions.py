"""Observers are called after each commit, in order, and never for what was rolled back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import peewee
import pytest

import jobstate
from jobstate import InvalidRequest, JobStore
from jobstate.storage.observed import ObservedEngine, ObservedRepository
from jobstate.storage.repository import SqliteRepository
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import running, submitted
from tests.telemetry.recording import RecordingObserver


class Rollback(Exception):
    """Raised by a test to leave a block by an error."""


def test_the_calls_of_a_batch_come_at_its_commit_in_order(store: JobStore, seen: RecordingObserver) -> None:
    run = running(store)
    seen.take()
    with store.batch():
        run.heartbeat()
        run.complete()
        submitted(store)
        assert seen.take() == []
    assert seen.take() == ["1: Running complete Completed", "2: None submit Scheduled", "heartbeat of worker-01 [1]"]


def test_a_batch_that_is_undone_causes_no_call(store: JobStore, seen: RecordingObserver) -> None:
    run = running(store)
    seen.take()
    with pytest.raises(Rollback), store.batch():
        run.heartbeat()
        run.complete()
        submitted(store)
        raise Rollback
    assert seen.take() == []
    store.sweep()
    assert seen.take() == ["sweep:test:suite []"]


def test_what_an_inner_batch_undid_is_left_out(store: JobStore, seen: RecordingObserver) -> None:
    run = running(store)
    seen.take()
    with store.batch():
        first = submitted(store)
        with pytest.raises(Rollback), store.batch():
            submitted(store)
            run.heartbeat()
            raise Rollback
        with store.batch():
            store.stop(first, mode="force")
        second = submitted(store)
    assert seen.take() == [
        f"{first.id}: None submit Scheduled",
        f"{first.id}: Scheduled halt Stopped",
        f"{second.id}: None submit Scheduled",
    ]


def test_what_is_removed_in_the_batch_that_made_it_is_not_reported(store: JobStore, seen: RecordingObserver) -> None:
    with store.batch():
        job = submitted(store)
        store.stop(job, mode="force")
        assert store.delete(job)
    assert seen.take() == []


def test_a_batch_after_an_undone_one_reports_only_itself(store: JobStore, seen: RecordingObserver) -> None:
    with pytest.raises(Rollback), store.batch():
        submitted(store)
        raise Rollback
    with store.batch():
        submitted(store)
    assert seen.take() == ["1: None submit Scheduled"]


def test_what_another_process_did_is_not_reported(
    open_store: OpenStore, tmp_path: Path, clock: ManualClock, seen: RecordingObserver
) -> None:
    path = tmp_path / "shared.db"
    with (
        jobstate.open(path, clock=clock, durability="normal", observers=[seen]) as here,
        jobstate.open(path, clock=clock, durability="normal") as there,
    ):
        theirs = there.submit("extract")
        ours = here.submit("extract")
        there.stop(theirs, mode="force")
        here.stop(ours, mode="force")
        assert seen.take() == ["2: None submit Scheduled", "2: Scheduled halt Stopped"]


def test_an_observed_store_is_another_one_only_where_somebody_observes(
    open_store: OpenStore, seen: RecordingObserver
) -> None:
    """Zero cost when absent: without observers nothing of it is there."""
    plain, observed = open_store(observers=()), open_store(observers=[seen])
    assert type(plain.repository) is SqliteRepository
    assert type(plain.repository._engine) is jobstate.storage.engine.Engine
    assert plain._context.dispatcher is None
    assert type(observed.repository) is ObservedRepository
    assert type(observed.repository._engine) is ObservedEngine


def test_threads_are_reported_one_by_one_in_the_order_of_their_commits(
    open_store: OpenStore, seen: RecordingObserver
) -> None:
    speaking = threading.Lock()

    class Alone(RecordingObserver):
        def transition(self, transition: jobstate.Transition) -> None:
            assert speaking.acquire(blocking=False)
            super().transition(transition)
            speaking.release()

    alone = Alone()
    store = open_store(observers=[alone])

    def work() -> None:
        for _ in range(25):
            store.stop(store.submit("extract"), mode="force")
        store.repository.close_thread()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [transition.event.id for transition in alone.transitions] == list(range(1, 201))


# A database of the caller's own.


@pytest.fixture
def database(tmp_path: Path) -> Iterator[peewee.SqliteDatabase]:
    database = peewee.SqliteDatabase(str(tmp_path / "application.db"), pragmas={"journal_mode": "wal"})
    database.connect()
    yield database
    database.close()


@pytest.fixture
def embedded(database: peewee.SqliteDatabase, clock: ManualClock, seen: RecordingObserver) -> Iterator[JobStore]:
    with jobstate.open(database, clock=clock, actor="test:suite", observers=[seen]) as store:
        yield store


def test_in_a_transaction_of_the_caller_all_is_reported_when_the_caller_commits(
    database: peewee.SqliteDatabase, embedded: JobStore, seen: RecordingObserver
) -> None:
    with database.atomic("IMMEDIATE"):
        run = running(embedded)
        run.heartbeat()
        with embedded.batch():
            run.complete()
        assert seen.take() == []
    assert seen.take() == [
        "1: None submit Scheduled",
        "1: Scheduled claim Running",
        "1: claimed by worker-01",
        "heartbeat of worker-01 [1]",
        "1: Running complete Completed",
    ]
    submitted(embedded)
    assert seen.take() == ["2: None submit Scheduled"]


def test_the_rollback_of_the_caller_causes_no_call(
    database: peewee.SqliteDatabase, embedded: JobStore, seen: RecordingObserver
) -> None:
    run = running(embedded)
    seen.take()
    with pytest.raises(Rollback), database.atomic("IMMEDIATE"):
        run.heartbeat()
        run.complete()
        raise Rollback
    with database.atomic("IMMEDIATE"):
        pass
    assert seen.take() == []


def test_what_a_savepoint_of_the_caller_undid_is_not_reported(
    database: peewee.SqliteDatabase, embedded: JobStore, seen: RecordingObserver
) -> None:
    with database.atomic("IMMEDIATE"):
        kept = submitted(embedded)
        with pytest.raises(Rollback), database.atomic():
            submitted(embedded)
            raise Rollback
        again = submitted(embedded)
        assert again.id == kept.id + 1, "the number of the one that was undone"
    assert seen.take() == ["1: None submit Scheduled", "2: None submit Scheduled"]
    assert seen.transitions[-1].job.kind == again.kind


def test_what_a_savepoint_of_the_caller_undid_last_is_not_reported_either(
    database: peewee.SqliteDatabase, embedded: JobStore, seen: RecordingObserver
) -> None:
    with database.atomic("IMMEDIATE"):
        submitted(embedded)
        with pytest.raises(Rollback), database.atomic():
            submitted(embedded)
            raise Rollback
    assert seen.take() == ["1: None submit Scheduled"]


def test_a_store_that_was_closed_before_the_caller_commits_fails_nobody(
    database: peewee.SqliteDatabase, clock: ManualClock, seen: RecordingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    with database.atomic("IMMEDIATE"), jobstate.open(database, clock=clock, observers=[seen]) as store:
        job = submitted(store)
    with jobstate.open(database, clock=clock) as store:
        assert store.get(job) == job
    assert seen.take() == ["closed"]
    assert [(record.name, record.levelno) for record in caplog.records] == [("jobstate.observers", logging.ERROR)]


def test_an_old_peewee_without_commit_hooks_is_refused_in_words(
    database: peewee.SqliteDatabase, seen: RecordingObserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(peewee.Database, "after_commit")
    with pytest.raises(InvalidRequest, match=r"observers: .* need peewee 4\.5 or newer"):
        jobstate.open(database, observers=[seen])
    with jobstate.open(database) as store:
        submitted(store)
