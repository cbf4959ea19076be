"""One call of the store on a thread, as the future that a task waits for.

It may be given up while no thread has begun it: then it is never made. Once begun it is carried through, and whoever is
cancelled meanwhile is cancelled when its outcome is known.
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
Queue = queue.SimpleQueue["Call[object] | None"]

logger = logging.getLogger("jobstate.aio")


class UncancellableFuture(asyncio.Future[T]):
    """A future that cannot be cancelled: a task that waits for it is cancelled when it is done.

    Args:
        loop: Where it is waited for.
        asked: Called when it is asked to be cancelled, again and again by some.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, asked: Callable[[], None]) -> None:
        super().__init__(loop=loop)
        self._asked = asked

    def cancel(self, msg: object = None) -> bool:
        """Only tell of it."""
        if not self.done():
            self._asked()
        return False

    def finish(self, result: T) -> None:
        """It is done, if it was not before."""
        if not self.done():
            self.set_result(result)


async def ended(tasks: Collection[asyncio.Future[T]]) -> None:
    """Wait until all of them are done, whoever is cancelled meanwhile."""
    over: UncancellableFuture[None] = UncancellableFuture(asyncio.get_running_loop(), lambda: None)

    def look(_: object) -> None:
        if all(task.done() for task in tasks):
            over.finish(None)

    for task in tasks:
        task.add_done_callback(look)
    if tasks:
        await over


class Call(asyncio.Future[T]):
    """A call, and what it comes to.

    Args:
        work: The call itself.
        loop: Where the outcome is waited for.
        sure: It is made whoever is cancelled, and takes the time that it needs.
        undo: What makes its outcome undone, where nobody could be told of it.
    """

    def __init__(
        self,
        work: Callable[[], T],
        loop: asyncio.AbstractEventLoop,
        *,
        sure: bool,
        undo: Callable[[T], object] | None,
    ) -> None:
        super().__init__(loop=loop)
        self._work = work
        self._context = contextvars.copy_context()
        self._undecided = threading.Lock()
        """Whoever takes it first decides: the thread to begin, the task to give up."""
        self._sure = sure
        self._hurry = CancelToken()
        self._undo = undo

    def cancel(self, msg: object = None) -> bool:
        """Give it up, if it has not begun; else its task is cancelled when it is done."""
        if self.done() or self._sure:
            return False
        if self._undecided.acquire(blocking=False):
            return super().cancel(msg)
        self._hurry.cancel()
        return False

    def make(self) -> None:
        """On a thread: make the call, unless it was given up."""
        if not self._undecided.acquire(blocking=False):
            return
        try:
            with self._hurry:
                result = self._context.run(self._work)
        except BaseException as error:  # noqa: BLE001  (whatever it is, it belongs to the task that waits)
            self._tell(partial(self._fail, error))
        else:
            if not self._tell(partial(self.set_result, result)) and self._undo is not None:
                self._undo(result)

    def _tell(self, told: Callable[[], None]) -> bool:
        """Let the loop know; False when there is none any more."""
        try:
            self.get_loop().call_soon_threadsafe(told)
        except RuntimeError:
            logger.warning("the event loop was closed before a call was done, and nobody hears what it came to")
            return False
        return True

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, StopIteration):  # a future cannot hold one
            told = RuntimeError("the call raised StopIteration")
            told.__cause__ = error
            error = told
        self.set_exception(error)


def serve(calls: Queue) -> None:
    """Make the calls in the queue, until a None comes."""
    while True:
        call = calls.get()
        if call is None:
            return
        call.make()
        del call  # while the thread waits for the next one it keeps no outcome alive
