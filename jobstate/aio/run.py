"""`AsyncRun`, a claimed job in the hands of a task."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import TypeVar

from jobstate.aio.batch import innermost
from jobstate.aio.calls import ended
from jobstate.aio.proxies import AsyncProxy, ForwardedProperty, changing, local
from jobstate.aio.thread_pools import running_loop
from jobstate.domain.errors import JobStateError
from jobstate.worker.conclusion import conclude
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_log import enter, leave

T = TypeVar("T")

logger = logging.getLogger("jobstate.aio")


def _shown(read: Callable[[Run], T]) -> ForwardedProperty[Run, T]:
    return ForwardedProperty(read)


class AsyncRun(AsyncProxy[Run]):
    """A claimed job in the hands of a task; see `jobstate.Run`, whose verbs are awaited here.

    Use it as an asynchronous context manager: leaving the block settles the job as that of a `Run` does. A task that is
    cancelled within hands the job back, uncharged, before the cancellation goes on. What only touches memory is called
    plainly: progress, metrics, log, output, and all that is asked about a stop.
    """

    _news: asyncio.Event | None = None

    job = _shown(lambda run: run.job)
    restored = _shown(lambda run: run.restored)
    id = _shown(lambda run: run.id)
    token = _shown(lambda run: run.token)
    lease = _shown(lambda run: run.lease)
    progress = _shown(lambda run: run.progress)
    log = _shown(lambda run: run.log)
    parallelism = _shown(lambda run: run.parallelism)
    rescale_to = _shown(lambda run: run.rescale_to)
    stop = _shown(lambda run: run.stop)
    stopping = _shown(lambda run: run.stopping)
    lost = _shown(lambda run: run.lost)
    settled = _shown(lambda run: run.settled)

    add_range = local(Run.add_range)
    add_files = local(Run.add_files)
    set_progress = local(Run.set_progress)
    metrics = local(Run.metrics)
    note = local(Run.note)
    emit = local(Run.emit)
    raise_if_stopping = local(Run.raise_if_stopping)

    flush = changing(Run.flush)
    checkpoint = changing(Run.checkpoint)
    begin_checkpoint = changing(Run.begin_checkpoint)
    complete_checkpoint = changing(Run.complete_checkpoint)
    fail_checkpoint = changing(Run.fail_checkpoint)
    heartbeat = changing(Run.heartbeat)
    complete = changing(Run.complete)
    fail = changing(Run.fail)
    release = changing(Run.release)
    begin_stop = changing(Run.begin_stop)
    finish_stop = changing(Run.finish_stop)
    rescaled = changing(Run.rescaled)

    def __repr__(self) -> str:
        return f"<Async{repr(self.sync)[1:]}"

    async def until_stopping(self) -> None:
        """Wait until the handler should come to its end: a stop, a shutdown of the worker, or a lost lease.

        Then `stopping` is true, `stop` says more, and `raise_if_stopping` raises. It returns when the run has ended,
        too. Without a `worker` only `heartbeat` notices a stop.
        """
        news, control = self._news_of_run(), control_of(self.sync)
        while not (self.sync.stopping or self.sync.settled):
            news.clear()
            left = control.valid_until - control.context.clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0)):
                    await news.wait()

    async def unless_stopping(self, work: Awaitable[T]) -> T:
        """Await this, and cancel it when the handler should come to its end meanwhile.

        Args:
            work: What is awaited, a coroutine for instance; it runs as a task of its own.

        Returns:
            What it returned.

        Raises:
            JobStopping: A stop was asked for, or the worker is shutting down. Let it pass through the handler.
            LeaseLost: Another worker may have the job by now; nothing more can be written.
        """
        doing = asyncio.ensure_future(work)
        watching = asyncio.ensure_future(self.until_stopping())
        try:
            await asyncio.wait({doing, watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            if not doing.done():
                doing.cancel()
                await ended([doing])
        if doing.cancelled():
            self.sync.raise_if_stopping()
        return doing.result()

    async def __aenter__(self) -> AsyncRun:
        enter(self.sync)
        control_of(self.sync).enter_observed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settle the job as the block ended; True for exceptions that thereby have been dealt with."""
        leave(self.sync)
        control_of(self.sync).leave_observed(kind, error, trace)
        batch = innermost(self._pools)
        if batch is not None:
            batch.ended.append(self.sync)
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled and not _is_cancelled():
            said = RuntimeError("the handler awaited something that was cancelled, and let that pass")
            said.__cause__, error = error, said
        try:
            return await self._pools.change(partial(conclude, control_of(self.sync), error), sure=True)
        except JobStateError:
            if not cancelled:
                raise
            logger.exception("job %d could not be handed back; its lease will run out", self.id)
            return False

    def _news_of_run(self) -> asyncio.Event:
        if self._news is None:
            news, loop = asyncio.Event(), running_loop()

            def tell() -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits on it
                    loop.call_soon_threadsafe(news.set)

            self._news = news
            control_of(self.sync).on_noticed(tell)
        return self._news


def _is_cancelled() -> bool:
    """Whether somebody asked the current task to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
