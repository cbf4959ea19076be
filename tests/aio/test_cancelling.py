"""A task may be cancelled at any await: its job is handed back, or ended as it should have, and nothing is left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from jobstate import Job, JobStore, State, StoreReadOnly, aio
from jobstate.aio.thread_pools import WRITE_THREADS
from jobstate.worker.report_buffers import ReportBuffers
from jobstate.worker.run import control_of
from tests.aio.cancelling import WAYS, Suspended, cancelled_everywhere
from tests.aio.conftest import LOOPS, RunMain, threads

Scene = Callable[[aio.AsyncJobStore], Coroutine[Any, Any, None]]


async def work(run: aio.AsyncRun) -> None:
    run.add_range("blocks", 1, 2)
    await run.checkpoint(state=1)
    await asyncio.sleep(0)
    await run.heartbeat()
    point = await run.begin_checkpoint(location="here")
    await asyncio.sleep(0.001)
    await run.complete_checkpoint(point, state=2)
    await run.flush()


async def by_claim(jobs: aio.AsyncJobStore) -> None:
    for run in await jobs.claim("w1"):
        async with run:
            await work(run)


async def by_claim_and_complete(jobs: aio.AsyncJobStore) -> None:
    for run in await jobs.claim("w1"):
        async with run:
            await work(run)
            await run.complete()


async def by_iteration(jobs: aio.AsyncJobStore) -> None:
    async with jobs.worker("w1", until_idle=True) as worker:
        async for run in worker:
            async with run:
                await work(run)


async def by_serving(jobs: aio.AsyncJobStore) -> None:
    await jobs.worker("w1", until_idle=True).serve({"extract": work}, concurrency=2)


async def in_a_batch(jobs: aio.AsyncJobStore) -> None:
    async with jobs.batch():
        for run in await jobs.claim("w1"):
            async with run:
                await work(run)


async def claimed_before_a_batch(jobs: aio.AsyncJobStore) -> None:
    for run in await jobs.claim("w1"):
        async with run, jobs.batch():
            await work(run)


def check_after(store: JobStore, *, cancelled: bool) -> None:
    """No job is held, and no attempt was charged; without a cancellation, all jobs are completed."""
    jobs: list[Job] = list(store.iterate("all"))
    assert jobs
    for job in jobs:
        expected = {State.SCHEDULED, State.COMPLETED} if cancelled else {State.COMPLETED}
        assert job.state in expected, store.events(job)
        assert (job.failures, job.worker_id) == (0, None)
    assert store.audit().findings == ()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    "scene", [by_claim, by_claim_and_complete, by_iteration, by_serving, in_a_batch, claimed_before_a_batch]
)
def test_a_task_that_is_cancelled_anywhere_hands_its_job_back(
    path: Path, store: JobStore, scene: Scene, way: Suspended
) -> None:
    async def attempt() -> None:
        async with aio.open(path, durability="normal") as jobs:
            await scene(jobs)

    def check(cancelled: bool) -> None:
        check_after(store, cancelled=cancelled)
        assert threads() == set()
        store.prune()
        if not store.list().jobs:
            store.submit("extract")

    async def main() -> int:
        store.submit("extract")
        return await cancelled_everywhere(attempt, way, check)

    assert asyncio.run(main()) >= 6


@pytest.mark.parametrize("kind", ["uvloop", "anyio"])
def test_a_cancelled_task_on_other_loops_hands_its_job_back(path: Path, store: JobStore, kind: str) -> None:
    async def attempt() -> None:
        async with aio.open(path, durability="normal") as jobs:
            await by_iteration(jobs)

    def check(cancelled: bool) -> None:
        check_after(store, cancelled=cancelled)
        store.prune()
        if not store.list().jobs:
            store.submit("extract")

    async def main() -> int:
        store.submit("extract")
        return await cancelled_everywhere(attempt, WAYS["soon"], check)

    assert LOOPS[kind](main) >= 6


def test_a_task_that_a_scope_of_anyio_cancels_again_and_again_hands_its_job_back(path: Path, store: JobStore) -> None:
    """From before the first await to beyond the last one; the scope swallows its cancellation, and the task goes on."""
    store.submit("extract")

    async def main() -> None:
        delay, through = 0.0, False
        while not through:
            with anyio.move_on_after(delay) as scope:
                async with aio.open(path, durability="normal") as jobs:
                    await by_claim(jobs)
                through = True
            check_after(store, cancelled=scope.cancelled_caught)
            assert threads() == set()
            await anyio.sleep(0)
            store.prune()
            if not through and not store.list().jobs:
                store.submit("extract")
            delay = delay * 1.3 + 0.0005

    anyio.run(main)


def test_a_nursery_of_anyio_that_fails_hands_back(path: Path, store: JobStore) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:

            async def works() -> None:
                async with jobs.worker("w1") as worker:
                    async for run in worker:
                        async with run:
                            await anyio.sleep(600)

            with pytest.raises(ExceptionGroup):
                async with anyio.create_task_group() as group:
                    group.start_soon(works)
                    await jobs.wait(1, until="running")
                    raise ConnectionError("away")

    anyio.run(main)
    check_after(store, cancelled=True)


@pytest.mark.parametrize("verb", ["complete", "fail", "checkpoint"])
def test_a_verb_that_is_cancelled_midway_is_completed(
    path: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch, run: RunMain, verb: str
) -> None:
    """Its result is known, and the block does not undo it."""
    store.submit("extract", max_attempts=1)
    midway, go_on = threading.Event(), threading.Event()

    async def main() -> None:
        async with aio.over(store) as jobs:
            (claimed,) = await jobs.claim("w1")
            written = ReportBuffers.written

            def slow(reports: ReportBuffers, taken: Any) -> None:
                midway.set()
                go_on.wait(30)
                written(reports, taken)

            async def work() -> None:
                async with claimed:
                    claimed.add_range("blocks", 1, 2)  # a run without reports has no `ReportBuffers`
                    monkeypatch.setattr(ReportBuffers, "written", slow)
                    verbs: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
                        "complete": claimed.complete,
                        "fail": lambda: claimed.fail("no"),
                        "checkpoint": lambda: claimed.checkpoint(state="here"),
                    }
                    await verbs[verb]()
                    raise AssertionError

            task = asyncio.create_task(work())
            while not midway.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
            go_on.set()
            await asyncio.wait({task})
            assert task.cancelled()

    run(main)
    expected = {"complete": State.COMPLETED, "fail": State.FAILED, "checkpoint": State.SCHEDULED}
    assert store.get(1).state is expected[verb]
    assert [point.state for point in store.checkpoints(1)] == (["here"] if verb == "checkpoint" else [])


@pytest.mark.parametrize("works", [True, False])
def test_the_end_of_a_block_is_written_also_when_its_task_is_cancelled_before_that_began(
    path: Path, store: JobStore, works: bool
) -> None:
    """All threads are busy; the block ends, is cancelled while it waits for one, and has been settled all the same."""
    store.submit("extract")
    go_on = threading.Event()

    async def main() -> None:
        async with aio.open(path) as jobs:
            (claimed,) = await jobs.claim("w1")
            busy = [asyncio.create_task(jobs.call(lambda _: go_on.wait(30))) for _ in range(WRITE_THREADS)]

            async def work() -> None:
                async with claimed:
                    if not works:
                        await asyncio.sleep(600)

            task = asyncio.create_task(work())
            for _ in range(2):
                await asyncio.sleep(0.01)
                task.cancel()
            go_on.set()
            await asyncio.wait({task, *busy})
            assert task.cancelled()
            assert (await jobs.get(claimed)).state is (State.COMPLETED if works else State.SCHEDULED)

    asyncio.run(main())


def test_a_job_that_cannot_be_handed_back_does_not_stop_the_cancellation(
    path: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its lease runs out. What was waited for goes on to hear of its own cancellation."""
    store.submit("extract")

    async def main() -> None:
        async with aio.over(store) as jobs:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    (claimed,) = await jobs.claim("w1", lease=600)
                    async with claimed:
                        monkeypatch.setattr(control_of(claimed.sync), "release", _full)
                        await asyncio.sleep(600)

    asyncio.run(main())
    assert "could not be handed back; its lease will run out" in caplog.text


def _full(_delay_us: int = 0) -> None:
    raise StoreReadOnly("jobs.db", "no more")


@pytest.mark.parametrize("verb", ["audit", "backup"])
def test_a_cancelled_long_call_stops_early(path: Path, store: JobStore, verb: str) -> None:
    store.submit_many({"kind": "extract", "descriptor": {"text": "x" * 5000}} for _ in range(3000))
    reports: list[int] = []

    async def main() -> None:
        async with aio.open(path) as jobs:
            begun = asyncio.Event()
            loop = asyncio.get_running_loop()

            def progress(done: int, total: int) -> None:
                reports.append(total - done)
                loop.call_soon_threadsafe(begun.set)
                threading.Event().wait(0.02)

            long: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
                "audit": lambda: jobs.audit(progress=progress),
                "backup": lambda: jobs.backup(path.with_name("copy.db"), progress=progress),
            }
            task = asyncio.create_task(long[verb]())
            await begun.wait()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

    asyncio.run(main())
    assert reports[-1] > 0
    assert not path.with_name("copy.db").exists()
