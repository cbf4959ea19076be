"""The loop never waits for the store, a read never waits for a writer, and nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import jobstate
from jobstate import InvalidRequest, JobStore, State, StoreBusy, StoreClosed, StoreForked, StoreUnavailable, aio
from jobstate.aio.thread_pools import READ_THREADS, WRITE_THREADS
from tests.aio.conftest import RunMain, connections, threads


def test_a_program_that_opens_works_and_closes(path: Path, run: RunMain) -> None:
    async def main() -> State:
        async with aio.open(path, actor="cli:ana", durability="normal") as jobs:
            job = await jobs.submit("extract", {"dataset": "eth/mainnet"})
            (claimed,) = await jobs.claim("w1")
            await claimed.complete()
            assert (await jobs.events(job))[0].actor == "cli:ana"
            assert (await jobs.acting("nightly").submit("x")).id == 2
            assert [event.actor for event in await jobs.events(2)] == ["nightly"]
            version = await jobs.call(lambda store: store.schema_version)
            assert (jobs.path, await jobs.schema_version()) == (str(path), version)
            return (await jobs.get(job)).state

    before = connections()
    assert run(main) is State.COMPLETED
    assert (threads(), connections()) == (set(), before)


def test_a_store_may_be_opened_without_a_block(path: Path) -> None:
    async def main() -> None:
        jobs = await aio.open(path)
        await jobs.submit("extract")
        await jobs.close()
        await jobs.close()
        with pytest.raises(StoreClosed):
            await jobs.submit("extract")

    asyncio.run(main())


def test_what_cannot_be_opened_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(StoreUnavailable):
            async with aio.open(tmp_path / "none" / "jobs.db"):
                pass
        with pytest.raises(InvalidRequest):
            await aio.open(tmp_path / "jobs.db", keep_logs=0)
        assert threads() == set()

    asyncio.run(main())


@pytest.mark.parametrize("target", [":memory:", "jobs.db"])
def test_the_awaited_side_of_an_open_store_leaves_it_open(tmp_path: Path, target: str) -> None:
    async def main(store: JobStore) -> None:
        async with aio.over(store) as jobs:
            assert jobs.sync is store
            job = await jobs.submit("extract")
            assert store.get(job) == await jobs.get(job)
        with pytest.raises(StoreClosed):
            await jobs.get(job)
        assert threads() == set()
        assert store.get(job) == job

    with jobstate.open(target if target == ":memory:" else tmp_path / target) as store:
        asyncio.run(main(store))


def locked(path: Path) -> Any:
    """Another connection holds the write lock."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)


def test_the_loop_runs_and_reads_return_while_the_store_is_locked(path: Path, store: JobStore, run: RunMain) -> None:
    job = store.submit("extract")

    async def main() -> None:
        async with aio.open(path, timeout=60) as jobs:
            with locked(path):
                changes = [asyncio.create_task(jobs.submit("extract")) for _ in range(2 * WRITE_THREADS)]
                for _ in range(20):
                    await asyncio.sleep(0.005)
                    assert (await jobs.get(job)).state is State.SCHEDULED
                assert len((await jobs.list()).jobs) == 1
                assert not any(change.done() for change in changes)
            await asyncio.gather(*changes)
            assert len((await jobs.list()).jobs) == 1 + 2 * WRITE_THREADS

    run(main)


def test_a_store_that_stays_locked_is_busy(path: Path, store: JobStore) -> None:
    async def main() -> None:
        async with aio.open(path, timeout=0.1) as jobs:
            with locked(path), pytest.raises(StoreBusy):
                await jobs.submit("extract")

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_a_thread_started_it_is_not_made(path: Path, store: JobStore) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            with locked(path):
                first = [asyncio.create_task(jobs.submit("extract")) for _ in range(WRITE_THREADS)]
                await asyncio.sleep(0.05)
                waits = asyncio.create_task(jobs.submit("never"))
                await asyncio.sleep(0.05)
                waits.cancel()
                await asyncio.wait({waits})
                assert waits.cancelled()
            await asyncio.gather(*first)
            assert {job.kind for job in (await jobs.list()).jobs} == {"extract"}

    asyncio.run(main())


def test_a_cancelled_call_waits_for_no_other_writer_and_changes_nothing(
    path: Path, store: JobStore, run: RunMain
) -> None:
    async def main() -> None:
        async with aio.open(path, timeout=60) as jobs:
            with locked(path):
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await jobs.submit("extract")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1), jobs.batch():
                        await jobs.submit("extract")
                assert time.monotonic() - began < 10
            assert (await jobs.list()).jobs == []

    run(main)


