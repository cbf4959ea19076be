"""What performs requests: the part of `Operations` below the verbs."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self, TypeVar

from jobstate.domain import validation
from jobstate.domain.event import Actor
from jobstate.operations.requests import Request

T = TypeVar("T")


class Requester(ABC):
    """Performs requests in the name of one actor; a store and a client each do it in their way.

    Args:
        by: Who acts, and why, unless a call says otherwise.
        descriptor_limit: The largest descriptor, in bytes of JSON.
    """

    def __init__(self, by: Actor, descriptor_limit: int = validation.DEFAULT_DESCRIPTOR_LIMIT) -> None:
        self._by = by
        self._descriptor_limit = descriptor_limit

    @abstractmethod
    def _perform(self, request: Request[T]) -> T:
        """Perform a request, and return its result."""

    @property
    @abstractmethod
    def path(self) -> str:
        """Where the jobs are: the path of the store's file, or the URL of the server."""

    @abstractmethod
    def close(self) -> None:
        """Close the store, or the connections to the server; later calls raise `StoreClosed`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def acting(self, actor: str, reason: str | None = None) -> Self:
        """The same jobs, with another default for who acts and why."""
        other = copy.copy(self)
        other._by = Actor(validation.text("actor", actor), validation.reason(reason))  # noqa: SLF001  (its own copy)
        return other

    def _acting(self, actor: str | None, reason: str | None) -> Actor:
        return self._by if actor is None and reason is None else self._by.overridden(actor, reason)
