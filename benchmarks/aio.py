"""Submit, claim, complete from tasks: awaited against plain calls, on threads of the store against the default ones."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

import jobstate
import jobstate.aio
from benchmarks.figures import seconds, spread

AT_ONCE: Final = 8

T = TypeVar("T")
Caller = Callable[[Callable[[], T]], Awaitable[T]]


def measure(*, quick: bool) -> None:
    """Print what a job costs in each way, and the ratios within each round, at both durabilities."""
    for durability, jobs in (("normal", 80 if quick else 1600), ("full", 24 if quick else 320)):
        _measure(durability, rounds=2 if quick else 7, jobs=jobs)  # type: ignore[arg-type]


def _measure(durability: Literal["normal", "full"], rounds: int, jobs: int) -> None:
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for way, taken in asyncio.run(_round(Path(folder, "jobs.db"), durability, jobs)).items():
                times.setdefault(way, []).append(taken / jobs * 1_000_000)
    for way, compared, against in (
        ("awaited", "plain calls", "plain"),
        ("awaited", "the default threads of asyncio", "default"),
        ("tasks", f"{AT_ONCE} threads", "threads"),
        ("tasks", f"{AT_ONCE} tasks on the default threads", "default tasks"),
    ):
        ratios = [ours / theirs for ours, theirs in zip(times[way], times[against], strict=True)]
        told = "one after the other" if way == "awaited" else f"{AT_ONCE} tasks at once"
        print(
            f"  {durability:<6}  {told:<19} {statistics.median(times[way]):>6,.0f} µs a job; {compared} "
            f"{statistics.median(times[against]):>6,.0f} µs; takes {spread(ratios)} times as long"
        )


async def _round(path: Path, durability: Literal["normal", "full"], jobs: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()

    async def by_default(call: Callable[[], T]) -> T:
        return await loop.run_in_executor(None, call)

    with jobstate.open(path, durability=durability) as store:
        _plain(store, "warm", AT_ONCE)
        times = {"plain": seconds(lambda: _plain(store, "plain", jobs)), "threads": _threads(store, jobs // AT_ONCE)}
        async with jobstate.aio.over(store) as awaited:
            await _awaited(awaited, "warm", AT_ONCE)
            times["awaited"] = await _timed(_awaited(awaited, "awaited", jobs))
            each = (_awaited(awaited, f"task {number}", jobs // AT_ONCE) for number in range(AT_ONCE))
            times["tasks"] = await _timed(asyncio.gather(*each))
        await _called(store, by_default, "warm", AT_ONCE)
        times["default"] = await _timed(_called(store, by_default, "default", jobs))
        calls = (_called(store, by_default, f"default {number}", jobs // AT_ONCE) for number in range(AT_ONCE))
        times["default tasks"] = await _timed(asyncio.gather(*calls))
        await loop.shutdown_default_executor()
    return times


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _plain(store: jobstate.JobStore, kind: str, jobs: int) -> None:
    for _ in range(jobs):
        store.submit(kind)
        (run,) = store.claim("w", kinds=[kind])
        run.complete()


async def _awaited(jobs: jobstate.aio.AsyncJobStore, kind: str, number: int) -> None:
    for _ in range(number):
        await jobs.submit(kind)
        (run,) = await jobs.claim("w", kinds=[kind])
        await run.complete()


async def _called(store: jobstate.JobStore, caller: Caller[object], kind: str, jobs: int) -> None:
    for _ in range(jobs):
        await caller(lambda: store.submit(kind))
        runs: list[jobstate.Run] = []
        await caller(lambda runs=runs: runs.extend(store.claim("w", kinds=[kind])))  # type: ignore[misc]
        await caller(runs[0].complete)


def _threads(store: jobstate.JobStore, jobs: int) -> float:
    def work(kind: str) -> None:
        _plain(store, kind, jobs)
        store.repository.close_thread()

    threads = [threading.Thread(target=work, args=(f"thread {number}",)) for number in range(AT_ONCE)]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return seconds(all_of_them)
