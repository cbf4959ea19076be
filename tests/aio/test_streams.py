"""Streams and `wait`: they hold no thread, and a cancelled step loses nothing."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import aclosing
from pathlib import Path

import pytest

from jobstate import InvalidRequest, JobNotFound, JobStore, State, WaitTimeout, aio
from jobstate.aio import waiter
from jobstate.testing.clock import ManualClock
from tests.aio.conftest import RunMain, threads


def test_a_watch_yields_past_events_and_new_ones(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            seen = []
            async for event in jobs.watch():
                seen.append(str(event.to_state))
                if len(seen) == 1:
                    store.submit("extract")
                elif len(seen) == 2:
                    await jobs.stop(2, mode="force")
                else:
                    break
            assert seen == ["Scheduled", "Scheduled", "Stopped"]

    run(main)


def test_a_watch_ends_after_its_timeout_without_an_event(path: Path, store: JobStore) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            assert len([event async for event in jobs.watch(timeout=0.05)]) == 1
            assert [event async for event in jobs.watch(after=None, timeout=0)] == []

    asyncio.run(main())


def test_a_watch_of_new_events_begins_with_its_block(path: Path, store: JobStore) -> None:
    store.submit("before")

    async def main() -> None:
        async with aio.open(path) as jobs, jobs.watch(after=None) as events:
            job = await jobs.submit("after")
            assert (await anext(events)).job_id == job.id

    asyncio.run(main())


def test_a_step_that_is_cancelled_loses_nothing(path: Path, store: JobStore) -> None:
    for _ in range(3):
        store.submit("extract")

    async def main() -> list[int]:
        async with aio.open(path) as jobs:
            seen: list[int] = []
            events = jobs.watch()
            for delay in itertools.cycle((0, 0.0001, 0.0005, 0.001, 0.002)):
                try:
                    async with asyncio.timeout(delay):
                        seen.append((await anext(events)).id)
                except TimeoutError:
                    pass
                if len(seen) < 30:
                    store.submit("extract")
                else:
                    return seen
        raise AssertionError

    assert asyncio.run(main()) == list(range(1, 31))


def test_a_stream_that_is_left_holds_nothing(path: Path, store: JobStore) -> None:
    store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            async for _ in jobs.watch():
                break
            events = jobs.watch()
            async with aclosing(events):
                await anext(events)
            with pytest.raises(StopAsyncIteration):
                await anext(events)
            waits = asyncio.create_task(anext(jobs.watch(after=None)))
            await asyncio.sleep(0.05)
            waits.cancel()
            await asyncio.wait({waits})
            assert waits.cancelled()

    asyncio.run(main())


def test_one_stream_is_for_one_task_at_a_time(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            events = jobs.watch()
            first = asyncio.create_task(anext(events))
            await asyncio.sleep(0.01)
            with pytest.raises(InvalidRequest, match="open one for each"):
                await anext(events)
            await jobs.submit("extract")
            assert (await first).to_state is State.SCHEDULED

    asyncio.run(main())


def test_bad_arguments_are_refused_at_the_first_step(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path) as jobs:
            with pytest.raises(InvalidRequest, match="after"):
                await anext(jobs.watch(after=-1))
            with pytest.raises(JobNotFound):
                await anext(jobs.follow_logs(1))
            with pytest.raises(InvalidRequest, match="until"):
                await jobs.wait(1, until="finished")  # type: ignore[arg-type]

    asyncio.run(main())


def test_logs_are_followed_until_the_job_has_ended(path: Path, store: JobStore, run: RunMain) -> None:
    store.submit("extract")

    async def main() -> list[str]:
        async with aio.open(path) as jobs:

            async def work() -> None:
                (claimed,) = await jobs.claim("w1")
                async with claimed:
                    for number in range(3):
                        claimed.log.info("block %d", number)
                        await claimed.flush()

            working = asyncio.create_task(work())
            seen = [entry.message async for entry in jobs.follow_logs(1)]
            await working
            return seen

    assert run(main) == ["block 0", "block 1", "block 2"]


def test_every_job_is_visited_once(path: Path, store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(250))

    async def main() -> list[int]:
        async with aio.open(path) as jobs:
            return [job.id async for job in jobs.iterate(limit=70)]

    assert asyncio.run(main()) == list(range(250, 0, -1))


def test_a_wait_ends_with_its_job(path: Path, store: JobStore, run: RunMain) -> None:
    job = store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            waits = [asyncio.create_task(jobs.wait(job)) for _ in range(3)]
            await asyncio.sleep(0.05)
            assert not any(wait.done() for wait in waits)
            store.stop(job, mode="force")
            assert {(await wait).state for wait in waits} == {State.STOPPED}
            with pytest.raises(WaitTimeout):
                await jobs.wait(job, until="completed")
            with pytest.raises(TimeoutError):
                await jobs.wait(await jobs.submit("other"), timeout=0.02)

    run(main)


def test_a_wait_settles_its_job_when_it_is_due(path: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiter, "_LONGEST_WAIT", 3600.0)
    job = store.submit("extract", max_attempts=1)
    store.claim("w1", lease=0.2)

    async def main() -> None:
        async with aio.open(path) as jobs:
            assert (await jobs.wait(job, timeout=60)).state is State.FAILED

    asyncio.run(main())


@pytest.mark.parametrize("target", [":memory:", "jobs.db"])
def test_a_wait_turns_a_manual_clock(tmp_path: Path, target: str) -> None:
    clock = ManualClock()

    async def main() -> None:
        async with aio.open(target if target == ":memory:" else tmp_path / target, clock=clock) as jobs:
            job = await jobs.submit("extract", max_attempts=1)
            (run,) = await jobs.claim("w1", lease=30)
            began = clock.monotonic()
            with pytest.raises(WaitTimeout):
                await jobs.wait(job, timeout=5)
            assert 5 <= clock.monotonic() - began < 5.1
            waits = asyncio.create_task(jobs.wait(job, timeout=10_000))
            await run.complete()
            assert (await waits).state is State.COMPLETED
            other = await jobs.submit("extract", max_attempts=1)
            await jobs.claim("w1", lease=30)
            assert (await jobs.wait(other, timeout=31)).state is State.FAILED

    asyncio.run(main())


def test_a_hundred_waiting_tasks_need_one_thread_and_starve_no_other(path: Path, store: JobStore, run: RunMain) -> None:
    job = store.submit("extract")

    async def main() -> None:
        async with aio.open(path) as jobs:
            events = [asyncio.create_task(anext(jobs.watch(after=None))) for _ in range(100)]
            waits = [asyncio.create_task(jobs.wait(job)) for _ in range(100)]
            await asyncio.sleep(0.2)
            for _ in range(10):
                assert (await jobs.get(job)).state is State.SCHEDULED
            assert sum("changes" in name for name in threads()) == 1
            assert not any(waiting.done() for waiting in (*events, *waits))
            await jobs.stop(job, mode="force")
            assert {(await wait).state for wait in waits} == {State.STOPPED}
            assert {(await event).to_state for event in events} == {State.STOPPED}

    run(main)


def test_the_store_is_not_polled_while_no_task_waits(path: Path, store: JobStore) -> None:
    looks = 0
    repository = store.repository
    version = repository.version

    def counted() -> int:
        nonlocal looks
        looks += 1
        return version()

    async def main() -> None:
        repository.version = counted  # type: ignore[method-assign]
        async with aio.over(store) as jobs:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await anext(jobs.watch())
            before = looks
            assert before >= 2
            await asyncio.sleep(0.2)
            assert looks <= before + 1

    asyncio.run(main())


def test_only_one_loop_may_wait_on_a_store(store: JobStore) -> None:
    jobs = aio.over(store)

    async def waits() -> None:
        with pytest.raises(WaitTimeout):
            await jobs.wait(store.submit("extract"), timeout=0.01)

    asyncio.run(waits())
    with pytest.raises(InvalidRequest, match="event loop"):
        asyncio.run(waits())
    asyncio.run(jobs.close())
