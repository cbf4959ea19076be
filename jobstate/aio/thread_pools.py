"""The threads that call the store, so that the event loop never waits for it.

Reads and writes have threads of their own: a read waits for no writer, so it must not queue behind a write that does.
Each thread keeps its own connection to the store until the pools are closed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from jobstate.aio.calls import Call, CallQueue, run_calls
from jobstate.domain.errors import InvalidRequest, JobStateError, StoreClosed, StoreForked
from jobstate.system import pid
from jobstate.worker.run import Run

READ_THREADS: Final = 4
WRITE_THREADS: Final = 4
"""The most threads of each sort; they start when they are needed."""

T = TypeVar("T")
Put = Callable[[Call[Any]], None]


class _Pool:
    """Up to `most` threads that run the calls of one queue."""

    def __init__(self, name: str, most: int, at_end: Callable[[], None]) -> None:
        self._name = name
        self._most = most
        self._at_end = at_end
        self._calls: CallQueue = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._pending = 0
        """Calls that are not done yet."""

    def put(self, call: Call[Any]) -> None:
        """Queue a call, and start another thread if all are busy."""
        with self._lock:
            self._pending += 1
            if self._pending > len(self._threads) < self._most:
                name = f"jobstate-aio-{self._name}-{len(self._threads) + 1}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        call.add_done_callback(self._done)
        self._calls.put(call)

    def close(self) -> None:
        """Run all queued calls, then end the threads; returns when they have ended."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _done(self, _: object) -> None:
        with self._lock:
            self._pending -= 1

    def _run(self) -> None:
        try:
            run_calls(self._calls)
        finally:
            self._at_end()


class ThreadPools:
    """Runs calls: on the thread of the batch that the calling task is in, else on a thread of the right pool.

    Args:
        at_end: Called on each thread as it ends.
    """

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._readers = _Pool("read", READ_THREADS, at_end)
        self._writers = _Pool("write", WRITE_THREADS, at_end)
        self._clock = _Pool("clock", 1, at_end)
        self._pid = pid()
        self._closed: str | None = None
        self.open_batches = 0

    @property
    def is_closed(self) -> bool:
        """Whether later calls are refused."""
        return self._closed is not None

    async def read(self, work: Callable[[], T]) -> T:
        """Run a call that changes nothing. Outside a batch it sees nothing of that batch."""
        return await self.run(self._queue_of(self._readers), work)

    async def write(
        self, work: Callable[[], T], *, shielded: bool = False, undo: Callable[[T], object] | None = None
    ) -> T:
        """Run a call that may change the store.

        Args:
            work: The call.
            shielded: Run it also when the task is cancelled before a thread has started it.
            undo: Called on a thread with the result when the task was cancelled meanwhile.
        """
        return await self.run(self._queue_of(self._writers), work, shielded=shielded, undo=undo)

    async def on_clock_thread(self, work: Callable[[], T]) -> T:
        """Run a call on the one thread that sleeps by the clock of the store and polls for changes. It never writes."""
        return await self.run(self._clock.put, work)

    async def run(
        self, put: Put, work: Callable[[], T], *, shielded: bool = False, undo: Callable[[T], object] | None = None
    ) -> T:
        """Queue a call with `put`, and wait for its result."""
        call = self.submit(put, work, shielded=shielded, undo=undo)
        try:
            return await call
        except asyncio.CancelledError as cancelled:
            if not call.done() or call.cancelled():
                raise
            error = call.exception()
            if error is not None:
                raise cancelled from error
            if undo is not None:
                result = call.result()
                try:
                    await self.run(put, lambda: undo(result), shielded=True)
                except JobStateError as failed:
                    raise cancelled from failed
            raise

    def submit(
        self, put: Put, work: Callable[[], T], *, shielded: bool, undo: Callable[[T], object] | None = None
    ) -> Call[T]:
        """Queue a call with `put`, without waiting for it."""
        if self._closed is not None:
            raise StoreClosed(self._closed, "the store was closed; open it again")
        if pid() != self._pid:
            raise StoreForked("jobstate.aio", "its threads stayed in the parent; open the store in the child process")
        call = Call(work, running_loop(), shielded=shielded, undo=undo)
        put(call)
        return call

    def submit_batch(self, batch: BatchThread) -> None:
        """Let a writing thread run the calls of this batch only, until the batch ends."""
        self.submit(self._queue_of(self._writers), batch.run, shielded=True)
        self.open_batches += 1

    async def close(self, path: str, last: Callable[[], None]) -> None:
        """Wait for all calls, and end the threads; later calls are refused.

        Args:
            path: The store, for the error of later calls.
            last: Called after all other calls.
        """
        if self.open_batches:
            raise InvalidRequest("batch", "is open; leave its block before the store is closed")

        def end() -> None:
            for pool in (self._clock, self._readers, self._writers):
                pool.close()
            last()

        closing: list[threading.Thread] = []

        def put(call: Call[Any]) -> None:
            closing.append(threading.Thread(target=call.run, name="jobstate-aio-closing", daemon=True))
            closing[0].start()

        call = self.submit(put, end, shielded=True)
        self._closed = path
        try:
            await call
        finally:
            closing[0].join()  # its result is known; it ends at once

    def _queue_of(self, pool: _Pool) -> Put:
        batch = current_batch(self)
        return pool.put if batch is None else batch.put


class BatchThread:
    """The calls of one open batch, all run by one thread."""

    def __init__(self, pools: ThreadPools) -> None:
        self.pools = pools
        self.outer: BatchThread | None = None
        """The batch that the task was in before."""
        self.over = False
        self.ended_runs: list[Run] = []
        """Runs that ended within the batch, and are open again if it is undone."""
        self._calls: CallQueue = queue.SimpleQueue()

    def put(self, call: Call[Any]) -> None:
        """Queue a call."""
        self._calls.put(call)

    def run(self) -> None:
        """On a thread: run the calls until `end`."""
        run_calls(self._calls)

    def enter(self) -> None:
        """Let the calls of the current task, and of tasks that it starts, go here."""
        self.outer = _innermost.get()
        _innermost.set(self)

    def leave(self) -> None:
        """Let later calls go where they went before."""
        _innermost.set(self.outer)
        self.over = True

    def end(self) -> None:
        """Free the thread."""
        self._calls.put(None)
        self.pools.open_batches -= 1


def current_batch(pools: ThreadPools) -> BatchThread | None:
    """The innermost open batch on these pools that the current task is in."""
    batch = _innermost.get()
    while batch is not None and (batch.over or batch.pools is not pools):
        batch = batch.outer
    return batch


_innermost: ContextVar[BatchThread | None] = ContextVar("jobstate_batch", default=None)


def running_loop() -> asyncio.AbstractEventLoop:
    """The running event loop of asyncio; InvalidRequest where there is none, as with trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise InvalidRequest(
            "event loop", "must be one of asyncio: use asyncio.run, uvloop.run, or anyio with its backend asyncio"
        ) from None
