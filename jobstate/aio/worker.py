"""`AsyncWorker`: claims jobs one by one, or serves handlers as tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType

from jobstate.aio.handlers import AnyHandler, HandlerTasks, handle
from jobstate.aio.proxies import AsyncProxy
from jobstate.aio.run import AsyncRun, release_all
from jobstate.aio.signals import shutdown_on_signal
from jobstate.aio.thread_pools import ThreadPools
from jobstate.aio.waiter import Waiter
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
    call handlers. It ends at `shut_down`, SIGINT or SIGTERM, as a `jobstate.Worker` does. A cancelled task hands back
    the jobs that it holds.
    """

    def __init__(self, sync: Worker, pools: ThreadPools, waiter: Waiter) -> None:
        super().__init__(sync, pools)
        self._control = worker_control_of(sync)
        self._waiter = waiter
        self._session: WorkerSession | None = None
        self._current: Run | None = None
        self._exit_stack = ExitStack()

    @property
    def node_id(self) -> str:
        """Its name."""
        return self.sync.node_id

    async def __aenter__(self) -> AsyncWorker:
        await self._start(1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def __aiter__(self) -> AsyncWorker:
        return self

    async def __anext__(self) -> AsyncRun:
        """Claim the next job; hand back a run that the loop left unsettled, with a warning."""
        session, left = self._open_session(), self._current
        if left is not None and not left.settled:
            logger.warning("job %d was left unsettled and is handed back: use `async with run:`", left.id)
            await self._pools.write(session.heartbeat.hand_back, shielded=True)
        self._current = None
        runs = await self._claim(session, self._control.kinds, lambda: 1, lambda: False)
        if not runs:
            raise StopAsyncIteration
        self._current = runs[0]
        return AsyncRun(runs[0], self._pools)

    async def serve(self, handlers: Mapping[str, AnyHandler], concurrency: int = 1) -> None:
        """Run jobs with the handler for their kind, `concurrency` at a time, until the worker is shut down.

        An `async def` runs as a task and gets an `AsyncRun`; at the end of the shutdown timeout it is cancelled. Any
        other function gets a `jobstate.Run`, on a thread of its own.

        Args:
            handlers: By kind; called with the run. Returning completes the job, an exception fails it. Only these
                kinds are claimed.
            concurrency: 1..1000.
        """
        validation.integer("concurrency", concurrency, 1, 1000)
        kinds = self._control.kinds_for(handlers)
        for kind in kinds:
            check_handler(kind, handlers.get(kind), awaited=True)
        if self._session is not None:
            await self._serve(self._session, kinds, handlers, concurrency)
            return
        session = await self._start(concurrency)
        try:
            await self._serve(session, kinds, handlers, concurrency)
        finally:
            await self._stop()

    def shut_down(self) -> None:
        """Claim no more, ask the handlers to end, and hand back what they still hold after the shutdown timeout."""
        self.sync.shut_down()
        self._waiter.wake()

    async def _start(self, concurrency: int) -> WorkerSession:
        if self._session is not None:
            raise InvalidRequest("worker", f"{self.node_id} is at work already; make another one")
        self._control.shutting_down = False
        with ExitStack() as stack:
            stack.enter_context(shutdown_on_signal(self.shut_down))
            session = await self._pools.write(lambda: self._control.sign_on(concurrency), undo=WorkerSession.sign_off)
            self._exit_stack = stack.pop_all()
        self._session = session
        return session

    async def _stop(self) -> None:
        session = self._open_session()
        try:
            await self._pools.write(session.sign_off, shielded=True)
        finally:
            self._session = None
            self._exit_stack.close()

    def _open_session(self) -> WorkerSession:
        if self._session is None:
            raise InvalidRequest("worker", "is used inside its `async with` block, which starts the heartbeats")
        return self._session

    async def _claim(
        self, session: WorkerSession, kinds: Sequence[str] | None, limit: Callable[[], int], busy: Callable[[], bool]
    ) -> list[Run]:
        """Claim some runs; wait for the first. Empty when the worker is to end, or idle and not `busy`."""
        notifier = self._waiter.notifier
        while not self._control.shutting_down:
            change = notifier.next_change()
            attempt = await self._pools.write(partial(session.attempt, kinds, limit()), undo=_release_attempt)
            if attempt.runs or (attempt.idle and self._control.until_idle and not busy()):
                return attempt.runs
            if attempt.seen is None:
                await asyncio.sleep(BUSY_PAUSE)
            else:
                await notifier.wait(change, POLL_TIMEOUT)
        return []

    async def _serve(
        self, session: WorkerSession, kinds: Sequence[str], handlers: Mapping[str, AnyHandler], concurrency: int
    ) -> None:
        tasks = HandlerTasks()
        timer = ShutdownTimer(self._control)
        try:
            while not self._control.shutting_down:
                if tasks.active() >= concurrency:
                    if session.heartbeat.error is not None:
                        raise session.heartbeat.error
                    await tasks.wait_for_one(POLL_TIMEOUT)
                    continue
                runs = await self._claim(
                    session, kinds, lambda: concurrency - tasks.active(), lambda: tasks.active() > 0
                )
                if not runs:
                    break
                for run in runs:
                    handling = handle(run, handlers[run.job.kind], self._pools, self._control.shutdown_timeout)
                    tasks.start(handling, f"jobstate-{run.id}")
            heartbeat = session.heartbeat
            while tasks.active() and heartbeat.error is None:
                if timer.expired(heartbeat.held()):
                    break
                await tasks.wait_for_one(POLL_TIMEOUT)
        finally:
            try:
                await tasks.cancel_all()
            finally:
                if session.heartbeat.held():
                    await self._pools.write(session.heartbeat.hand_back, shielded=True)


def _release_attempt(attempt: Attempt) -> None:
    release_all(attempt.runs)
