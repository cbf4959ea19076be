"""A task that is cancelled at a chosen point: at its n-th suspension, in one of the ways in which that can happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

Suspended = Callable[[asyncio.Task[Any], Any], None]


def _before(task: asyncio.Task[Any], _: object) -> None:
    """The wish comes first: what the task was about to wait for has not begun, or hardly."""
    task.cancel()


def _soon(task: asyncio.Task[Any], _: object) -> None:
    """The wish comes while the task waits."""
    task.get_loop().call_soon(task.cancel)


def _after(task: asyncio.Task[Any], waited: object) -> None:
    """The wish comes when what the task waits for is done, and before it could go on."""
    if isinstance(waited, asyncio.Future):
        waited.add_done_callback(lambda _: task.cancel())
    else:
        _soon(task, waited)


def _again_and_again(task: asyncio.Task[Any], waited: object) -> None:
    """As scopes of anyio do: at every turn of the loop until the task is done."""
    if not task.done():
        task.cancel()
        task.get_loop().call_later(0.0001, _again_and_again, task, waited)


WAYS: Final[dict[str, Suspended]] = {
    "before": _before,
    "soon": _soon,
    "after": _after,
    "again and again": _again_and_again,
}


class Cancelling:
    """Awaits a coroutine, and has the current task cancelled at its n-th suspension; `arrived` says whether it was."""

    def __init__(self, doing: Coroutine[Any, Any, object], number: int, way: Suspended) -> None:
        self._doing = doing
        self._number = number
        self._way = way
        self.arrived = False

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._doing.__await__()
        suspended = 0
        step: Callable[[], Any] = lambda: next(steps)  # noqa: E731
        while True:
            try:
                waited = step()
            except StopIteration as over:
                return over.value
            if suspended == self._number:
                self.arrived = True
                self._way(task, waited)
            suspended += 1
            try:
                yield waited
            except BaseException as error:
                thrown = error
                step = lambda: steps.throw(thrown)  # noqa: B023, E731
            else:
                step = lambda: next(steps)  # noqa: E731


async def cancelled_everywhere(
    make: Callable[[], Coroutine[Any, Any, object]], way: Suspended, check: Callable[[bool], None]
) -> int:
    """Let it be cancelled at its first suspension, its second and so on, until it gets through; how many there were.

    Args:
        make: The coroutine anew.
        way: How the wish comes.
        check: Called after each, with whether it was cancelled.
    """
    number = 0
    while True:
        cancelling = Cancelling(make(), number, way)

        async def doing(cancelling: Cancelling = cancelling) -> None:
            await cancelling

        task = asyncio.create_task(doing())
        await asyncio.wait({task})
        if not task.cancelled():
            assert not cancelling.arrived, task.exception() or "the cancellation was swallowed"
            assert task.exception() is None
        check(task.cancelled())
        if not cancelling.arrived:
            return number
        number += 1
