"""Jobs in a chosen situation, made by public calls alone, and the content of a store as one value to compare."""

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
    """A job and its newest run, if it had one."""

    id: int
    run: Run | None

    @property
    def held(self) -> Run:
        """The run of a job that must have one."""
        assert self.run is not None
        return self.run


def submitted(store: JobStore, **fields: Any) -> Job:
    """A job of a new kind, so that a claim of that kind finds only this job."""
    return store.submit(fields.pop("kind", f"kind-{next(_kinds)}"), **{"retry": PATIENT, **fields})


def claimed(store: JobStore, job: Job, node_id: str = WORKER, lease: float | timedelta = LEASE) -> Run:
    """Claim exactly this job."""
    (run,) = store.claim(node_id, kinds=[job.kind], lease=lease)
    assert run.id == job.id
    return run


def running(store: JobStore, **fields: Any) -> Run:
    """Submit and claim a new job."""
    return claimed(store, submitted(store, **fields))


class Situation(NamedTuple):
    """A state, and what some verb distinguishes within it: whether the job was claimed, and the triggers since."""

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
"""Every state, and every variant of it that a verb distinguishes."""
TERMINAL_SCENES: Final = ("Stopped", "Completed", "Failed")
LIVE_SCENES: Final = tuple(name for name in SCENES if name not in TERMINAL_SCENES)
HELD_SCENES: Final = ("Running", "Rescaling", "StopRequested, held", "Stopping")


def scene(store: JobStore, name: str) -> Scene:
    """A new job in this situation."""
    state, was_claimed, route = SCENES[name]
    job = submitted(store, hold=state is State.CREATED)
    run = claimed(store, job) if was_claimed else None
    lead(store, job if run is None else run, route)
    assert store.get(job).state is state
    return Scene(job.id, run)


def one_of_each(store: JobStore) -> dict[str, Scene]:
    """A job in every situation. The stop without a worker is last, because any claim would finish it."""
    names = sorted(SCENES, key=lambda name: name == "StopRequested, unheld")
    return {name: scene(store, name) for name in names}


class Entry(NamedTuple):
    """The content of a store about one job."""

    job: Job
    events: list[Event]
    progress: dict[str, TableProgress]
    checkpoints: list[Checkpoint]


def everything(store: JobStore) -> list[Entry]:
    """The content of a store, to compare it with its content later."""
    return [
        Entry(job, list(store.events(job)), store.progress(job), list(store.checkpoints(job, limit=1000)))
        for job in store.iterate("all")
    ]


def triggers(store: JobStore, job: Job | Run | int) -> list[str]:
    """The triggers in the history of a job."""
    return [event.trigger for event in store.events(job)]
