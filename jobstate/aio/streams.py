"""What is read with `async for`: what happens, what a job says, many jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from jobstate.aio.polling import Mark, Waiter
from jobstate.core.watch import Idle
from jobstate.domain.errors import InvalidRequest

T = TypeVar("T")


class Steps(Protocol):
    """Where the steps are made: one of the ways of `Lanes`."""

    async def __call__(self, work: Callable[[], None], /) -> None:
        """Make a step on a thread."""


class Stream(Generic[T]):
    """One thing after the other, for one task at a time. It holds nothing while nobody waits for the next.

    A step that is cancelled loses nothing: what was read is there at the next one. What it is to begin behind is found
    out at the first step, or at the beginning of an `async with` block around the loop.

    Args:
        begin: What finds them, made on a thread.
        steps: Where it is called.
        rests: How the time between two looks passes.
    """

    def __init__(self, begin: Callable[[], Iterator[Sequence[T] | Idle]], steps: Steps, rests: Waiter) -> None:
        self._begin = begin
        self._steps = steps
        self._rests = rests
        self._finding: Iterator[Sequence[T] | Idle] | None = None
        self._found: deque[T] = deque()
        self._mark: Mark = 0
        self._rest: Idle | None = None
        self._over = False
        self._taken = False

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        if self._taken:
            raise InvalidRequest("stream", "is read by another task at this moment; open one for each")
        self._taken = True
        try:
            while not self._found and not self._over:
                await self._look()
        finally:
            self._taken = False
        if not self._found:
            raise StopAsyncIteration
        return self._found.popleft()

    async def __aenter__(self) -> Stream[T]:
        if self._finding is None:
            await self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Read no more."""
        self._over = True
        self._found.clear()

    async def _look(self) -> None:
        if self._rest is not None:
            await self._rests.rest(self._mark, self._rest)
            self._rest = None
        self._mark = await self._rests.mark()
        await self._steps(self._step)

    def _step(self) -> None:
        """On a thread; what is found is kept here, as the task may be cancelled meanwhile."""
        if self._finding is None:
            self._finding = self._begin()
        found = next(self._finding, None)
        if found is None:
            self._over = True
        elif isinstance(found, Idle):
            self._rest = found
        else:
            self._found.extend(found)