def test_a_call_that_has_started_is_completed_and_its_result_known(path: Path) -> None:
    """The task is cancelled while the thread runs the call; the cancellation is raised when the thread is done."""
    in_the_middle, go_on = threading.Event(), threading.Event()

    def slow(store: JobStore) -> int:
        in_the_middle.set()
        go_on.wait(30)
        return store.submit("extract").id

    async def main() -> None:
        async with aio.open(path) as jobs:
            task = asyncio.create_task(jobs.call(slow))
            while not in_the_middle.is_set():
                await asyncio.sleep(0.001)
            for _ in range(3):
                task.cancel()
                await asyncio.sleep(0.01)
            assert not task.done()
            go_on.set()
            await asyncio.wait({task})
            assert task.cancelled()
            assert len((await jobs.list()).jobs) == 1

    asyncio.run(main())


def test_an_error_of_a_cancelled_call_is_the_cause_of_the_cancellation(path: Path) -> None:
    in_the_middle = threading.Event()

    def failing(_: JobStore) -> None:
        in_the_middle.set()
        time.sleep(0.05)
        raise ValueError("no")

    async def main() -> None:
        async with aio.open(path) as jobs:
            task = asyncio.create_task(jobs.call(failing))
            while not in_the_middle.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            assert isinstance(cancelled.value.__cause__, ValueError)

    asyncio.run(main())


def test_each_pool_has_at_most_its_number_of_threads(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            await asyncio.gather(*(jobs.submit("extract") for _ in range(50)), *(jobs.counts() for _ in range(50)))
            assert 2 <= len(threads()) <= READ_THREADS + WRITE_THREADS
            assert len((await jobs.list()).jobs) == 50

    asyncio.run(main())


def test_calls_one_by_one_need_one_thread_of_each_pool(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            for _ in range(20):
                await jobs.submit("extract")
                await jobs.counts()
            assert threads() == {"jobstate-aio-write-1", "jobstate-aio-read-1"}

    asyncio.run(main())


def test_closing_hands_back_claimed_jobs_that_are_not_settled(path: Path, store: JobStore) -> None:
    for _ in range(3):
        store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            first, *_ = await jobs.claim("w1", limit=3)
            await first.complete()

    asyncio.run(main())
    assert [job.state for job in store.iterate("all")] == [State.SCHEDULED, State.SCHEDULED, State.COMPLETED]
    assert {job.failures for job in store.iterate("all")} == {0}


def test_a_loop_that_is_closed_before_a_claim_returns_leaves_no_job_held(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    """A program that closes a loop with pending tasks; `asyncio.run` cancels them first."""
    began, go_on = threading.Event(), threading.Event()
    store.submit("extract")
    jobs = aio.over(store)
    claim = store.repository.leases.claim

    def slow(*given: Any) -> Any:
        began.set()
        go_on.wait(30)
        return claim(*given)

    store.repository.leases.claim = slow  # type: ignore[assignment]
    loop = asyncio.new_event_loop()
    pending: Coroutine[Any, Any, Any] = jobs.claim("w1")
    task = loop.create_task(pending)
    loop.run_until_complete(asyncio.sleep(0.05))
    assert began.wait(30)
    with caplog.at_level(logging.CRITICAL, "asyncio"):
        loop.close()
        go_on.set()
        asyncio.run(jobs.close())
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        del task
    assert store.get(1).state is State.SCHEDULED
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        pending.throw(RuntimeError("Event loop is closed"))


def test_without_a_loop_of_asyncio_the_error_says_what_to_use(store: JobStore) -> None:
    """Drives a coroutine without asyncio, as trio does."""
    jobs = aio.over(store)
    attempts: list[Coroutine[Any, Any, object]] = [
        jobs.get(1),
        jobs.wait(1),
        anext(jobs.watch()),
        jobs.claim("w1"),
        jobs.worker("w1").serve({"extract": print}),
        jobs.batch().__aenter__(),
        jobs.close(),
        aio.open(":memory:").__aenter__(),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidRequest, match="anyio with its backend asyncio"):
            attempt.send(None)
    asyncio.run(jobs.close())


def _in_a_child(jobs: aio.AsyncJobStore, answer: Any) -> None:
    async def main() -> None:
        try:
            await jobs.counts()
        except StoreForked as error:
            answer.put(str(error))

    asyncio.run(main())


def test_a_forked_child_gets_an_error_that_says_to_open_the_store_again(store: JobStore) -> None:
    forking = multiprocessing.get_context("fork")
    answer = forking.SimpleQueue()
    jobs = aio.over(store)
    asyncio.run(jobs.counts())
    child = forking.Process(target=_in_a_child, args=(jobs, answer))
    child.start()
    child.join(10)
    child.kill()
    assert child.exitcode == 0
    assert "open the store in the child process" in answer.get()
    asyncio.run(jobs.close())


def test_a_function_may_make_several_calls_on_one_thread(path: Path) -> None:
    def both(store: JobStore, kind: str, *, times: int) -> list[int]:
        return [store.submit(kind).id for _ in range(times)]

    async def main() -> None:
        async with aio.open(path) as jobs:
            assert await jobs.call(both, "extract", times=2) == [1, 2]

    asyncio.run(main())
