"""`AsyncRun`: a claimed job that a task works on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TypeVar

from jobstate.aio.calls import all_done
from jobstate.aio.proxies import AsyncProxy, ForwardedProperty, local, writes
from jobstate.aio.thread_pools import current_batch, running_loop
from jobstate.domain.errors import JobStateError
from jobstate.worker.conclusion import conclude
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_log import enter, leave

T = TypeVar("T")

logger = logging.getLogger("jobstate.aio")


def _forward(read: Callable[[Run], T]) -> ForwardedProperty[Run, T]:
    return ForwardedProperty(read)


class AsyncRun(AsyncProxy[Run]):
    """A claimed job that a task works on; see `jobstate.Run`, whose verbs are awaited here.

    Use it as an asynchronous context manager: leaving the block settles the job as that of a `Run` does. A task that is
    cancelled within hands the job back, uncharged, before the cancellation propagates. Methods that only touch memory
    are not awaited: progress, metrics, log, output, and the questions about a stop.
    """

    _notice: asyncio.Event | None = None

    job = _forward(lambda run: run.job)
    restored = _forward(lambda run: run.restored)
    id = _forward(lambda run: run.id)
    token = _forward(lambda run: run.token)
    lease = _forward(lambda run: run.lease)
    progress = _forward(lambda run: run.progress)
    log = _forward(lambda run: run.log)
    parallelism = _forward(lambda run: run.parallelism)
    rescale_to = _forward(lambda run: run.rescale_to)
    stop = _forward(lambda run: run.stop)
    stopping = _forward(lambda run: run.stopping)
    lost = _forward(lambda run: run.lost)
    settled = _forward(lambda run: run.settled)

    add_range = local(Run.add_range)
    add_files = local(Run.add_files)
    set_progress = local(Run.set_progress)
    metrics = local(Run.metrics)
    note = local(Run.note)
    emit = local(Run.emit)
    raise_if_stopping = local(Run.raise_if_stopping)

    flush = writes(Run.flush)
    checkpoint = writes(Run.checkpoint)
    begin_checkpoint = writes(Run.begin_checkpoint)
    complete_checkpoint = writes(Run.complete_checkpoint)
    fail_checkpoint = writes(Run.fail_checkpoint)
    heartbeat = writes(Run.heartbeat)
    complete = writes(Run.complete)
    fail = writes(Run.fail)
    release = writes(Run.release)
    begin_stop = writes(Run.begin_stop)
    finish_stop = writes(Run.finish_stop)
    rescaled = writes(Run.rescaled)

    def __repr__(self) -> str:
        return f"<Async{repr(self.sync)[1:]}"

    async def until_stopping(self) -> None:
        """Wait until the handler should end: a stop, a shutdown of the worker, or a lost lease.

        Then `stopping` is true, `stop` has the details, and `raise_if_stopping` raises. It also returns when the run
        has ended. Without a `worker` only `heartbeat` notices a stop.
        """
        notice, control = self._notice_event(), control_of(self.sync)
        while not (self.sync.stopping or self.sync.settled):
            notice.clear()
            left = control.valid_until - control.context.clock.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(left, 0)):
                    await notice.wait()

    async def unless_stopping(self, work: Awaitable[T]) -> T:
        """Await `work`, and cancel it when the handler should end meanwhile.

        Args:
            work: An awaitable, such as a coroutine; it runs as a task of its own.

        Returns:
            Its result.

        Raises:
            JobStopping: A stop was requested, or the worker is shutting down. Do not catch it in the handler.
            LeaseLost: Another worker may have the job by now; no more writes succeed.
        """
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self.until_stopping())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
                await all_done([task])
        if task.cancelled():
            self.sync.raise_if_stopping()
        return task.result()

    async def __aenter__(self) -> AsyncRun:
        enter(self.sync)
        control_of(self.sync).enter_observed()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settle the job as the block ended; True for exceptions that are handled by that."""
        leave(self.sync)
        control_of(self.sync).leave_observed(kind, error, trace)
        batch = current_batch(self._pools)
        if batch is not None:
            batch.ended_runs.append(self.sync)
        cancelled = isinstance(error, asyncio.CancelledError)
        if cancelled and not _is_cancelled():
            failure = RuntimeError("the handler awaited something that was cancelled, and let that pass")
            failure.__cause__, error = error, failure
        try:
            return await self._pools.write(partial(conclude, control_of(self.sync), error), shielded=True)
        except JobStateError:
            if not cancelled:
                raise
            logger.exception("job %d could not be handed back; its lease will run out", self.id)
            return False

    def _notice_event(self) -> asyncio.Event:
        if self._notice is None:
            notice, loop = asyncio.Event(), running_loop()

            def on_noticed() -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits
                    loop.call_soon_threadsafe(notice.set)

            self._notice = notice
            control_of(self.sync).on_noticed(on_noticed)
        return self._notice


def _is_cancelled() -> bool:
    """Whether the current task was cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def release_all(runs: Iterable[Run]) -> None:
    """Release those of the runs, uncharged, that still hold their jobs; a failure is logged."""
    for run in runs:
        _release(run)


def _release(run: Run) -> None:
    try:
        control_of(run).confirm_end()
        if not run.settled:
            run.release()
    except JobStateError as error:
        logger.warning("job %d could not be handed back; its lease will run out: %s", run.id, error)
