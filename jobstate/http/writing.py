"""Requests that change something stand in line, so that those that look find a thread free."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from jobstate.domain.errors import StoreBusy

_AT_ONCE: Final = 16
"""Of forty threads: a store that somebody has locked holds up as many writers, and no reader."""
_PATIENCE: Final = 10.0


class Writers:
    """Lets a few writers in at a time; SQLite lets one of them write."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def turn(self, path: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends; StoreBusy when it does not come."""
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy(path, "many other requests wait to write; repeat the call") from None
        try:
            yield
        finally:
            self._free.release()
