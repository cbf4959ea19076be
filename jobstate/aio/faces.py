"""From methods of a store or a run to awaited ones: the same names, parameters and results, and one implementation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from jobstate.aio.lanes import Lanes
from jobstate.patience import in_a_hurry

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


class Face(Generic[S_co]):
    """The awaited side of something that is called on threads.

    Attributes:
        sync: What does the work, for code on a thread of its own.
    """

    def __init__(self, sync: S_co, lanes: Lanes) -> None:
        self.sync = sync
        self._lanes = lanes


def looking(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[Face[S], P], Coroutine[Any, Any, T]]:
    """The method, awaited; it changes nothing."""

    @functools.wraps(method)
    async def look(self: Face[S], /, *given: P.args, **named: P.kwargs) -> T:
        return await self._lanes.look(lambda: method(self.sync, *given, **named))

    return look


def changing(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[Face[S], P], Coroutine[Any, Any, T]]:
    """The method, awaited; it may change the store."""

    @functools.wraps(method)
    async def change(self: Face[S], /, *given: P.args, **named: P.kwargs) -> T:
        return await self._lanes.change(lambda: method(self.sync, *given, **named))

    return change


def giving_up(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], T]:
    """The method, which tells of its `progress`: when nobody waits for it any more, it goes no further."""

    @functools.wraps(method)
    def call(self: S, /, *given: P.args, **named: P.kwargs) -> T:
        told = named.get("progress")

        def progress(done: int, total: int) -> None:
            if in_a_hurry():
                raise GivenUp
            if callable(told):
                told(done, total)

        named["progress"] = progress
        return method(self, *given, **named)

    return call


class GivenUp(Exception):
    """The task that waited for the call was cancelled."""


def local(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[Face[S], P], T]:
    """The method as it is: it only touches memory."""

    @functools.wraps(method)
    def call(self: Face[S], /, *given: P.args, **named: P.kwargs) -> T:
        return method(self.sync, *given, **named)

    return call


class Shown(Generic[S, T]):
    """An attribute of the other side, which only touches memory."""

    def __init__(self, read: Callable[[S], T]) -> None:
        self._read = read

    @overload
    def __get__(self, face: None, owner: type) -> Shown[S, T]: ...
    @overload
    def __get__(self, face: Face[S], owner: type) -> T: ...
    def __get__(self, face: Face[S] | None, owner: type) -> T | Shown[S, T]:
        return self if face is None else self._read(face.sync)
