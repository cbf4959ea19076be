"""Many awaited calls, one commit; other tasks neither join it nor are held up by it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import peewee
import pytest

from jobstate import InvalidRequest, JobStore, State, StoreBusy, aio
from tests.aio.conftest import RunMain


class Refused(Exception):
    """An error of the caller."""


def kinds(store: JobStore) -> set[str]:
    return {job.kind for job in store.iterate("all")}


def test_calls_within_are_committed_together(path: Path, store: JobStore, run: RunMain) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            async with jobs.batch():
                await jobs.submit("first")
                job = await jobs.submit("second")
                assert (await jobs.get(job)).state is State.SCHEDULED
                assert len((await jobs.list()).jobs) == 2
                assert kinds(store) == set()
            assert kinds(store) == {"first", "second"}

    run(main)


def test_an_error_undoes_the_whole_batch(path: Path, store: JobStore, run: RunMain) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            with pytest.raises(Refused):
                async with jobs.batch():
                    await jobs.submit("first")
                    raise Refused
            await jobs.submit("later")

    run(main)
    assert kinds(store) == {"later"}


def test_a_cancellation_undoes_the_whole_batch(path: Path, store: JobStore, run: RunMain) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), jobs.batch():
                    await jobs.submit("first")
                    await asyncio.sleep(60)
            await jobs.submit("later")

    run(main)
    assert kinds(store) == {"later"}


def test_other_tasks_neither_see_nor_join_it(path: Path, store: JobStore) -> None:
    begun, seen = asyncio.Event(), asyncio.Event()

    async def main() -> None:
        async with aio.open(path) as jobs:

            async def other() -> None:
                await begun.wait()
                assert (await jobs.list()).jobs == []
                seen.set()
                await jobs.submit("other")

            beside = asyncio.create_task(other())
            with pytest.raises(Refused):
                async with jobs.batch():
                    await jobs.submit("first")
                    begun.set()
                    await seen.wait()
                    await asyncio.sleep(0.01)
                    assert not beside.done(), "there is one write lock, and the batch has it"
                    raise Refused
            await beside

    asyncio.run(main())
    assert kinds(store) == {"other"}


def test_a_writer_outside_the_batch_is_refused_after_its_timeout(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path, timeout=0.05) as jobs:
            beside = asyncio.Event()

            async def other() -> None:
                await beside.wait()
                with pytest.raises(StoreBusy):
                    await jobs.submit("other")

            task = asyncio.create_task(other())
            async with jobs.batch():
                beside.set()
                await task

    asyncio.run(main())


def test_tasks_that_start_within_belong_to_the_batch_until_it_ends(path: Path, store: JobStore) -> None:
    over = asyncio.Event()

    async def main() -> None:
        async with aio.open(path) as jobs:

            async def late() -> None:
                await over.wait()
                await jobs.submit("late")

            with pytest.raises(Refused):
                async with jobs.batch():
                    await asyncio.gather(*(jobs.submit("within") for _ in range(10)))
                    assert len((await jobs.list()).jobs) == 10
                    straggler = asyncio.create_task(late())
                    raise Refused
            over.set()
            await straggler

    asyncio.run(main())
    assert kinds(store) == {"late"}


def test_a_batch_within_a_batch_is_undone_alone(path: Path, store: JobStore) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs, jobs.batch():
            await jobs.submit("outer")
            with pytest.raises(Refused):
                async with jobs.batch():
                    await jobs.submit("inner")
                    raise Refused
            async with jobs.batch():
                await jobs.submit("other inner")
            await jobs.submit("outer again")

    asyncio.run(main())
    assert kinds(store) == {"outer", "other inner", "outer again"}


def test_batches_of_several_tasks_within_a_batch_come_one_by_one(path: Path, store: JobStore) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:

            async def inner(number: int) -> None:
                try:
                    async with jobs.batch():
                        await jobs.submit(f"inner {number}")
                        await asyncio.sleep(0.001)
                        if number % 2:
                            raise Refused
                except Refused:
                    pass

            async with jobs.batch():
                await asyncio.gather(*(inner(number) for number in range(6)), jobs.submit("outer"))

    asyncio.run(main())
    assert kinds(store) == {"outer", "inner 0", "inner 2", "inner 4"}


def test_batches_of_several_tasks_take_turns(path: Path, store: JobStore) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:

            async def one(number: int) -> None:
                async with jobs.batch():
                    await jobs.submit(f"{number} a")
                    await asyncio.sleep(0.001)
                    await jobs.submit(f"{number} b")

            await asyncio.gather(*(one(number) for number in range(12)))

    asyncio.run(main())
    assert len(kinds(store)) == 24


def test_batches_of_two_stores_are_independent(path: Path, store: JobStore, tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs, aio.open(tmp_path / "other.db") as others:
            with pytest.raises(Refused):
                async with jobs.batch():
                    await others.submit("kept")
                    assert await others.call(_thread) != await jobs.call(_thread)
                    async with others.batch():
                        await jobs.submit("undone")
                        await others.submit("kept too")
                    raise Refused
            assert {job.kind for job in (await others.list()).jobs} == {"kept", "kept too"}

    asyncio.run(main())
    assert kinds(store) == set()


def _thread(_: JobStore) -> int:
    return threading.get_ident()


def test_a_run_that_ended_within_a_batch_that_is_undone_is_handed_back(path: Path, store: JobStore) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            (run,) = await jobs.claim("w1")
            with pytest.raises(Refused):
                async with jobs.batch():
                    async with run:
                        run.add_range("blocks", 1, 2)
                    assert (await jobs.get(run)).state is State.COMPLETED
                    raise Refused

    asyncio.run(main())
    assert (store.get(1).state, store.get(1).failures) == (State.SCHEDULED, 0)
    assert store.audit().findings == ()


def test_a_store_cannot_be_closed_within_a_batch(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs, jobs.batch():
            with pytest.raises(InvalidRequest, match="batch: is open"):
                await jobs.close()

    asyncio.run(main())


def test_statements_of_the_caller_in_his_own_database_are_part_of_the_batch(path: Path) -> None:
    database = peewee.SqliteDatabase(str(path), pragmas={"journal_mode": "wal"})
    database.execute_sql("CREATE TABLE orders (number INTEGER)")

    def order(_: JobStore, number: int) -> None:
        database.execute_sql("INSERT INTO orders VALUES (?)", (number,))

    async def main() -> None:
        async with aio.open(database) as jobs:
            async with jobs.batch():
                await jobs.call(order, 1)
                await jobs.submit("send", {"order": 1})
            with pytest.raises(Refused):
                async with jobs.batch():
                    await jobs.call(order, 2)
                    await jobs.submit("send", {"order": 2})
                    raise Refused
            assert len((await jobs.list()).jobs) == 1

    asyncio.run(main())
    assert database.execute_sql("SELECT number FROM orders").fetchall() == [(1,)]
    database.close()
