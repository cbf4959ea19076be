"""`Stream`: what `watch`, `follow_logs` and `iterate` return, read with `async for`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from jobstate.aio.waiter import Change, Waiter
from jobstate.core.watch import Idle
from jobstate.domain.errors import InvalidRequest

T = TypeVar("T")


class RunStep(Protocol):
    """`ThreadPools.read` or `ThreadPools.write`."""

    async def __call__(self, work: Callable[[], None], /) -> None:
        """Run a step on a thread."""


class Stream(Generic[T]):
    """Items one by one, for one task at a time. It holds no thread while no task waits for the next item.

    A cancelled step loses nothing: what was read is there at the next one. Where the stream begins is decided at its
    first step, or at the start of an `async with` block around the loop.

    Args:
        begin: Makes the steps; called on a thread.
        run_step: Runs each of them.
        waiter: Waits between them.
    """

    def __init__(self, begin: Callable[[], Iterator[Sequence[T] | Idle]], run_step: RunStep, waiter: Waiter) -> None:
        self._begin = begin
        self._run_step = run_step
        self._waiter = waiter
        self._steps: Iterator[Sequence[T] | Idle] | None = None
        self._found: deque[T] = deque()
        self._change: Change = 0
        self._idle: Idle | None = None
        self._exhausted = False
        self._being_read = False

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        if self._being_read:
            raise InvalidRequest("stream", "is read by another task at this moment; open one for each")
        self._being_read = True
        try:
            while not self._found and not self._exhausted:
                await self._next_step()
        finally:
            self._being_read = False
        if not self._found:
            raise StopAsyncIteration
        return self._found.popleft()

    async def __aenter__(self) -> Stream[T]:
        if self._steps is None:
            await self._next_step()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream; items that were read ahead are dropped."""
        self._exhausted = True
        self._found.clear()

    async def _next_step(self) -> None:
        if self._idle is not None:
            await self._waiter.wait(self._change, self._idle)
            self._idle = None
        self._change = await self._waiter.next_change()
        await self._run_step(self._step)

    def _step(self) -> None:
        """On a thread; keeps what it found here, because the task may be cancelled meanwhile."""
        if self._steps is None:
            self._steps = self._begin()
        found = next(self._steps, None)
        if found is None:
            self._exhausted = True
        elif isinstance(found, Idle):
            self._idle = found
        else:
            self._found.extend(found)
