"""Handlers that are served: coroutine functions as tasks, any other on threads of their own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from jobstate.aio.calls import UncancellableFuture, ended
from jobstate.aio.run import AsyncRun
from jobstate.aio.thread_pools import ThreadPools, running_loop
from jobstate.domain.errors import JobStateError
from jobstate.worker.handlers import Handler, call_handler, is_awaited
from jobstate.worker.run import Run, control_of

AsyncHandler = Callable[[AsyncRun], Coroutine[Any, Any, object]]
AnyHandler = AsyncHandler | Handler

logger = logging.getLogger("jobstate.worker")


class Tasks:
    """The handlers that a worker has at work."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, handling: Coroutine[Any, Any, None], name: str) -> None:
        """Let one more begin."""
        self._tasks.add(asyncio.create_task(handling, name=name))

    def active(self) -> int:
        """How many are at work; raises what one of them could not deal with."""
        done = {task for task in self._tasks if task.done()}
        self._tasks -= done
        for task in done:
            if not task.cancelled():  # by its handler; the job was handed back
                task.result()
        return len(self._tasks)

    async def change(self, timeout: float) -> None:
        """Wait until one of them is done, at most so long (seconds)."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    async def end(self) -> None:
        """Cancel those at work and wait for them, whoever is cancelled meanwhile."""
        for task in self._tasks:
            task.cancel()
        await ended(self._tasks)


async def handle(run: Run, handler: AnyHandler, lanes: ThreadPools, patience: float) -> None:
    """Let the handler work on the run, and settle it."""
    try:
        if is_awaited(handler):
            await _await(AsyncRun(run, lanes), handler)
        else:
            await _on_thread(run, handler, patience)
    except JobStateError:
        logger.exception("job %d could not be settled; its lease will run out", run.id)


async def _await(run: AsyncRun, handler: Any) -> None:
    async with run:
        try:
            await handler(run)
        except SystemExit as error:
            raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error


async def _on_thread(run: Run, handler: Any, patience: float) -> None:
    """Wait for the thread; when cancelled, no longer than a shutdown would."""
    loop, control = running_loop(), control_of(run)

    def ask() -> None:
        if not run.settled:
            control.notice_shutdown()
        loop.call_later(0 if run.settled else patience, over.finish, False)

    over: UncancellableFuture[bool] = UncancellableFuture(loop, ask)

    def work() -> None:
        try:
            with run:
                _refuse_awaitable(call_handler(handler, run))
        except JobStateError:
            logger.exception("job %d could not be settled; its lease will run out", run.id)
        finally:
            control.context.repository.close_thread()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits on it
                loop.call_soon_threadsafe(over.finish, True)

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(work), name=f"jobstate-{run.id}", daemon=True)
    thread.start()
    try:
        await over
    finally:
        if over.done() and over.result():
            thread.join()  # it has done all its work


def _refuse_awaitable(made: object) -> None:
    if inspect.isawaitable(made):
        if inspect.iscoroutine(made):
            made.close()
        raise TypeError("the handler returned an awaitable, which nobody awaits; make it an `async def`")
