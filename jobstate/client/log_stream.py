"""What a job says, as it says it: read page by page, with a pause that ends at once when the job does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from jobstate.client.connection import Connection
from jobstate.client.errors import ServerUnreachable
from jobstate.client.long_poll import PATIENCE, asked
from jobstate.client.urls import run_path
from jobstate.core.arguments import MAX_PAGE
from jobstate.domain.errors import JobNotFound, StoreBusy, StoreUnavailable, WaitTimeout
from jobstate.domain.lifecycle import TERMINAL
from jobstate.domain.logs import LogEntry
from jobstate.ports.queries import LogPage
from jobstate.wire import records

_EVERY: Final = 1.0
"""Seconds between two looks, as a worker writes no oftener."""
_PAUSE: Final = 0.25
"""Seconds until a server that is away is tried again."""

Value = TypeVar("Value")


def follow_logs(connection: Connection, job_id: int, query: Mapping[str, object], after: int) -> Iterator[LogEntry]:
    """Every entry of a job after that one, then each new one, until it has ended; see `JobClient.follow_logs`."""

    def page() -> LogPage:
        asking = {**query, "after": after, "limit": MAX_PAGE}
        answer = connection.ask("GET", f"{run_path(job_id)}/logs", asking, safe=True)
        return connection.read(answer, records.logs_of)

    def ends(seconds: float) -> bool:
        return not isinstance(asked(connection, job_id, TERMINAL, seconds, safe=True), WaitTimeout)

    ended = False
    while True:
        try:
            found = _outliving(connection, page)
        except JobNotFound:  # it was removed, with its log
            return
        looked_at = [entry.number for entry in found.entries[-1:]]
        if not found.has_more:
            looked_at.append(found.total)  # the number of the newest one
        after = max(after, *looked_at)
        yield from found.entries
        if found.entries:
            continue
        if ended:
            return
        try:
            ended = _outliving(connection, lambda: ends(_EVERY))
        except JobNotFound:
            ended = True


def _outliving(connection: Connection, ask: Callable[[], Value]) -> Value:
    """The answer, also of a server that starts again meanwhile."""
    clock = connection.clock
    gives_up = clock.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (ServerUnreachable, StoreBusy, StoreUnavailable):
            if clock.monotonic() > gives_up:
                raise
            clock.sleep(_PAUSE)
