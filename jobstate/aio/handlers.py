"""Handlers of `AsyncWorker.serve`: coroutine functions run as tasks, any other function on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from jobstate.aio.calls import UncancellableFuture, all_done
from jobstate.aio.run import AsyncRun
from jobstate.aio.thread_pools import ThreadPools, running_loop
from jobstate.domain.errors import JobStateError
from jobstate.worker.handlers import Handler, call_handler, is_awaited
from jobstate.worker.run import Run, control_of

AsyncHandler = Callable[[AsyncRun], Coroutine[Any, Any, object]]
AnyHandler = AsyncHandler | Handler

logger = logging.getLogger("jobstate.worker")


class HandlerTasks:
    """The tasks of the handlers that run now."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, handling: Coroutine[Any, Any, None], name: str) -> None:
        """Start one more."""
        self._tasks.add(asyncio.create_task(handling, name=name))

    def active(self) -> int:
        """How many run; raises what one of them raised that was not its job's failure."""
        done = {task for task in self._tasks if task.done()}
        self._tasks -= done
        for task in done:
            if not task.cancelled():  # by its handler; the job was handed back
                task.result()
        return len(self._tasks)

    async def wait_for_one(self, timeout: float) -> None:
        """Wait until one of them is done, at most `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)

    async def cancel_all(self) -> None:
        """Cancel all, and wait until they are done, also when the waiting task is cancelled meanwhile."""
        for task in self._tasks:
            task.cancel()
        await all_done(self._tasks)


async def handle(run: Run, handler: AnyHandler, pools: ThreadPools, shutdown_timeout: float) -> None:
    """Run the handler, and settle the run."""
    try:
        if is_awaited(handler):
            await _run_coroutine(AsyncRun(run, pools), handler)
        else:
            await _run_on_thread(run, handler, shutdown_timeout)
    except JobStateError:
        logger.exception("job %d could not be settled; its lease will run out", run.id)


async def _run_coroutine(run: AsyncRun, handler: Any) -> None:
    async with run:
        try:
            await handler(run)
        except SystemExit as error:
            raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error


async def _run_on_thread(run: Run, handler: Any, shutdown_timeout: float) -> None:
    """Wait for the thread; once cancelled, no longer than the shutdown timeout."""
    loop, control = running_loop(), control_of(run)

    def on_cancel() -> None:
        if not run.settled:
            control.notice_shutdown()
        loop.call_later(0 if run.settled else shutdown_timeout, done.finish, False)

    done: UncancellableFuture[bool] = UncancellableFuture(loop, on_cancel)

    def work() -> None:
        try:
            with run:
                _refuse_awaitable(call_handler(handler, run))
        except JobStateError:
            logger.exception("job %d could not be settled; its lease will run out", run.id)
        finally:
            control.context.repository.close_thread()
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
                loop.call_soon_threadsafe(done.finish, True)

    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: context.run(work), name=f"jobstate-{run.id}", daemon=True)
    thread.start()
    try:
        await done
    finally:
        if done.done() and done.result():
            thread.join()  # its work is done; it ends at once


def _refuse_awaitable(result: object) -> None:
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("the handler returned an awaitable, which nobody awaits; make it an `async def`")
