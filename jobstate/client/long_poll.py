"""Waiting for a job: one question after another, each of which the server answers when it is time."""

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
"""Seconds that a server may be away for those who wait and have met it before: it may be starting again."""
_PAUSE: Final = 0.25
"""Seconds between two questions, where the first was answered too early."""
_PIECE: Final = 30.0


def wait(connection: Connection, job_id: int, wanted: frozenset[State], timeout: float | None) -> Job:
    """The job, once it is in one of the wanted states; see `JobClient.wait`."""
    clock = connection.clock
    began = due = clock.monotonic()
    away_since: float | None = None
    found = asked(connection, job_id, wanted, 0.0, safe=True)  # at once: is there a server, and the job?
    while isinstance(found, WaitTimeout):
        waited = clock.monotonic() - began
        if found.state in TERMINAL or (timeout is not None and waited >= timeout):
            raise WaitTimeout(job_id, found.state, waited)
        piece = _PIECE if timeout is None else min(_PIECE, timeout - waited)
        early = due - clock.monotonic()
        if early > 0:
            clock.sleep(min(_PAUSE, early, piece))
        due = clock.monotonic() + piece
        try:
            found = asked(connection, job_id, wanted, piece, safe=False)
            away_since = None
        except (ServerUnreachable, StoreBusy, StoreUnavailable):
            now = clock.monotonic()
            away_since = now if away_since is None else away_since
            if now - away_since > PATIENCE or (timeout is not None and now - began >= timeout):
                raise
    return found


def asked(
    connection: Connection, job_id: int, wanted: frozenset[State], seconds: float, *, safe: bool
) -> Job | WaitTimeout:
    """The job, if it gets into one of the states within so many seconds; else where it stands. Raises JobNotFound."""
    query = {**RECORD, "until": state_words(wanted).text, "timeout": f"{seconds:.6f}"}
    try:
        answer = connection.ask("GET", f"/jobs/{job_id}/wait", query, safe=safe, lasting=seconds)
    except WaitTimeout as late:
        return late
    job = connection.read(answer, records.job_of)
    return job if job.state in wanted else WaitTimeout(job_id, job.state, 0.0)  # the words may select more
