"""One call of the store on a thread, as a future that a task awaits.

A cancelled call that no thread has started is never made. A call that has started runs to its end, and the task that
awaits it is cancelled once the result is known.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from jobstate.core.cancellation import CancelToken

T = TypeVar("T")
CallQueue = queue.SimpleQueue["Call[object] | None"]

logger = logging.getLogger("jobstate.aio")


class UncancellableFuture(asyncio.Future[T]):
    """A future that cannot be cancelled: a task that awaits it is cancelled when it is done.

    Args:
        loop: The loop of the tasks that await it.
        on_cancel: Called for each request to cancel it; there may be many.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_cancel: Callable[[], None]) -> None:
        super().__init__(loop=loop)
        self._on_cancel = on_cancel

    def cancel(self, msg: object = None) -> bool:
        """Only report the request."""
        if not self.done():
            self._on_cancel()
        return False

    def finish(self, result: T) -> None:
        """Set the result, unless there is one."""
        if not self.done():
            self.set_result(result)


async def all_done(futures: Collection[asyncio.Future[T]]) -> None:
    """Wait until all of them are done, also when the waiting task is cancelled meanwhile."""
    done: UncancellableFuture[None] = UncancellableFuture(asyncio.get_running_loop(), lambda: None)

    def check(_: object) -> None:
        if all(future.done() for future in futures):
            done.finish(None)

    for future in futures:
        future.add_done_callback(check)
    if futures:
        await done


class Call(asyncio.Future[T]):
    """A call that a thread makes, and its result.

    Args:
        work: The call itself.
        loop: The loop of the task that awaits the result.
        shielded: Cancelling neither prevents the call nor shortens its waits for other writers.
        undo: Called with the result when the loop was closed before it could be delivered.
    """

    def __init__(
        self,
        work: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        *,
        shielded: bool,
        undo: Callable[[T], object] | None,
    ) -> None:
        super().__init__(loop=loop)
        self._work = work
        self._context = contextvars.copy_context()
        self._start = threading.Lock()
        """Taken once: by the thread that starts the call, or by the task that cancels it before."""
        self._shielded = shielded
        self._token = CancelToken()
        self._undo = undo

    def cancel(self, msg: object = None) -> bool:
        """Cancel the call if no thread has started it; else its task is cancelled when it is done."""
        if self.done() or self._shielded:
            return False
        if self._start.acquire(blocking=False):
            return super().cancel(msg)
        self._token.cancel()
        return False

    def run(self) -> None:
        """On a thread: make the call, unless it was cancelled."""
        if not self._start.acquire(blocking=False):
            return
        try:
            with self._token:
                result = self._context.run(self._work)
        except BaseException as error:  # noqa: BLE001  (whatever it is, it belongs to the awaiting task)
            self._on_loop(partial(self._fail, error))
        else:
            if not self._on_loop(partial(self.set_result, result)) and self._undo is not None:
                self._undo(result)

    def _on_loop(self, callback: Callable[[], None]) -> bool:
        """Call this on the loop; False when the loop is closed."""
        try:
            self.get_loop().call_soon_threadsafe(callback)
        except RuntimeError:
            logger.warning("the event loop was closed before a call was done; its result is lost")
            return False
        return True

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # a future cannot hold one
            wrapped = RuntimeError("the call raised StopIteration")
            wrapped.__cause__ = error
            error = wrapped
        self.set_exception(error)


def run_calls(calls: CallQueue) -> None:
    """Run the calls in the queue, until a None comes."""
    while True:
        call = calls.get()
        if call is None:
            return
        call.run()
        del call  # so that no result stays alive while the thread waits for the next call
