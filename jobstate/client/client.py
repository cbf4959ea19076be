"""`JobClient`, what `jobstate.connect` returns: the shared operations, each one request to a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from jobstate.client.performers import PERFORMERS
from jobstate.domain.event import Actor
from jobstate.operations.operations import Operations
from jobstate.operations.requests import Request

if TYPE_CHECKING:
    from jobstate.client.connection import Connection

T = TypeVar("T")


class JobClient(Operations):
    """The jobs of a store elsewhere, through its `jobstate serve`. Safe to use from several threads.

    The verbs are those of `JobStore`, with the same arguments, values and errors. `claim` and `worker`, `batch` and
    `submit_many` (one commit cannot span requests) and maintenance need the store itself.

    Beside the errors of a store, every method may raise `ServerUnreachable` and `UnexpectedAnswer`. The client repeats
    a request when the connection breaks or the store is busy, where that is safe: reading, stopping, deleting,
    submitting with a key. Any other request may have been carried out before its connection broke; the error says so.
    """

    def __init__(self, connection: Connection, by: Actor) -> None:
        super().__init__(by)
        self._connection = connection

    def _perform(self, request: Request[T]) -> T:
        result: T = PERFORMERS.functions[type(request)](self._connection, request)
        return result

    @property
    def path(self) -> str:
        """Where the server is: its URL."""
        return self._connection.url

    def close(self) -> None:
        """Close the connections; later calls raise `StoreClosed`."""
        self._connection.close()
