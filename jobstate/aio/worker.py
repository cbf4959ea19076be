"""`AsyncWorker`: claims jobs one after the other, or serves handlers as tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType

from jobstate.aio.handlers import AnyHandler, Tasks, handle
from jobstate.aio.polling import Waiter
from jobstate.aio.proxies import AsyncProxy
from jobstate.aio.release import hand_back_all
from jobstate.aio.run import AsyncRun
from jobstate.aio.signals import shutdown_on_signal
from jobstate.aio.thread_pools import ThreadPools
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.worker.handlers import check_handler
from jobstate.worker.run import Run
from jobstate.worker.session import Attempt, WorkerSession
from jobstate.worker.worker import Worker, worker_control_of
from jobstate.worker.worker_control import BUSY_PAUSE, POLL_TIMEOUT, ShutdownTimer

logger = logging.getLogger("jobstate.worker")


class AsyncWorker(AsyncProxy[Worker]):
    """Claims jobs and keeps their leases alive, on a thread of its own. Made by `AsyncJobStore.worker`.

    Iterate over it inside its `async with` block, and use each run as an asynchronous context manager; or let `serve`
    call handlers. It ends when `shut_down` was called, or at SIGINT or SIGTERM, as a `jobstate.Worker` does; a task
    that is cancelled hands back what it holds.
    """

    def __init__(self, sync: Worker, lanes: ThreadPools, rests: Waiter) -> None:
        super().__init__(sync, lanes)
        self._control = worker_control_of(sync)
        self._rests = rests
        self._shift: WorkerSession | None = None
        self._in_hand: Run | None = None
        self._entered = ExitStack()

    @property
    def node_id(self) -> str:
        """Its name."""
        return self.sync.node_id

    async def __aenter__(self) -> AsyncWorker:
        await self._begin(1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def __aiter__(self) -> AsyncWorker:
        return self

    async def __anext__(self) -> AsyncRun:
        """Claim the next job; a run that the loop left unsettled is handed back, with a warning."""
        shift, left = self._at_work(), self._in_hand
        if left is not None and not left.settled:
            logger.warning("job %d was left unsettled and is handed back: use `async with run:`", left.id)
            await self._pools.change(shift.heartbeat.hand_back, sure=True)
        self._in_hand = None
        runs = await self._claim(shift, self._control.kinds, lambda: 1, lambda: False)
        if not runs:
            raise StopAsyncIteration
        self._in_hand = runs[0]
        return AsyncRun(runs[0], self._pools)

    async def serve(self, handlers: Mapping[str, AnyHandler], concurrency: int = 1) -> None:
        """Run jobs with the handler for their kind, `concurrency` at a time, until told to end.

        An `async def` runs as a task and gets an `AsyncRun`; at the end of the shutdown timeout it is cancelled. Any
        other function gets a `jobstate.Run`, on a thread of its own.

        Args:
            handlers: Called with the run; returning completes the job, an exception fails it. Only these kinds are
                claimed.
            concurrency: 1..1000.
        """
        validation.integer("concurrency", concurrency, 1, 1000)
        kinds = self._control.kinds_for(handlers)
        for kind in kinds:
            check_handler(kind, handlers.get(kind), awaited=True)
        if self._shift is not None:
            await self._serve(self._shift, kinds, handlers, concurrency)
            return
        shift = await self._begin(concurrency)
        try:
            await self._serve(shift, kinds, handlers, concurrency)
        finally:
            await self._end()

    def shut_down(self) -> None:
        """End soon: claim no more, ask the handlers to end, hand back what they still hold after the timeout."""
        self.sync.shut_down()
        self._rests.wake()

    async def _begin(self, concurrency: int) -> WorkerSession:
        if self._shift is not None:
            raise InvalidRequest("worker", f"{self.node_id} is at work already; make another one")
        self._control.shutting_down = False
        with ExitStack() as entered:
            entered.enter_context(shutdown_on_signal(self.shut_down))
            shift = await self._pools.change(lambda: self._control.sign_on(concurrency), undo=WorkerSession.sign_off)
            self._entered = entered.pop_all()
        self._shift = shift
        return shift

    async def _end(self) -> None:
        shift = self._at_work()
        try:
            await self._pools.change(shift.sign_off, sure=True)
        finally:
            self._shift = None
            self._entered.close()

    def _at_work(self) -> WorkerSession:
        if self._shift is None:
            raise InvalidRequest("worker", "is used inside its `async with` block, which starts the heartbeats")
        return self._shift

    async def _claim(
        self, shift: WorkerSession, kinds: Sequence[str] | None, limit: Callable[[], int], busy: Callable[[], bool]
    ) -> list[Run]:
        """Claim some runs; wait for the first. Empty when the worker shall end; an idle one is not `busy`."""
        changes = self._rests.changes
        while not self._control.shutting_down:
            change = changes.next_change()
            attempt = await self._pools.change(partial(shift.attempt, kinds, limit()), undo=_return)
            if attempt.runs or (attempt.idle and self._control.until_idle and not busy()):
                return attempt.runs
            if attempt.seen is None:
                await asyncio.sleep(BUSY_PAUSE)
            else:
                await changes.wait(change, POLL_TIMEOUT)
        return []

    async def _serve(
        self, shift: WorkerSession, kinds: Sequence[str], handlers: Mapping[str, AnyHandler], concurrency: int
    ) -> None:
        tasks = Tasks()
        timer = ShutdownTimer(self._control)
        try:
            while not self._control.shutting_down:
                if tasks.active() >= concurrency:
                    if shift.heartbeat.error is not None:
                        raise shift.heartbeat.error
                    await tasks.change(POLL_TIMEOUT)
                    continue
                runs = await self._claim(shift, kinds, lambda: concurrency - tasks.active(), lambda: tasks.active() > 0)
                if not runs:
                    break
                for run in runs:
                    handling = handle(run, handlers[run.job.kind], self._pools, self._control.shutdown_timeout)
                    tasks.begin(handling, f"jobstate-{run.id}")
            heartbeat = shift.heartbeat
            while tasks.active() and heartbeat.error is None:
                if timer.expired(heartbeat.held()):
                    break
                await tasks.change(POLL_TIMEOUT)
        finally:
            try:
                await tasks.end()
            finally:
                if shift.heartbeat.held():
                    await self._pools.change(shift.heartbeat.hand_back, sure=True)


def _return(attempt: Attempt) -> None:
    hand_back_all(attempt.runs)
