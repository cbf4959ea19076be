"""Many awaited calls, one commit: they are made on one thread, within one transaction."""

from __future__ import annotations

import asyncio
import queue
from contextlib import AbstractContextManager
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from jobstate.aio.calls import Call, Queue, serve
from jobstate.aio.release import hand_back_all
from jobstate.worker.run import Run

if TYPE_CHECKING:
    from jobstate.aio.thread_pools import ThreadPools


class Batch:
    """`async with jobs.batch():` what the task and its children call within, is kept together or not at all.

    Tasks that are made within belong to it until it is over; what they call later is on its own again. A batch within
    a batch is undone alone when it fails.
    """

    def __init__(self, lanes: ThreadPools, transaction: AbstractContextManager[Any]) -> None:
        self.lanes = lanes
        self.outer: Batch | None = None
        """What the task was in before."""
        self.over = False
        self.ended: list[Run] = []
        """Runs that ended within, which they have not if the batch is undone."""
        self._transaction = transaction
        self._calls: Queue = queue.SimpleQueue()

    def put(self, call: Call[Any]) -> None:
        """Queue a call for the thread of the batch."""
        self._calls.put(call)

    async def __aenter__(self) -> None:
        within = innermost(self.lanes)
        self.lanes.begun(self.lanes.changing if within is None else within.put, lambda: serve(self._calls), sure=True)
        self.lanes.batches += 1
        try:
            await self.lanes.made(self.put, self._transaction.__enter__, undo=lambda _: self._leave_cancelled())
        except BaseException:
            self._end()
            raise
        self.outer = _innermost.get()
        _innermost.set(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _innermost.set(self.outer)
        self.over = True
        kept = False
        try:
            await self.lanes.made(self.put, lambda: self._transaction.__exit__(kind, error, trace), sure=True)
            kept = error is None
        finally:
            self._end()
            if not kept and self.ended:
                await self.lanes.change(partial(hand_back_all, self.ended), sure=True)

    def _leave_cancelled(self) -> None:
        self._transaction.__exit__(asyncio.CancelledError, asyncio.CancelledError(), None)

    def _end(self) -> None:
        self._calls.put(None)
        self.lanes.batches -= 1


def innermost(lanes: ThreadPools) -> Batch | None:
    """The innermost open batch of these lanes that the calling task is in."""
    batch = _innermost.get()
    while batch is not None and (batch.over or batch.lanes is not lanes):
        batch = batch.outer
    return batch


_innermost: ContextVar[Batch | None] = ContextVar("jobstate_batch", default=None)
