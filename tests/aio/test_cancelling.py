"""A task may be cancelled at any await: its job is handed back, or ended as it should have, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from jobstate import Job, JobStore, State, aio
from tests.aio.cancelling import WAYS, Suspended, cancelled_everywhere
from tests.aio.conftest import threads

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
    """No job is held, none was charged; where nobody was cancelled, all is done."""
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

    assert asyncio.run(main()) >= 8
