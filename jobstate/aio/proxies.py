"""From methods of a store or a run to awaited ones: the same names, parameters and results, and one implementation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from jobstate.aio.thread_pools import ThreadPools
from jobstate.core.cancellation import is_cancelled

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


class AsyncProxy(Generic[S_co]):
    """The awaited side of something that is called on threads.

    Attributes:
        sync: What does the work, for code on a thread of its own.
    """

    def __init__(self, sync: S_co, lanes: ThreadPools) -> None:
        self.sync = sync
        self._pools = lanes


def looking(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncProxy[S], P], Coroutine[Any, Any, T]]:
    """The method, awaited; it changes nothing."""

    @functools.wraps(method)
    async def look(self: AsyncProxy[S], /, *given: P.args, **named: P.kwargs) -> T:
        return await self._pools.look(lambda: method(self.sync, *given, **named))

    return look


def changing(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncProxy[S], P], Coroutine[Any, Any, T]]:
    """The method, awaited; it may change the store."""

    @functools.wraps(method)
    async def change(self: AsyncProxy[S], /, *given: P.args, **named: P.kwargs) -> T:
        return await self._pools.change(lambda: method(self.sync, *given, **named))

    return change


def giving_up(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """The method, which tells of its `progress`: when nobody waits for it any more, it goes no further."""

    @functools.wraps(method)
    def call(self: S, /, *given: P.args, **named: P.kwargs) -> T:
        told = named.get("progress")

        def progress(done: int, total: int) -> None:
            if is_cancelled():
                raise Cancelled
            if callable(told):
                told(done, total)

        named["progress"] = progress
        return method(self, *given, **named)

    return call


class Cancelled(Exception):
    """The task that waited for the call was cancelled."""


def local(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncProxy[S], P], T]:
    """The method as it is: it only touches memory."""

    @functools.wraps(method)
    def call(self: AsyncProxy[S], /, *given: P.args, **named: P.kwargs) -> T:
        return method(self.sync, *given, **named)

    return call


class ForwardedProperty(Generic[S, T]):
    """An attribute of the other side, which only touches memory."""

    def __init__(self, read: Callable[[S], T]) -> None:
        self._read = read

    @overload
    def __get__(self, face: None, owner: type) -> ForwardedProperty[S, T]: ...
    @overload
    def __get__(self, face: AsyncProxy[S], owner: type) -> T: ...
    def __get__(self, face: AsyncProxy[S] | None, owner: type) -> T | ForwardedProperty[S, T]:
        return self if face is None else self._read(face.sync)
