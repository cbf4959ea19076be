"""`jobstate.aio.open` and `over`: a store for the tasks of an event loop."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from types import TracebackType
from typing import ParamSpec

import jobstate.store.open
from jobstate.aio.store import AsyncJobStore, Shared
from jobstate.aio.thread_pools import ThreadPools
from jobstate.aio.waiter import Waiter
from jobstate.store.job_store import JobStore

P = ParamSpec("P")


class Opening:
    """A store that is not open yet: `async with` it, or await it and `await jobs.close()` later."""

    def __init__(self, open_store: Callable[[], JobStore]) -> None:
        self._open_store = open_store
        self._jobs: AsyncJobStore | None = None

    def __await__(self) -> Generator[object, None, AsyncJobStore]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncJobStore:
        self._jobs = await self._open()
        return self._jobs

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._jobs is not None:
            await self._jobs.close()

    async def _open(self) -> AsyncJobStore:
        stores: list[JobStore] = []
        pools = ThreadPools(lambda: _close_thread(stores))

        def open_store() -> JobStore:
            stores.append(self._open_store())
            return stores[0]

        try:
            store = await pools.write(open_store, undo=JobStore.close)
        except BaseException:
            await pools.close("", lambda: None)
            raise
        return AsyncJobStore(store, Shared(pools, Waiter(store._context, pools), owned=True))


def _opens(method: Callable[P, JobStore]) -> Callable[P, Opening]:
    @functools.wraps(method)
    def opening(*args: P.args, **kwargs: P.kwargs) -> Opening:
        return Opening(lambda: method(*args, **kwargs))

    return opening


open = _opens(jobstate.store.open.open)  # noqa: A001  (it is `jobstate.aio.open`)


def over(store: JobStore) -> AsyncJobStore:
    """The awaited side of an open store; closing it leaves the store open."""
    pools = ThreadPools(store.repository.close_thread)
    return AsyncJobStore(store, Shared(pools, Waiter(store._context, pools), owned=False))


def _close_thread(stores: list[JobStore]) -> None:
    for store in stores:
        store.repository.close_thread()
