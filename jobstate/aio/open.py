"""Opening a store for the tasks of an event loop, and the awaited side of one that is open."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from types import TracebackType
from typing import ParamSpec

import jobstate.store.open
from jobstate.aio.polling import Waiter
from jobstate.aio.store import AsyncJobStore, Shared
from jobstate.aio.thread_pools import ThreadPools
from jobstate.store.store import JobStore

P = ParamSpec("P")


class Opening:
    """A store that is about to be opened: `async with` it, or await it and `await jobs.close()` later."""

    def __init__(self, begin: Callable[[], JobStore]) -> None:
        self._begin = begin
        self._jobs: AsyncJobStore | None = None

    def __await__(self) -> Generator[object, None, AsyncJobStore]:
        return self._opened().__await__()

    async def __aenter__(self) -> AsyncJobStore:
        self._jobs = await self._opened()
        return self._jobs

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._jobs is not None:
            await self._jobs.close()

    async def _opened(self) -> AsyncJobStore:
        stores: list[JobStore] = []
        lanes = ThreadPools(lambda: _close_thread(stores))

        def begin() -> JobStore:
            stores.append(self._begin())
            return stores[0]

        try:
            store = await lanes.change(begin, undo=JobStore.close)
        except BaseException:
            await lanes.close("", lambda: None)
            raise
        return AsyncJobStore(store, Shared(lanes, Waiter(store._context, lanes), owned=True))


def _opening(method: Callable[P, JobStore]) -> Callable[P, Opening]:
    @functools.wraps(method)
    def opening(*given: P.args, **named: P.kwargs) -> Opening:
        return Opening(lambda: method(*given, **named))

    return opening


open = _opening(jobstate.store.open.open)  # noqa: A001  (it is `jobstate.aio.open`)


def over(store: JobStore) -> AsyncJobStore:
    """The awaited side of a store that is open; closing it leaves the store open."""
    lanes = ThreadPools(store.repository.close_thread)
    return AsyncJobStore(store, Shared(lanes, Waiter(store._context, lanes), owned=False))


def _close_thread(stores: list[JobStore]) -> None:
    for store in stores:
        store.repository.close_thread()
