"""`AsyncJobStore`, what `jobstate.aio.open` returns: the methods of a `JobStore`, awaited."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from jobstate.aio.batch import Batch
from jobstate.aio.polling import Waiter
from jobstate.aio.proxies import AsyncProxy, changing, giving_up, looking
from jobstate.aio.release import hand_back_all
from jobstate.aio.run import AsyncRun
from jobstate.aio.streams import Stream
from jobstate.aio.thread_pools import ThreadPools
from jobstate.aio.worker import AsyncWorker
from jobstate.core.context import Context
from jobstate.core.watch import Idle
from jobstate.domain.job import Job
from jobstate.operations.operations import Operations
from jobstate.operations.requests import Request
from jobstate.store import performers
from jobstate.store.store import JobStore
from jobstate.worker.run import Run
from jobstate.worker.worker import Worker

_AT_ONCE: Final = 100
"""How many jobs `iterate` brings from a thread at once."""

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Shared:
    """What an `AsyncJobStore` and those that it makes with `acting` share."""

    lanes: ThreadPools
    rests: Waiter
    owned: bool
    """Whether the store is closed with them."""
    claimed: set[Run] = field(default_factory=set)
    """Runs without a worker, which are handed back at the end if they are not settled by then."""


class StoreFace(AsyncProxy[JobStore]):
    """What the methods below stand on."""

    def __init__(self, sync: JobStore, shared: Shared) -> None:
        super().__init__(sync, shared.lanes)
        self._shared = shared


class _RequestBuilder(Operations):
    """Performs nothing: each verb returns its request instead of the result."""

    path = "a request"

    def _perform(self, request: Request[T]) -> T:
        return cast("T", request)

    def close(self) -> None:
        """Nothing is open."""


def _steps(
    method: Callable[Concatenate[JobStore, P], object], steps: Callable[[Context, R], Iterator[Sequence[T] | Idle]]
) -> Callable[Concatenate[JobStore, P], Iterator[Sequence[T] | Idle]]:
    """The steps of the method, between which the caller lets time pass."""

    def begin(store: JobStore, /, *given: P.args, **named: P.kwargs) -> Iterator[Sequence[T] | Idle]:
        unperformed: Any = _RequestBuilder(store._by, store._descriptor_limit)
        request: Any = method(unperformed, *given, **named)
        return steps(store._context, request)

    return begin


def _streaming(
    method: Callable[Concatenate[JobStore, P], Iterator[T]],
    begin: Callable[Concatenate[JobStore, P], Iterator[Sequence[T] | Idle]],
    way: Callable[[ThreadPools], Callable[[Callable[[], None]], Coroutine[Any, Any, None]]],
) -> Callable[Concatenate[StoreFace, P], Stream[T]]:
    """The method, read with `async for`."""

    @functools.wraps(method)
    def stream(self: StoreFace, /, *given: P.args, **named: P.kwargs) -> Stream[T]:
        return Stream(lambda: begin(self.sync, *given, **named), way(self._pools), self._shared.rests)

    return stream


def _waiting(
    method: Callable[Concatenate[JobStore, P], Job],
    begin: Callable[Concatenate[JobStore, P], Iterator[Sequence[Job] | Idle]],
) -> Callable[Concatenate[StoreFace, P], Coroutine[Any, Any, Job]]:
    @functools.wraps(method)
    async def wait(self: StoreFace, /, *given: P.args, **named: P.kwargs) -> Job:
        steps = Stream(lambda: begin(self.sync, *given, **named), self._pools.change, self._shared.rests)
        return await anext(steps)

    return wait


def _claiming(
    method: Callable[Concatenate[JobStore, P], Sequence[Run]],
) -> Callable[Concatenate[StoreFace, P], Coroutine[Any, Any, Sequence[AsyncRun]]]:
    @functools.wraps(method)
    async def claim(self: StoreFace, /, *given: P.args, **named: P.kwargs) -> Sequence[AsyncRun]:
        runs = await self._pools.change(lambda: method(self.sync, *given, **named), undo=hand_back_all)
        claimed = self._shared.claimed
        claimed.difference_update([run for run in claimed if run.settled])
        claimed.update(runs)
        return [AsyncRun(run, self._pools) for run in runs]

    return claim


def _working(
    method: Callable[Concatenate[JobStore, P], Worker],
) -> Callable[Concatenate[StoreFace, P], AsyncWorker]:
    @functools.wraps(method)
    def worker(self: StoreFace, /, *given: P.args, **named: P.kwargs) -> AsyncWorker:
        return AsyncWorker(method(self.sync, *given, **named), self._pools, self._shared.rests)

    return worker


def _pages(
    method: Callable[Concatenate[JobStore, P], Iterator[Job]],
) -> Callable[Concatenate[JobStore, P], Iterator[Sequence[Job]]]:
    def pages(store: JobStore, /, *given: P.args, **named: P.kwargs) -> Iterator[Sequence[Job]]:
        jobs = method(store, *given, **named)
        while page := list(islice(jobs, _AT_ONCE)):
            yield page

    return pages


class AsyncJobStore(StoreFace):
    """The truth about jobs, in one store, for the tasks of one event loop; see `jobstate.JobStore`.

    The methods are those of a `JobStore`, with the same parameters, results and errors, and are awaited; `watch`,
    `follow_logs` and `iterate` are read with `async for`. They run on threads, so that the loop never waits for the
    store. A call that is cancelled before a thread has begun it is not made; one that has begun is carried through
    before the cancellation goes on, and waits for no other writer any more; `prune`, `audit` and `backup` go no
    further. What a cancelled claim took is handed back.
    """

    submit = changing(JobStore.submit)
    submit_many = changing(JobStore.submit_many)
    schedule = changing(JobStore.schedule)

    get = looking(JobStore.get)
    list = looking(JobStore.list)
    ordered = looking(JobStore.ordered)
    iterate = _streaming(JobStore.iterate, _pages(JobStore.iterate), lambda lanes: lanes.look)
    counts = looking(JobStore.counts)
    events = looking(JobStore.events)
    event = looking(JobStore.event)
    workers = looking(JobStore.workers)
    worker_info = looking(JobStore.worker_info)
    newest_event = looking(JobStore.newest_event)

    progress = looking(JobStore.progress)
    checkpoints = looking(JobStore.checkpoints)
    checkpoint_slice = looking(JobStore.checkpoint_slice)
    checkpoint = looking(JobStore.checkpoint)
    metrics = looking(JobStore.metrics)
    operator_metrics = looking(JobStore.operator_metrics)
    logs = looking(JobStore.logs)
    errors = looking(JobStore.errors)
    output = looking(JobStore.output)

    stop = changing(JobStore.stop)
    rescale = changing(JobStore.rescale)
    fail = changing(JobStore.fail)
    restart = changing(JobStore.restart)
    delete = changing(JobStore.delete)
    prune = changing(giving_up(JobStore.prune))

    claim = _claiming(JobStore.claim)
    worker = _working(JobStore.worker)

    wait = _waiting(JobStore.wait, _steps(JobStore.wait, performers.wait_steps))
    watch = _streaming(JobStore.watch, _steps(JobStore.watch, performers.watch_steps), lambda lanes: lanes.look)
    follow_logs = _streaming(
        JobStore.follow_logs, _steps(JobStore.follow_logs, performers.log_steps), lambda lanes: lanes.change
    )

    sweep = changing(JobStore.sweep)
    audit = looking(giving_up(JobStore.audit))
    backup = looking(giving_up(JobStore.backup))

    @property
    def path(self) -> str:
        """Where the store is."""
        return self.sync.path

    async def schema_version(self) -> int:
        """The version of the schema in the store."""
        return await self._pools.look(lambda: self.sync.schema_version)

    async def __aenter__(self) -> AsyncJobStore:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncJobStore {self.path}>"

    async def complete_many(self, runs: Sequence[AsyncRun]) -> Sequence[AsyncRun]:
        """Complete these runs, in one transaction.

        Returns:
            Those whose lease was lost: they were not completed.
        """
        lost = await self._pools.change(lambda: self.sync.complete_many([run.sync for run in runs]))
        return [run for run in runs if run.sync in lost]

    def acting(self, actor: str, reason: str | None = None) -> AsyncJobStore:
        """This store, with another default for who acts and why."""
        return AsyncJobStore(self.sync.acting(actor, reason), self._shared)

    def batch(self) -> AbstractAsyncContextManager[None]:
        """Many awaited calls, one commit: an error or a cancellation that leaves the block undoes all of them.

        It holds the write lock from beginning to end, so keep it short. What the tasks that are made within call, while
        it lasts, is part of it; other tasks neither see nor join it.
        """
        return Batch(self._pools, self.sync.batch())

    async def call(self, function: Callable[Concatenate[JobStore, P], T], /, *given: P.args, **named: P.kwargs) -> T:
        """Call a function with the `JobStore` itself, on a thread for changes, or that of the batch."""
        return await self._pools.change(lambda: function(self.sync, *given, **named))

    async def close(self) -> None:
        """Hand back what was claimed and not settled, end the threads and close the store.

        Later calls raise `StoreClosed`. A store that others opened stays open.
        """
        shared = self._shared
        if shared.lanes.is_closed:
            return
        held = [run for run in shared.claimed if not run.settled]
        try:
            if held:
                await shared.lanes.change(partial(hand_back_all, held), sure=True)
        finally:
            await shared.lanes.close(self.path, partial(_last, shared, self.sync))


def _last(shared: Shared, store: JobStore) -> None:
    shared.rests.end()
    if shared.owned:
        store.close()
