"""`AsyncJobStore`: the methods of a `JobStore`, awaited. `jobstate.aio.open` returns one."""

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
from jobstate.aio.proxies import AsyncProxy, interruptible, keeps_signature, reads, writes
from jobstate.aio.run import AsyncRun, release_all
from jobstate.aio.streams import Stream
from jobstate.aio.thread_pools import ThreadPools
from jobstate.aio.waiter import Waiter
from jobstate.aio.worker import AsyncWorker
from jobstate.core.context import Context
from jobstate.core.watch import Idle
from jobstate.domain.job import Job
from jobstate.operations.operations import Operations
from jobstate.operations.requests import Request
from jobstate.store import performers
from jobstate.store.job_store import JobStore
from jobstate.worker.run import Run
from jobstate.worker.worker import Worker

_PAGE: Final = 100
"""How many jobs `iterate` reads in one call on a thread."""

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Shared:
    """What an `AsyncJobStore` and those that it makes with `acting` share."""

    pools: ThreadPools
    waiter: Waiter
    owned: bool
    """Whether closing this closes the store too."""
    claimed: set[Run] = field(default_factory=set)
    """Runs without a worker; `close` hands back those that are not settled."""


class StoreProxy(AsyncProxy[JobStore]):
    """The state that the method makers below need."""

    def __init__(self, sync: JobStore, shared: Shared) -> None:
        super().__init__(sync, shared.pools)
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


