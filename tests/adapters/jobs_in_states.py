"""A job in any state, brought there by legal steps on a real store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from itertools import count
from typing import Final

from jobstate import JobStore, State
from jobstate.testing.paths import NEVER_CLAIMED, ROUTES, lead

LEASE: Final = timedelta(days=1)
"""Long enough for any test: nothing falls due by itself."""

_kinds = count(1)


def brought(store: JobStore, state: State) -> int:
    """The id of a new job in this state; a worker holds it wherever one can."""
    job = store.submit(f"in-state-{next(_kinds)}", hold=state is State.CREATED)
    if state not in NEVER_CLAIMED:
        (run,) = store.claim("worker-01", kinds=[job.kind], lease=LEASE)
        lead(store, run, ROUTES[state])
    assert store.get(job.id).state is state
    return job.id


def one_per_state(store: JobStore) -> dict[State, int]:
    """A new job in every state."""
    return {state: brought(store, state) for state in State}


def next_id(store: JobStore, job_id: int) -> None:
    """Have the next job be this one, as if all before it had been there."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'jobs'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('jobs', ?)", (job_id - 1,))


def emptied(store: JobStore) -> JobStore:
    """The store without the jobs it held."""
    for job in store.iterate("active"):
        store.stop(job, mode="force")
    store.prune("terminal")
    return store
