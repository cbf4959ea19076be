"""The log of a job as it grows: pages, with a long poll between them that returns as soon as the job has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from jobstate.client.connection import Connection
from jobstate.client.errors import ServerUnreachable
from jobstate.client.long_poll import PATIENCE, poll
from jobstate.client.urls import run_path
from jobstate.core.arguments import MAX_PAGE
from jobstate.domain.errors import JobNotFound, StoreBusy, StoreUnavailable, WaitTimeout
from jobstate.domain.lifecycle import TERMINAL
from jobstate.domain.logs import LogEntry
from jobstate.ports.queries import LogPage
from jobstate.wire import records

_EVERY: Final = 1.0
"""Seconds between two reads: a worker writes its entries no more often."""
_PAUSE: Final = 0.25
"""Seconds before the next attempt to reach a server that is away."""

Value = TypeVar("Value")


def follow_logs(connection: Connection, job_id: int, query: Mapping[str, object], after: int) -> Iterator[LogEntry]:
    """Every entry numbered above `after`, then each new one until the job has ended; see `JobClient.follow_logs`."""

    def page() -> LogPage:
        parameters = {**query, "after": after, "limit": MAX_PAGE}
        answer = connection.ask("GET", f"{run_path(job_id)}/logs", parameters, safe=True)
        return connection.read(answer, records.logs_of)

    def ends(seconds: float) -> bool:
        return not isinstance(poll(connection, job_id, TERMINAL, seconds, safe=True), WaitTimeout)

    ended = False
    while True:
        try:
            found = _retry(connection, page)
        except JobNotFound:  # it was deleted, with its log
            return
        numbers = [entry.number for entry in found.entries[-1:]]
        if not found.has_more:
            numbers.append(found.total)  # the number of the newest one
        after = max(after, *numbers)
        yield from found.entries
        if found.entries:
            continue
        if ended:
            return
        try:
            ended = _retry(connection, lambda: ends(_EVERY))
        except JobNotFound:
            ended = True


def _retry(connection: Connection, request: Callable[[], Value]) -> Value:
    """The answer; it repeats the request while the server is away."""
    clock = connection.clock
    gives_up = clock.monotonic() + PATIENCE
    while True:
        try:
            return request()
        except (ServerUnreachable, StoreBusy, StoreUnavailable):
            if clock.monotonic() > gives_up:
                raise
            clock.sleep(_PAUSE)
