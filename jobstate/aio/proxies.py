"""Awaited methods made from those of a store or a run: same name, parameters and result, one implementation."""

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
M = TypeVar("M", bound=Callable[..., Any])

TYPE_CHECKING = False
"""Type checkers take a variable of this name for true. jedi takes that of `typing` for true, and this one for false."""

if TYPE_CHECKING:

    def keeps_signature(maker: M) -> M:
        """A maker of awaited methods, each with the parameters of the method that it awaits."""

else:

    def keeps_signature(maker):
        """The maker. jedi does not resolve `ParamSpec`; it takes the result for `awaited`, and shows its parameters."""

        @functools.wraps(maker)
        def make(method, *others):
            @functools.wraps(method)
            def awaited(self, /, *args, **kwargs):
                return method(self, *args, **kwargs)

            return awaited if maker is None else maker(method, *others)

        return make


class AsyncProxy(Generic[S_co]):
    """The awaited side of an object whose methods run on threads.

    Attributes:
        sync: That object, for code on a thread of its own.
    """

    def __init__(self, sync: S_co, pools: ThreadPools) -> None:
        self.sync = sync
        self._pools = pools


@keeps_signature
def reads(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncProxy[S], P], Coroutine[Any, Any, T]]:
    """The method, awaited, on a thread for reads: it changes nothing."""

    @functools.wraps(method)
    async def read(self: AsyncProxy[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._pools.read(lambda: method(self.sync, *args, **kwargs))

    return read


@keeps_signature
def writes(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncProxy[S], P], Coroutine[Any, Any, T]]:
    """The method, awaited, on a thread for writes: it may change the store."""

    @functools.wraps(method)
    async def write(self: AsyncProxy[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._pools.write(lambda: method(self.sync, *args, **kwargs))

    return write


@keeps_signature
def interruptible(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """The method, which reports its `progress`: it stops at the next report once its task was cancelled."""

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        report = kwargs.get("progress")

        def progress(done: int, total: int) -> None:
            if is_cancelled():
                raise Cancelled
            if callable(report):
                report(done, total)

        kwargs["progress"] = progress
        return method(self, *args, **kwargs)

    return call


class Cancelled(Exception):
    """The task that awaited the call was cancelled."""


@keeps_signature
def local(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncProxy[S], P], T]:
    """The method as it is, on the loop: it only touches memory."""

    @functools.wraps(method)
    def call(self: AsyncProxy[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self.sync, *args, **kwargs)

    return call


class ForwardedProperty(Generic[S, T]):
    """An attribute of the sync side, which only touches memory."""

    def __init__(self, read: Callable[[S], T]) -> None:
        self._read = read

    @overload
    def __get__(self, proxy: None, owner: type) -> ForwardedProperty[S, T]: ...
    @overload
    def __get__(self, proxy: AsyncProxy[S], owner: type) -> T: ...
    def __get__(self, proxy: AsyncProxy[S] | None, owner: type) -> T | ForwardedProperty[S, T]:
        return self if proxy is None else self._read(proxy.sync)