@keeps_signature
def _streaming(
    method: Callable[Concatenate[JobStore, P], Iterator[T]],
    begin: Callable[Concatenate[JobStore, P], Iterator[Sequence[T] | Idle]],
    run_step: Callable[[ThreadPools, Callable[[], None]], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[StoreProxy, P], Stream[T]]:
    """The method, read with `async for`."""

    @functools.wraps(method)
    def stream(self: StoreProxy, /, *args: P.args, **kwargs: P.kwargs) -> Stream[T]:
        return Stream(lambda: begin(self.sync, *args, **kwargs), partial(run_step, self._pools), self._shared.waiter)

    return stream


@keeps_signature
def _waiting(
    method: Callable[Concatenate[JobStore, P], Job],
    begin: Callable[Concatenate[JobStore, P], Iterator[Sequence[Job] | Idle]],
) -> Callable[Concatenate[StoreProxy, P], Coroutine[Any, Any, Job]]:
    @functools.wraps(method)
    async def wait(self: StoreProxy, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        steps = Stream(lambda: begin(self.sync, *args, **kwargs), self._pools.write, self._shared.waiter)
        return await anext(steps)

    return wait


@keeps_signature
def _claiming(
    method: Callable[Concatenate[JobStore, P], Sequence[Run]],
) -> Callable[Concatenate[StoreProxy, P], Coroutine[Any, Any, Sequence[AsyncRun]]]:
    @functools.wraps(method)
    async def claim(self: StoreProxy, /, *args: P.args, **kwargs: P.kwargs) -> Sequence[AsyncRun]:
        runs = await self._pools.write(lambda: method(self.sync, *args, **kwargs), undo=release_all)
        claimed = self._shared.claimed
        claimed.difference_update([run for run in claimed if run.settled])
        claimed.update(runs)
        return [AsyncRun(run, self._pools) for run in runs]

    return claim


@keeps_signature
def _working(
    method: Callable[Concatenate[JobStore, P], Worker],
) -> Callable[Concatenate[StoreProxy, P], AsyncWorker]:
    @functools.wraps(method)
    def worker(self: StoreProxy, /, *args: P.args, **kwargs: P.kwargs) -> AsyncWorker:
        return AsyncWorker(method(self.sync, *args, **kwargs), self._pools, self._shared.waiter)

    return worker


def _pages(
    method: Callable[Concatenate[JobStore, P], Iterator[Job]],
) -> Callable[Concatenate[JobStore, P], Iterator[Sequence[Job]]]:
    def pages(store: JobStore, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[Sequence[Job]]:
        jobs = method(store, *args, **kwargs)
        while page := list(islice(jobs, _PAGE)):
            yield page

    return pages


class AsyncJobStore(StoreProxy):
    """A store of jobs, for the tasks of one event loop; see `jobstate.JobStore`.

    The methods are those of a `JobStore`, with the same parameters, results and errors, and are awaited; `watch`,
    `follow_logs` and `iterate` are read with `async for`. They run on threads, so the loop never waits for the store. A
    call that is cancelled before a thread has started it is not made. One that has started is completed before the
    cancellation propagates, and waits for no other writer any more; `prune`, `audit` and `backup` stop early. A
    cancelled claim hands its jobs back.
    """

    submit = writes(JobStore.submit)
    submit_many = writes(JobStore.submit_many)
    schedule = writes(JobStore.schedule)

    get = reads(JobStore.get)
    list = reads(JobStore.list)
    ordered = reads(JobStore.ordered)
    iterate = _streaming(JobStore.iterate, _pages(JobStore.iterate), ThreadPools.read)
    counts = reads(JobStore.counts)
    events = reads(JobStore.events)
    event = reads(JobStore.event)
    workers = reads(JobStore.workers)
    worker_info = reads(JobStore.worker_info)
    newest_event = reads(JobStore.newest_event)

    progress = reads(JobStore.progress)
    checkpoints = reads(JobStore.checkpoints)
    checkpoint_slice = reads(JobStore.checkpoint_slice)
    checkpoint = reads(JobStore.checkpoint)
    metrics = reads(JobStore.metrics)
    operator_metrics = reads(JobStore.operator_metrics)
    logs = reads(JobStore.logs)
    errors = reads(JobStore.errors)
    output = reads(JobStore.output)

    stop = writes(JobStore.stop)
    rescale = writes(JobStore.rescale)
    fail = writes(JobStore.fail)
    restart = writes(JobStore.restart)
    delete = writes(JobStore.delete)
    prune = writes(interruptible(JobStore.prune))

    claim = _claiming(JobStore.claim)
    worker = _working(JobStore.worker)

    wait = _waiting(JobStore.wait, _steps(JobStore.wait, performers.wait_steps))
    watch = _streaming(JobStore.watch, _steps(JobStore.watch, performers.watch_steps), ThreadPools.read)
    follow_logs = _streaming(
        JobStore.follow_logs, _steps(JobStore.follow_logs, performers.log_steps), ThreadPools.write
    )

    sweep = writes(JobStore.sweep)
    audit = reads(interruptible(JobStore.audit))
    backup = reads(interruptible(JobStore.backup))

    @property
    def path(self) -> str:
        """Where the store is."""
        return self.sync.path

    async def schema_version(self) -> int:
        """The version of the schema in the store."""
        return await self._pools.read(lambda: self.sync.schema_version)

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
        lost = await self._pools.write(lambda: self.sync.complete_many([run.sync for run in runs]))
        return [run for run in runs if run.sync in lost]

    def acting(self, actor: str, reason: str | None = None) -> AsyncJobStore:
        """This store with another default actor and reason."""
        return AsyncJobStore(self.sync.acting(actor, reason), self._shared)

    def batch(self) -> AbstractAsyncContextManager[None]:
        """Many awaited calls, one commit: an error or a cancellation that leaves the block undoes all of them.

        It holds the write lock from beginning to end, so keep it short. Calls of tasks that start within, while it
        lasts, are part of it; other tasks neither see nor join it.
        """
        return Batch(self._pools, self.sync.batch())

    async def call(self, function: Callable[Concatenate[JobStore, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with the `JobStore` itself, on a thread for writes or that of the batch."""
        return await self._pools.write(lambda: function(self.sync, *args, **kwargs))

    async def close(self) -> None:
        """Hand back claimed jobs that are not settled, end the threads and close the store.

        Later calls raise `StoreClosed`. The store of `jobstate.aio.over` stays open.
        """
        shared = self._shared
        if shared.pools.is_closed:
            return
        held = [run for run in shared.claimed if not run.settled]
        try:
            if held:
                await shared.pools.write(partial(release_all, held), shielded=True)
        finally:
            await shared.pools.close(self.path, partial(_close, shared, self.sync))


def _close(shared: Shared, store: JobStore) -> None:
    shared.waiter.stop()
    if shared.owned:
        store.close()
