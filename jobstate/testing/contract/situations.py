"""Jobs brought where a test wants them, by public calls alone, and what a store holds as one value to compare."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Any, Final, NamedTuple

from jobstate import Checkpoint, Event, Job, JobStore, RetryPolicy, Run, State, TableProgress, Trigger
from jobstate.testing.paths import NEVER_CLAIMED, ROUTES, Route, lead

LEASE: Final = 30.0
WORKER: Final = "worker-01"
PATIENT: Final = RetryPolicy(initial=10, factor=2, cap=60, jitter=0)
"""Retries without chance: after 10, 20, 40, 60, 60 … seconds."""
AT_ONCE: Final = RetryPolicy(initial=0, jitter=0)

_kinds = count(1)


class Scene(NamedTuple):
    """A job, and the newest run of it where there was one."""

    id: int
    run: Run | None

    @property
    def held(self) -> Run:
        """The run, where the job is known to have one."""
        assert self.run is not None
        return self.run


def submitted(store: JobStore, **fields: Any) -> Job:
    """A job of a kind of its own, so that a claim of it meets no other."""
    return store.submit(fields.pop("kind", f"kind-{next(_kinds)}"), **{"retry": PATIENT, **fields})


def claimed(store: JobStore, job: Job, node_id: str = WORKER, lease: float | timedelta = LEASE) -> Run:
    """The run of exactly this job."""
    (run,) = store.claim(node_id, kinds=[job.kind], lease=lease)
    assert run.id == job.id
    return run


def running(store: JobStore, **fields: Any) -> Run:
    """The run of a new job."""
    return claimed(store, submitted(store, **fields))


class Situation(NamedTuple):
    """A way of standing in a state that some verb tells from others: whether it was claimed, and what came then."""

    state: State
    was_claimed: bool
    route: Route


def _usual(state: State) -> Situation:
    return Situation(state, state not in NEVER_CLAIMED, ROUTES[state])


SCENES: Final[dict[str, Situation]] = {
    "Created": _usual(State.CREATED),
    "Scheduled": _usual(State.SCHEDULED),
    "Scheduled after a run": Situation(State.SCHEDULED, True, (Trigger.RELEASE,)),
    "Running": _usual(State.RUNNING),
    "Rescaling": _usual(State.RESCALING),
    "Recovering": _usual(State.RECOVERING),
    "StopRequested, held": _usual(State.STOP_REQUESTED),
    "StopRequested, unheld": Situation(State.STOP_REQUESTED, False, (Trigger.REQUEST_STOP,)),
    "Stopping": _usual(State.STOPPING),
    "Stopped": _usual(State.STOPPED),
    "Completed": _usual(State.COMPLETED),
    "Failed": _usual(State.FAILED),
}
"""A job in every state, and in every way of standing there that a verb can tell apart."""
TERMINAL_SCENES: Final = ("Stopped", "Completed", "Failed")
LIVE_SCENES: Final = tuple(name for name in SCENES if name not in TERMINAL_SCENES)
HELD_SCENES: Final = ("Running", "Rescaling", "StopRequested, held", "Stopping")


def scene(store: JobStore, name: str) -> Scene:
    """A new job in that situation."""
    state, was_claimed, route = SCENES[name]
    job = submitted(store, hold=state is State.CREATED)
    run = claimed(store, job) if was_claimed else None
    lead(store, job if run is None else run, route)
    assert store.get(job).state is state
    return Scene(job.id, run)


def one_of_each(store: JobStore) -> dict[str, Scene]:
    """A job in every situation. The stop that waits for nobody comes last, as any claim would finish it."""
    names = sorted(SCENES, key=lambda name: name == "StopRequested, unheld")
    return {name: scene(store, name) for name in names}


class Entry(NamedTuple):
    """All that a store holds about one job."""

    job: Job
    events: list[Event]
    progress: dict[str, TableProgress]
    checkpoints: list[Checkpoint]


def everything(store: JobStore) -> list[Entry]:
    """All that a store holds, to be compared with what it holds later."""
    return [
        Entry(job, list(store.events(job)), store.progress(job), list(store.checkpoints(job, limit=1000)))
        for job in store.iterate("all")
    ]


def triggers(store: JobStore, job: Job | Run | int) -> list[str]:
    """What happened to a job, in words."""
    return [event.trigger for event in store.events(job)]
