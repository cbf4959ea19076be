"""Workers on an event loop: iteration, handlers, stops, shutdown, and what a handler sees."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from jobstate import (
    Fatal,
    InvalidRequest,
    JobStopping,
    JobStore,
    LeaseLost,
    Observer,
    Run,
    RunHandler,
    State,
    Transition,
    aio,
)
from jobstate.domain.job import row_of
from tests.aio.conftest import RunMain


@asynccontextmanager
async def serving(worker: aio.AsyncWorker, handlers: Any, concurrency: int = 1) -> AsyncIterator[asyncio.Task[None]]:
    """The worker serves beside the block, and is shut down after it."""
    task = asyncio.create_task(worker.serve(handlers, concurrency))
    try:
        yield task
    finally:
        worker.shut_down()
        await task


def test_jobs_are_claimed_one_after_the_other(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))

    async def main() -> list[int]:
        seen = []
        async with aio.open(path) as jobs, jobs.worker("w1", until_idle=True) as worker:
            assert [info.node_id for info in await jobs.workers()] == ["w1"]
            async for claimed in worker:
                async with claimed:
                    assert claimed.job.worker_id == "w1"
                    seen.append(claimed.id)
        return seen

    assert run(main) == [1, 2, 3]
    assert {job.state for job in store.iterate("all")} == {State.COMPLETED}
    assert store.workers() == []


def test_a_run_that_the_loop_leaves_is_handed_back(
    path: Path, store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.submit("extract")
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs, jobs.worker("w1", until_idle=True) as worker:
            async for claimed in worker:
                if claimed.job.attempt == 2:
                    break

    asyncio.run(main())
    assert {(job.state, job.failures) for job in store.iterate("all")} == {(State.SCHEDULED, 0)}
    assert "use `async with run:`" in caplog.text


def test_handlers_that_are_awaited_run_side_by_side_on_the_loop(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit_many({"kind": "extract"} for _ in range(4))
    main_thread = threading.current_thread()

    async def main() -> None:
        together = asyncio.Barrier(4)

        async def extract(claimed: aio.AsyncRun) -> None:
            assert threading.current_thread() is main_thread
            await together.wait()
            await claimed.checkpoint(state=claimed.id)

        async with aio.open(path) as jobs:
            await jobs.worker("w1", until_idle=True).serve({"extract": extract}, concurrency=4)

    run(main)
    assert {job.state for job in store.iterate("all")} == {State.COMPLETED}
    assert all(store.checkpoints(job)[0].state == job.id for job in store.iterate("all"))


def test_plain_handlers_run_on_threads_with_the_context_of_the_task(path: Path, store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))
    seen = contextvars.ContextVar("seen", default="")

    async def main() -> None:
        together = threading.Barrier(3)

        def extract(claimed: Run) -> None:
            assert threading.current_thread() is not threading.main_thread()
            assert isinstance(claimed, Run)
            assert seen.get() == "here"
            together.wait(30)
            claimed.add_range("blocks", 1, 2)

        async with aio.open(path) as jobs:
            seen.set("here")
            await jobs.worker("w1", until_idle=True).serve({"extract": extract}, concurrency=3)

    asyncio.run(main())
    assert {job.state for job in store.iterate("all")} == {State.COMPLETED}


def test_how_a_handler_ends_decides_what_becomes_of_the_job(path: Path, store: JobStore, run: RunMain) -> None:
    class Called:
        async def __call__(self, claimed: aio.AsyncRun) -> None:
            claimed.log.info("called")

    async def fails(claimed: aio.AsyncRun) -> None:
        raise ConnectionError("away")

    async def fatal(claimed: aio.AsyncRun) -> None:
        raise Fatal("never")

    async def exits(claimed: aio.AsyncRun) -> None:
        raise SystemExit(3)

    async def awaits_cancelled(claimed: aio.AsyncRun) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    def forgets(claimed: Run) -> object:
        return asyncio.sleep(0)

    handlers: dict[str, Any] = {
        "called": Called(), "fails": fails, "fatal": fatal, "exits": exits, "awaits": awaits_cancelled,
        "forgets": forgets,
    }  # fmt: skip
    for kind in handlers:
        store.submit(kind, max_attempts=1)

    async def main() -> None:
        async with aio.open(path) as jobs:
            await jobs.worker("w1", until_idle=True).serve(handlers, concurrency=2)

    run(main)
    ended = {job.kind: (job.state, job.failure and job.failure.message) for job in store.iterate("all")}
    assert ended["called"] == (State.COMPLETED, None)
    assert ended["fails"] == (State.FAILED, "away")
    assert ended["fatal"] == (State.FAILED, "never")
    assert ended["exits"] == (State.FAILED, "the handler called sys.exit(3)")
    assert ended["awaits"] == (State.FAILED, "the handler awaited something that was cancelled, and let that pass")
    assert ended["forgets"] == (
        State.FAILED,
        "the handler returned an awaitable, which nobody awaits; make it an `async def`",
    )


def test_generators_are_no_handlers(path: Path) -> None:
    async def many(claimed: aio.AsyncRun) -> AsyncIterator[int]:
        yield 1

    async def main() -> None:
        async with aio.open(path) as jobs:
            for handlers in ({"extract": many}, {"extract": 5}, {}):
                with pytest.raises(InvalidRequest, match="handlers"):
                    await jobs.worker("w1").serve(handlers)  # type: ignore[arg-type]
            with pytest.raises(InvalidRequest, match="async with"):
                await anext(jobs.worker("w1"))
            async with jobs.worker("w1") as worker:
                with pytest.raises(InvalidRequest, match="at work already"):
                    await worker.__aenter__()

    asyncio.run(main())


def test_a_worker_without_a_loop_says_who_serves_async_handlers(store: JobStore) -> None:
    async def extract(claimed: aio.AsyncRun) -> None:
        pass

    with pytest.raises(InvalidRequest, match=r"jobstate\.aio serves async ones"):
        store.worker("w1").serve({"extract": extract})  # type: ignore[dict-item]


def test_a_stop_is_awaited_and_ends_the_job_as_stopped(path: Path, store: JobStore, run: RunMain) -> None:
    job = store.submit("extract")

    async def main() -> None:
        async def extract(claimed: aio.AsyncRun) -> None:
            assert not claimed.stopping
            await claimed.until_stopping()
            assert claimed.stop is not None
            assert claimed.stop.reason == "wrong input"
            await claimed.checkpoint(state="last")
            claimed.raise_if_stopping()

        async with aio.open(path) as jobs, serving(jobs.worker("w1"), {"extract": extract}):
            await jobs.wait(job, until="running")
            await jobs.stop(job, reason="wrong input")
            ended = await jobs.wait(job)
            assert (ended.state, row_of(ended).stop_outcome) == (State.STOPPED, "checkpointed")

    run(main)


def test_what_is_awaited_is_cancelled_by_a_stop(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit("sleeps")
    store.submit("returns")
    store.submit("fails")
    ended = []

    async def main() -> None:
        async def sleeps(claimed: aio.AsyncRun) -> None:
            assert await claimed.unless_stopping(asyncio.sleep(0.001, "slept")) == "slept"
            try:
                await claimed.unless_stopping(asyncio.sleep(600))
            except JobStopping as stopping:
                ended.append(stopping.mode)
                raise

        async def returns(claimed: aio.AsyncRun) -> None:
            async def stubborn() -> str:
                try:
                    await asyncio.sleep(600)
                except asyncio.CancelledError:
                    return "done anyway"
                raise AssertionError

            assert await claimed.unless_stopping(stubborn()) == "done anyway"

        async def fails(claimed: aio.AsyncRun) -> None:
            async def failing() -> None:
                try:
                    await asyncio.sleep(600)
                finally:
                    raise ValueError("while ending")

            await claimed.unless_stopping(failing())

        handlers = {"sleeps": sleeps, "returns": returns, "fails": fails}
        async with aio.open(path) as jobs, serving(jobs.worker("w1"), handlers, 3):
            for number in (1, 2, 3):
                await jobs.wait(number, until="running")
                await jobs.stop(number)
                await jobs.wait(number)

    run(main)
    assert ended == ["checkpoint"]
    assert [store.get(number).state for number in (1, 2, 3)] == [State.STOPPED] * 3
    failures = [store.get(number).failure for number in (1, 2, 3)]
    assert failures[:2] == [None, None]
    assert failures[2] is not None
    assert failures[2].message == "while ending"


def test_a_lost_lease_is_awaited_too(path: Path, store: JobStore, run: RunMain) -> None:
    """Also where no heart beats: the clock says so."""
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            (claimed,) = await jobs.claim("w1", lease=0.1)
            await claimed.until_stopping()
            assert claimed.lost
            with pytest.raises(LeaseLost):
                await claimed.unless_stopping(asyncio.sleep(600))

    run(main)


def test_nobody_waits_for_the_stop_of_a_run_that_has_ended(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            (claimed,) = await jobs.claim("w1", lease=600)
            waiting = asyncio.create_task(claimed.until_stopping())
            async with claimed:
                await asyncio.sleep(0.01)
                assert not waiting.done()
            await waiting
            assert claimed.settled
            assert not claimed.stopping

    run(main)


def test_a_handler_that_cancels_itself_is_handed_back_and_the_worker_goes_on(
    path: Path, store: JobStore, run: RunMain
) -> None:
    store.submit("extract")

    async def main() -> None:
        async def extract(claimed: aio.AsyncRun) -> None:
            if claimed.job.attempt == 1:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            await asyncio.sleep(0.01)

        async with aio.open(path) as jobs:
            await jobs.worker("w1", until_idle=True).serve({"extract": extract})

    run(main)
    job = store.get(1)
    assert (job.state, job.attempt, job.failures) == (State.COMPLETED, 2, 0)


def test_a_shutdown_asks_handlers_to_end_and_hands_back(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))

    async def main() -> None:
        at_work = asyncio.Semaphore(0)

        async def extract(claimed: aio.AsyncRun) -> None:
            at_work.release()
            await claimed.unless_stopping(asyncio.sleep(600))

        async with aio.open(path) as jobs, serving(jobs.worker("w1"), {"extract": extract}, 2):
            for _ in range(2):
                await at_work.acquire()

    run(main)
    assert [(job.state, job.failures) for job in store.iterate("all")] == [(State.SCHEDULED, 0)] * 3
    assert sorted(job.attempt for job in store.iterate("all")) == [0, 1, 1]


@pytest.mark.parametrize("plain", [False, True])
def test_handlers_that_do_not_listen_are_handed_back_after_the_shutdown_timeout(
    path: Path, store: JobStore, plain: bool
) -> None:
    store.submit("extract")
    over = threading.Event()
    cancelled = []

    async def main() -> None:
        at_work = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def deaf(claimed: aio.AsyncRun) -> None:
            at_work.set()
            try:
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                cancelled.append(claimed.id)
                raise

        def deaf_on_a_thread(claimed: Run) -> None:
            loop.call_soon_threadsafe(at_work.set)
            over.wait(30)
            with pytest.raises(JobStopping):
                claimed.raise_if_stopping()
            cancelled.append(claimed.id)

        handler: Any = deaf_on_a_thread if plain else deaf
        async with aio.open(path) as jobs, serving(jobs.worker("w1", shutdown_timeout=0.1), {"extract": handler}):
            await at_work.wait()
        over.set()

    asyncio.run(main())
    for thread in threading.enumerate():
        if thread.name == "jobstate-1":
            thread.join(30)
    assert (store.get(1).state, store.get(1).failures) == (State.SCHEDULED, 0)
    assert cancelled == [1]


@pytest.mark.parametrize("plain", [False, True])
def test_a_cancelled_worker_hands_back_what_its_handlers_hold(
    path: Path, store: JobStore, run: RunMain, plain: bool
) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))

    async def main() -> None:
        at_work = asyncio.Semaphore(0)
        loop = asyncio.get_running_loop()

        async def extract(claimed: aio.AsyncRun) -> None:
            at_work.release()
            await asyncio.sleep(600)

        def extract_on_a_thread(claimed: Run) -> None:
            loop.call_soon_threadsafe(at_work.release)
            while True:
                claimed.raise_if_stopping()
                threading.Event().wait(0.005)

        handler: Any = extract_on_a_thread if plain else extract
        async with aio.open(path) as jobs:
            task = asyncio.create_task(jobs.worker("w1").serve({"extract": handler}, 3))
            for _ in range(3):
                await at_work.acquire()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
            assert {(job.state, job.failures) for job in (await jobs.list()).jobs} == {(State.SCHEDULED, 0)}
            assert await jobs.workers() == []

    run(main)


def test_a_failing_task_of_a_group_hands_back_the_others(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:

            async def works() -> None:
                async with jobs.worker("w1") as worker:
                    async for claimed in worker:
                        async with claimed:
                            await asyncio.sleep(600)

            async def fails() -> None:
                await jobs.wait(1, until="running")
                raise ConnectionError("away")

            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(works())
                    group.create_task(fails())

    run(main)
    assert (store.get(1).state, store.get(1).failures) == (State.SCHEDULED, 0)


def test_each_task_logs_to_its_own_job(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))
    logger = logging.getLogger("tests.aio.library")
    handler = RunHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    async def main() -> None:
        together = asyncio.Barrier(3)

        async def extract(claimed: aio.AsyncRun) -> None:
            for _ in range(2):
                await together.wait()
                logger.info("of job %d", claimed.id)

        async with aio.open(path) as jobs:
            await jobs.worker("w1", until_idle=True).serve({"extract": extract}, 3)
            logger.info("of no job")

    try:
        run(main)
    finally:
        logger.removeHandler(handler)
    for number in (1, 2, 3):
        assert [entry.message for entry in store.logs(number).entries] == [f"of job {number}"] * 2


def test_heartbeats_go_on_while_the_loop_is_held_up(path: Path, store: JobStore) -> None:
    """They are on a thread: a handler that computes for longer than its lease keeps it."""
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs, jobs.worker("w1", lease=0.3, until_idle=True) as worker:
            async for claimed in worker:
                async with claimed:
                    threading.Event().wait(0.9)

    asyncio.run(main())
    assert (store.get(1).state, store.get(1).attempt) == (State.COMPLETED, 1)


def test_a_worker_forgets_the_handlers_that_have_ended(path: Path, store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(20))
    tasks: list[weakref.ref[Any]] = []
    alive: list[int] = []

    async def main() -> None:
        async def extract(claimed: aio.AsyncRun) -> None:
            tasks.append(weakref.ref(asyncio.current_task()))
            gc.collect()
            alive.append(sum(task() is not None for task in tasks))

        async with aio.open(path) as jobs:
            await jobs.worker("w1", until_idle=True).serve({"extract": extract}, concurrency=5)

    gc.freeze()  # what other tests left need not be searched twenty times
    try:
        asyncio.run(main())
    finally:
        gc.unfreeze()
    assert len(alive) == 20
    assert max(alive) <= 10


def test_work_that_takes_its_time_to_be_cancelled_is_waited_for(path: Path, store: JobStore) -> None:
    """Also where a scope of anyio cancels at every turn of the loop."""
    store.submit("extract")
    ended = []

    async def main() -> None:
        async def slowly() -> None:
            try:
                await asyncio.sleep(600)
            finally:
                await asyncio.sleep(0.05)
                ended.append("work")

        async with aio.open(path) as jobs:
            (claimed,) = await jobs.claim("w1")
            with anyio.move_on_after(0.01):
                async with claimed:
                    try:
                        await claimed.unless_stopping(slowly())
                    finally:
                        ended.append("what waits for it")

    anyio.run(main)
    assert ended == ["work", "what waits for it"]
    assert store.get(1).state is State.SCHEDULED


def test_a_worker_may_be_used_again(path: Path, store: JobStore) -> None:
    async def main() -> None:
        async def extract(claimed: aio.AsyncRun) -> None:
            pass

        async with aio.open(path) as jobs:
            worker = jobs.worker("w1", until_idle=True)
            for _ in range(2):
                job = await jobs.submit("extract")
                await worker.serve({"extract": extract})
                assert (await jobs.get(job)).state is State.COMPLETED

    asyncio.run(main())


class _Slow(Observer):
    """Takes its time to handle each job that completed."""

    def __init__(self) -> None:
        self.events: list[int] = []

    def transition(self, transition: Transition) -> None:
        if transition.event.to_state is State.COMPLETED:
            time.sleep(0.6)
        self.events.append(transition.event.id)


async def _returns(_run: aio.AsyncRun) -> None:
    pass


@pytest.mark.parametrize("handler", [_returns, lambda _run: None], ids=["task", "thread"])
def test_serve_ends_after_the_last_end_was_written_and_reported(path: Path, store: JobStore, handler: Any) -> None:
    store.submit_many({"kind": "extract"} for _ in range(2))
    observer = _Slow()

    async def main() -> None:
        async with aio.open(path, observers=[observer]) as jobs:
            await jobs.worker("w1", until_idle=True).serve({"extract": handler}, 2)
            assert not [
                name for thread in threading.enumerate() if (name := thread.name) in {"jobstate-1", "jobstate-2"}
            ]

    asyncio.run(main())
    assert max(observer.events) == store.newest_event()
    assert [job.state for job in store.iterate("all")] == [State.COMPLETED] * 2


@pytest.mark.parametrize("plain", [False, True])
def test_an_idle_worker_ends_after_a_handler_that_completed_its_job_early(
    path: Path, store: JobStore, plain: bool
) -> None:
    ended = []

    async def main() -> None:
        async def handle(run: aio.AsyncRun) -> None:
            await run.complete()
            await asyncio.sleep(0.4)
            ended.append(run.id)

        def handle_on_a_thread(run: Run) -> None:
            run.complete()
            time.sleep(0.4)
            ended.append(run.id)

        handler: Any = handle_on_a_thread if plain else handle
        async with aio.open(path) as jobs:
            job = await jobs.submit("extract")
            await jobs.worker("w1", until_idle=True).serve({"extract": handler})
            assert ended == [job.id]

    asyncio.run(main())


def test_many_runs_are_completed_in_one_commit(path: Path, store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(3))

    async def main() -> None:
        async with aio.open(path) as jobs:
            runs = await jobs.claim("w1", limit=3)
            await jobs.stop(runs[1], mode="force")
            assert await jobs.complete_many(runs) == [runs[1]]
            assert await jobs.progress(runs[0]) == {}

    asyncio.run(main())
    assert [job.state for job in store.iterate("all")] == [State.COMPLETED, State.STOPPED, State.COMPLETED]
