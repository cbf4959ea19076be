"""Long polling: the client waits for a job by requests that the server answers once the job is there, or late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from jobstate.client.errors import ServerUnreachable
from jobstate.client.urls import RECORD, state_words
from jobstate.domain.errors import StoreBusy, StoreUnavailable, WaitTimeout
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL, State
from jobstate.wire import records

if TYPE_CHECKING:
    from jobstate.client.connection import Connection

PATIENCE: Final = 60.0
"""Seconds that a server may be away while a client waits, once it has answered: it may be restarting."""
_PAUSE: Final = 0.25
"""Seconds between two requests, where the server answered the first too early."""
_LONGEST_POLL: Final = 30.0
"""Seconds that one request may wait."""


def wait(connection: Connection, job_id: int, wanted: frozenset[State], timeout: float | None) -> Job:
    """The job, once it is in one of the wanted states; see `JobClient.wait`."""
    clock = connection.clock
    began = due = clock.monotonic()
    away_since: float | None = None
    found = poll(connection, job_id, wanted, 0.0, safe=True)  # at once, so that a missing server or job is an error now
    while isinstance(found, WaitTimeout):
        waited = clock.monotonic() - began
        if found.state in TERMINAL or (timeout is not None and waited >= timeout):
            raise WaitTimeout(job_id, found.state, waited)
        seconds = _LONGEST_POLL if timeout is None else min(_LONGEST_POLL, timeout - waited)
        early = due - clock.monotonic()
        if early > 0:
            clock.sleep(min(_PAUSE, early, seconds))
        due = clock.monotonic() + seconds
        try:
            found = poll(connection, job_id, wanted, seconds, safe=False)
            away_since = None
        except (ServerUnreachable, StoreBusy, StoreUnavailable):
            now = clock.monotonic()
            away_since = now if away_since is None else away_since
            if now - away_since > PATIENCE or (timeout is not None and now - began >= timeout):
                raise
    return found


def poll(
    connection: Connection, job_id: int, wanted: frozenset[State], seconds: float, *, safe: bool
) -> Job | WaitTimeout:
    """One request: the job, if it reaches a wanted state within `seconds`; else WaitTimeout. Raises JobNotFound."""
    query = {**RECORD, "until": state_words(wanted).text, "timeout": f"{seconds:.6f}"}
    try:
        answer = connection.ask("GET", f"/jobs/{job_id}/wait", query, safe=safe, lasting=seconds)
    except WaitTimeout as timed_out:
        return timed_out
    job = connection.read(answer, records.job_of)
    return (
        job if job.state in wanted else WaitTimeout(job_id, job.state, 0.0)
    )  # the filter words may select more states
