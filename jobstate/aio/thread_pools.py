"""The threads that a store is called on, away from the event loop.

Looks and changes have threads of their own: a look waits for no writer, so it does not wait behind a change that does.
Each thread has its own connection to the store, until the lanes are closed.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

from jobstate.aio.batch import innermost
from jobstate.aio.calls import Call, Queue, serve
from jobstate.domain.errors import InvalidRequest, JobStateError, StoreClosed, StoreForked
from jobstate.system import pid

LOOKS: Final = 4
CHANGES: Final = 4
"""How many threads there are of each sort at most; they begin when they are needed."""

T = TypeVar("T")
Put = Callable[[Call[Any]], None]


class _Pool:
    """Up to `most` threads that make the calls of one queue."""

    def __init__(self, name: str, most: int, at_end: Callable[[], None]) -> None:
        self._name = name
        self._most = most
        self._at_end = at_end
        self._calls: Queue = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._open = 0
        """Calls that are not done yet."""

    def put(self, call: Call[Any]) -> None:
        """Queue a call, and begin another thread if all are busy."""
        with self._lock:
            self._open += 1
            if self._open > len(self._threads) < self._most:
                name = f"jobstate-aio-{self._name}-{len(self._threads) + 1}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        call.add_done_callback(self._done)
        self._calls.put(call)

    def close(self) -> None:
        """Let the threads end once all calls are made; returns when they have."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _done(self, _: object) -> None:
        with self._lock:
            self._open -= 1

    def _work(self) -> None:
        try:
            serve(self._calls)
        finally:
            self._at_end()


class ThreadPools:
    """Where calls are made: on the thread of the batch that the calling task is in, else on one of its sort.

    Args:
        at_end: Called on each thread as it ends.
    """

    def __init__(self, at_end: Callable[[], None]) -> None:
        self._looks = _Pool("look", LOOKS, at_end)
        self._changes = _Pool("change", CHANGES, at_end)
        self._turns = _Pool("turn", 1, at_end)
        self._pid = pid()
        self._closed: str | None = None
        self.batches = 0
        """How many batches are open."""

    @property
    def is_closed(self) -> bool:
        """Whether later calls are refused."""
        return self._closed is not None

    @property
    def changing(self) -> Put:
        """The queue of the threads for changes."""
        return self._changes.put

    async def look(self, work: Callable[[], T]) -> T:
        """Make a call that changes nothing. Beside a batch, it sees nothing of it."""
        return await self.made(self._chosen(self._looks), work)

    async def change(
        self, work: Callable[[], T], *, sure: bool = False, undo: Callable[[T], object] | None = None
    ) -> T:
        """Make a call that may change the store.

        Args:
            work: The call.
            sure: It is made also when the task is cancelled before it has begun.
            undo: Called on a thread with what the call came to, when the task was cancelled meanwhile.
        """
        return await self.made(self._chosen(self._changes), work, sure=sure, undo=undo)

    async def turn(self, work: Callable[[], T]) -> T:
        """Make a call on a thread that is always the same, and makes no change that its connection would not tell."""
        return await self.made(self._turns.put, work)

    async def made(
        self, put: Put, work: Callable[[], T], *, sure: bool = False, undo: Callable[[T], object] | None = None
    ) -> T:
        """Queue a call there, and wait for its outcome."""
        call = self.begun(put, work, sure=sure, undo=undo)
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
                    await self.made(put, lambda: undo(result), sure=True)
                except JobStateError as failed:
                    raise cancelled from failed
            raise

    def begun(
        self, put: Put, work: Callable[[], T], *, sure: bool, undo: Callable[[T], object] | None = None
    ) -> Call[T]:
        """Queue a call there, without waiting for it."""
        if self._closed is not None:
            raise StoreClosed(self._closed, "the store was closed; open it again")
        if pid() != self._pid:
            raise StoreForked("jobstate.aio", "its threads stayed in the parent; open the store in the child process")
        call = Call(work, running_loop(), sure=sure, undo=undo)
        put(call)
        return call

    async def close(self, path: str, last: Callable[[], None]) -> None:
        """Wait for all calls, and end the threads; later calls are refused.

        Args:
            path: The store, for that refusal.
            last: Called after all other calls.
        """
        if self.batches:
            raise InvalidRequest("batch", "is open; leave its block before the store is closed")

        def end() -> None:
            for pool in (self._turns, self._looks, self._changes):
                pool.close()
            last()

        closing: list[threading.Thread] = []

        def begin(call: Call[Any]) -> None:
            closing.append(threading.Thread(target=call.make, name="jobstate-aio-closing", daemon=True))
            closing[0].start()

        call = self.begun(begin, end, sure=True)
        self._closed = path
        try:
            await call
        finally:
            closing[0].join()  # it has said all that it had to say

    def _chosen(self, pool: _Pool) -> Put:
        batch = innermost(self)
        return pool.put if batch is None else batch.put


def running_loop() -> asyncio.AbstractEventLoop:
    """The event loop of asyncio that runs; InvalidRequest where there is none, as with trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise InvalidRequest(
            "event loop", "must be one of asyncio: use asyncio.run, uvloop.run, or anyio with its backend asyncio"
        ) from None
