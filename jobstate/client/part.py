"""What every part of `JobClient` stands on: the connection, who acts, and how a value is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from jobstate.core import arguments
from jobstate.core.arguments import JobRef
from jobstate.domain.event import Actor

if TYPE_CHECKING:
    from jobstate.client.connection import Connection


Value = TypeVar("Value")


class ClientPart:
    """A part of the client; see `JobClient`."""

    def __init__(self, connection: Connection, by: Actor) -> None:
        self._connection = connection
        self._by = by

    def _look(self, path: str, make: Callable[[Any], Value], query: Mapping[str, object] | None = None) -> Value:
        return self._connection.read(self._connection.ask("GET", path, query, safe=True), make)

    def _acting(self, actor: str | None, reason: str | None) -> Actor:
        return self._by.overridden(actor, reason)


def job_path(job: JobRef) -> str:
    """Where a job is."""
    return f"/jobs/{arguments.job_id(job)}"


def run_path(job: JobRef) -> str:
    """Where what is asked of a job as a run of a pipeline is."""
    return f"/api/v1{job_path(job)}"
