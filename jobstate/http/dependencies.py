"""How a route gets its store: for reading, or for writing in the name of the caller."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from jobstate.core.change_notifier import ChangeNotifier
from jobstate.domain.errors import InvalidRequest, StoreBusy
from jobstate.http.parameters import Actor, Reason
from jobstate.http.store_provider import StoreProvider
from jobstate.store.job_store import JobStore

_MOST_WRITERS: Final = 16
"""Of the forty threads that serve requests: a locked store blocks this many writers, and no reader."""
_WRITE_TIMEOUT: Final = 10.0
"""Seconds that a writer waits for its turn."""


class WriteLimit:
    """Admits a few writers at a time, so that readers find a free thread. SQLite lets one of them write."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_MOST_WRITERS)

    @asynccontextmanager
    async def turn(self, path: str) -> AsyncIterator[None]:
        """Wait for a turn, and keep it until the block ends.

        Raises:
            StoreBusy: No turn came in time.
        """
        try:
            async with asyncio.timeout(_WRITE_TIMEOUT):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy(path, "many other requests wait to write; repeat the call") from None
        try:
            yield
        finally:
            self._free.release()


async def refuse_repeated(request: Request) -> None:
    """Refuse a query key that occurs twice: its values contradict each other."""
    repeated = [
        name for name, times in Counter(name for name, _ in request.query_params.multi_items()).items() if times > 1
    ]
    if repeated:
        raise InvalidRequest(repeated[0], "is given more than once; name several values with commas")


def provider_of(request: Request) -> StoreProvider:
    """The provider of the store that this application serves."""
    provider: StoreProvider = request.app.state.provider
    return provider


def changes_of(request: Request) -> ChangeNotifier:
    """The notifier of changes to that store."""
    changes: ChangeNotifier = request.app.state.changes
    return changes


def store_of(request: Request) -> JobStore:
    """The store, for a route that only reads."""
    return provider_of(request).store()


async def acting_store(request: Request, actor: Actor = None, reason: Reason = None) -> AsyncIterator[JobStore]:
    """The store, with the caller as the actor. Without an answer when the file was replaced during the call."""
    caller = f"http:{request.client.host if request.client else 'unknown'}"
    provider, limit = provider_of(request), _write_limit_of(request)
    async with limit.turn(provider.path):
        store = await run_in_threadpool(provider.store)
        yield store.acting(caller if actor is None else _decoded(actor), None if reason is None else unquote(reason))
        provider.confirm(store)


def _write_limit_of(request: Request) -> WriteLimit:
    limit: WriteLimit = request.app.state.write_limit
    return limit


def _decoded(text: str) -> str:
    """A percent-encoded name, or the text itself where decoding gives nothing printable."""
    decoded = unquote(text)
    return decoded if decoded.isprintable() and decoded else text


Store = Annotated[JobStore, Depends(store_of)]
ActingStore = Annotated[JobStore, Depends(acting_store, scope="function")]
