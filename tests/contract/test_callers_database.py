"""Jobs in a database of the caller's own, as part of its transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import peewee
import pytest

import jobstate
from jobstate import InvalidRequest, JobStore, State
from jobstate.testing import ManualClock
from jobstate.testing.contract.situations import claimed, everything, running, scene, submitted


class Rollback(Exception):
    """Raised by a test to leave a block by an error."""


class Application(NamedTuple):
    """A database with a table of its own, and a store beside it."""

    database: peewee.SqliteDatabase
    store: JobStore

    def orders(self) -> int:
        """How many rows the application's own table has."""
        (number,) = self.database.execute_sql("SELECT count(*) FROM orders").fetchone()
        return int(number)

    def order(self) -> None:
        """Write a row of the application."""
        self.database.execute_sql("INSERT INTO orders DEFAULT VALUES")


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    """An application that keeps its jobs beside its own data."""
    database = peewee.SqliteDatabase(str(tmp_path / "application.db"), pragmas={"journal_mode": "wal"})
    database.connect()
    database.execute_sql("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    with jobstate.open(database, clock=ManualClock()) as store:
        yield Application(database, store)
    database.close()


def test_a_call_joins_the_write_transaction_of_the_caller(application: Application) -> None:
    database, store = application
    with database.atomic("IMMEDIATE"):
        application.order()
        job = submitted(store)
        run = claimed(store, job)
        run.set_progress("blocks", files_count=1)
        run.checkpoint(state=1)
        run.complete()
        assert store.get(job).state is State.COMPLETED
    assert store.get(job).state is State.COMPLETED
    assert application.orders() == 1
    assert store.audit().ok


def test_the_rollback_of_the_caller_undoes_the_calls_that_joined(application: Application) -> None:
    database, store = application
    run = running(store)
    before = everything(store)
    with pytest.raises(Rollback), database.atomic("IMMEDIATE"):
        application.order()
        submitted(store)
        run.heartbeat()
        run.checkpoint()
        run.complete()
        raise Rollback
    assert everything(store) == before
    assert application.orders() == 0


def test_an_error_inside_a_joined_transaction_undoes_only_that_call(application: Application) -> None:
    database, store = application
    with database.atomic("IMMEDIATE"):
        application.order()
        job = submitted(store)
        with pytest.raises(jobstate.DuplicateJob):
            store.submit_many([{"kind": "a", "key": "k"}, {"kind": "b", "key": "k"}])
        application.order()
        store.stop(job, mode="force")
    assert application.orders() == 2
    assert [found.id for found in store.iterate("all")] == [job.id]
    assert store.get(job).state is State.STOPPED


def test_a_batch_joins_the_write_transaction_of_the_caller(application: Application) -> None:
    database, store = application
    with database.atomic("IMMEDIATE"):
        application.order()
        with pytest.raises(Rollback), store.batch():
            submitted(store)
            raise Rollback
        with store.batch():
            job = submitted(store)
    assert application.orders() == 1
    assert [found.id for found in store.iterate("all")] == [job.id]


def test_an_exclusive_transaction_is_joined_too(application: Application) -> None:
    database, store = application
    with database.atomic("EXCLUSIVE"):
        job = submitted(store)
    assert store.get(job) == job


def test_a_savepoint_inside_a_write_transaction_is_joined_and_undone_alone(application: Application) -> None:
    database, store = application
    with database.atomic("IMMEDIATE"):
        kept = submitted(store)
        with pytest.raises(Rollback), database.atomic():
            submitted(store)
            raise Rollback
    assert [found.id for found in store.iterate("all")] == [kept.id]


WRITES: dict[str, Callable[[JobStore, Any], object]] = {
    "submit": lambda store, run: store.submit("extract"),
    "submit_many": lambda store, run: store.submit_many([{"kind": "extract"}]),
    "batch": lambda store, run: store.batch().__enter__(),
    "claim": lambda store, run: store.claim("worker-02"),
    "stop": lambda store, run: store.stop(run),
    "fail": lambda store, run: store.fail(run, "why"),
    "delete": lambda store, run: store.delete(run),
    "prune": lambda store, run: store.prune(),
    "complete": lambda store, run: run.complete(),
    "complete_many": lambda store, run: store.complete_many([run]),
    "heartbeat": lambda store, run: run.heartbeat(),
    "checkpoint": lambda store, run: run.checkpoint(),
    "release": lambda store, run: run.release(),
}


@pytest.mark.parametrize("lock", [None, "DEFERRED"])
def test_a_deferred_transaction_of_the_caller_is_refused_before_anything_is_written(
    application: Application, lock: str | None
) -> None:
    """A deferred transaction that turns into a write fails at once when another writer was faster."""
    database, store = application
    run = running(store)
    scene(store, "Completed")
    submitted(store)
    before = everything(store)
    for word, write in WRITES.items():
        with database.atomic() if lock is None else database.atomic(lock):
            with pytest.raises(InvalidRequest) as refused:
                write(store, run)
            assert (refused.value.field, word) == ("transaction", word)
            application.order()
    assert everything(store) == before
    assert application.orders() == len(WRITES)


def test_an_immediate_block_inside_a_deferred_one_holds_no_write_lock_and_is_refused(application: Application) -> None:
    database, store = application
    with database.atomic(), database.atomic("IMMEDIATE"), pytest.raises(InvalidRequest):
        submitted(store)
    assert list(store.iterate("all")) == []


def test_reading_inside_a_deferred_transaction_is_fine(application: Application) -> None:
    database, store = application
    run = running(store)
    with database.atomic():
        assert store.get(run) == run.job
        assert len(store.list().jobs) == 1
        assert store.counts()[State.RUNNING] == 1
        assert store.audit().ok


def test_closing_the_store_leaves_the_database_of_the_caller_open(application: Application) -> None:
    application.store.close()
    with pytest.raises(jobstate.StoreClosed):
        application.store.get(1)
    application.order()
    assert application.orders() == 1


def test_stores_with_different_prefixes_do_not_see_each_other(application: Application) -> None:
    with jobstate.open(application.database, table_prefix="other_", clock=ManualClock()) as other:
        job = submitted(application.store, key="k")
        assert list(other.iterate("all")) == []
        assert not other.submit("extract", key="k").deduplicated
        application.store.stop(job, mode="force")
        assert application.store.delete(job)
        assert len(list(other.iterate("all"))) == 1
        assert other.audit().ok
        assert application.store.audit().ok


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
