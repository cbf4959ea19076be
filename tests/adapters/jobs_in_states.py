"""A job in any state, brought there by legal steps on a real store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from itertools import count
from typing import Final

from jobstate import JobStore, Run
from jobstate.domain.job import By, Job
from jobstate.domain.lifecycle import State, Trigger
from jobstate.domain.moves import Decision, decided, move

LEASE: Final = timedelta(days=1)
"""Long enough for any test: nothing falls due by itself."""
OPERATOR: Final = By("test:operator")

_kinds = count(1)


def brought(store: JobStore, state: State) -> int:
    """The id of a new job in this state; a worker holds it wherever one can."""
    job = store.submit(f"in-state-{next(_kinds)}", hold=state is State.CREATED)
    steps = _AFTER_CLAIM.get(state)
    if steps is not None:
        (run,) = store.claim("worker-01", kinds=[job.kind], lease=LEASE)
        for step in steps:
            step(store, run)
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


def _stop(store: JobStore, run: Run) -> None:
    store.stop(run)


def _rescale(store: JobStore, run: Run) -> None:
    def decide(job: Job) -> Decision:
        return decided(move(job, Trigger.RESCALE, job.updated_us, OPERATOR, rescale_to=2))

    store.repository.jobs.change(run.id, decide)


_AFTER_CLAIM: Final[Mapping[State, Sequence[Callable[[JobStore, Run], object]]]] = {
    State.RUNNING: (),
    State.RESCALING: (_rescale,),
    State.RECOVERING: (lambda _, run: run.fail("disk gone"),),
    State.STOP_REQUESTED: (_stop,),
    State.STOPPING: (_stop, lambda _, run: run.begin_stop()),
    State.STOPPED: (_stop, lambda _, run: run.finish_stop()),
    State.COMPLETED: (lambda _, run: run.complete(),),
    State.FAILED: (lambda _, run: run.fail("bad input", retryable=False),),
}
"""What a job in this state went through, once a worker had it; Created and Scheduled ones were never claimed."""
