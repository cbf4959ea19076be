"""What other processes do with `jobstate.aio`: `python -m tests.aio.roles ROLE LOOP ARGUMENT…`, lines of JSON."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from jobstate import JobStopping, aio
from tests.aio.conftest import LOOPS
from tests.processes.roles import _measure, send


async def work(run: aio.AsyncRun, cooperates: bool) -> None:
    send({"began": run.id})
    if not cooperates:
        await asyncio.sleep(600)
    try:
        await run.unless_stopping(asyncio.sleep(600))
    except JobStopping as stopping:
        send({"asked": run.id, "mode": stopping.mode, "at": time.time()})
        raise


async def loop(path: str, name: str, cooperates: str, shutdown_timeout: str) -> None:
    """Take one job after the other, in a loop of its own."""
    async with (
        aio.open(path, durability="normal") as jobs,
        jobs.worker(name, shutdown_timeout=float(shutdown_timeout)) as worker,
    ):
        send("ready")
        async for run in worker:
            async with run:
                await work(run, cooperates == "yes")
    send("left")


async def serve(path: str, name: str, cooperates: str, shutdown_timeout: str) -> None:
    """Serve handlers with several tasks."""

    async def extract(run: aio.AsyncRun) -> None:
        await work(run, cooperates == "yes")

    async with aio.open(path, durability="normal") as jobs:
        worker = jobs.worker(name, shutdown_timeout=float(shutdown_timeout))
        serving = asyncio.create_task(worker.serve({"extract": extract}, concurrency=3))
        while not await jobs.workers():
            await asyncio.sleep(0.005)
        send("ready")
        await serving
    send("left")


async def idle(path: str, seconds: str) -> None:
    """Work where there is no work, and watch where nothing happens; how much of a core that takes."""
    async with aio.open(path) as jobs, jobs.worker("idler") as worker:
        watching = asyncio.create_task(anext(jobs.watch(after=None)))
        shut_down = asyncio.get_running_loop().call_soon_threadsafe
        threading.Thread(
            target=_measure, args=(float(seconds), lambda: shut_down(worker.shut_down)), daemon=True
        ).start()
        async for run in worker:
            await run.release()
        watching.cancel()
    send("left")


ROLES: Final[dict[str, Callable[..., Coroutine[Any, Any, None]]]] = {"loop": loop, "serve": serve, "idle": idle}

if __name__ == "__main__":
    _, role, kind, *given = sys.argv
    LOOPS[kind](lambda: ROLES[role](*given))
