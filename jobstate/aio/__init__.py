"""jobstate for asyncio: the same names, awaited, over the one implementation.

`async with jobstate.aio.open("jobs.db") as jobs:` opens a store, `jobstate.aio.over(store)` is the awaited side of one
that is open. It runs on the event loops of asyncio: asyncio.run, uvloop, and anyio with its backend asyncio.
"""

from __future__ import annotations

from jobstate.aio.open import open as open  # noqa: A004
from jobstate.aio.open import over as over
from jobstate.aio.run import AsyncRun as AsyncRun
from jobstate.aio.store import AsyncJobStore as AsyncJobStore
from jobstate.aio.streams import Stream as Stream
from jobstate.aio.worker import AsyncWorker as AsyncWorker

__all__ = ["AsyncJobStore", "AsyncRun", "AsyncWorker", "Stream", "open", "over"]
