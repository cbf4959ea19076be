"""`AsyncJobStore.batch`: many awaited calls, one commit. One thread makes them all, within one transaction."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any

from jobstate.aio.run import release_all
from jobstate.aio.thread_pools import BatchThread, ThreadPools


class Batch:
    """`async with jobs.batch():` the calls of the task and of its children within are committed together or undone.

    Tasks that start within belong to the batch until it ends; their later calls are on their own again. A batch within
    a batch is undone alone when it fails.
    """

    def __init__(self, pools: ThreadPools, transaction: AbstractContextManager[Any]) -> None:
        self._pools = pools
        self._thread = BatchThread(pools)
        self._transaction = transaction

    async def __aenter__(self) -> None:
        self._pools.submit_batch(self._thread)
        try:
            await self._pools.run(
                self._thread.put, self._transaction.__enter__, undo=lambda _: self._roll_back_cancelled()
            )
        except BaseException:
            self._thread.end()
            raise
        self._thread.enter()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.leave()
        committed = False
        try:
            await self._pools.run(
                self._thread.put, lambda: self._transaction.__exit__(kind, error, trace), shielded=True
            )
            committed = error is None
        finally:
            self._thread.end()
            if not committed and self._thread.ended_runs:
                await self._pools.write(partial(release_all, self._thread.ended_runs), shielded=True)

    def _roll_back_cancelled(self) -> None:
        self._transaction.__exit__(asyncio.CancelledError, asyncio.CancelledError(), None)
