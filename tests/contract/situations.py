"""Jobs brought where a test wants them, by public calls alone, and what a store holds as one value to compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import count
from typing import Any, Final, NamedTuple

from jobstate import Checkpoint, Event, Job, JobStore, RetryPolicy, Run, State, TableProgress

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


def _created(store: JobStore) -> Scene:
    return Scene(submitted(store, hold=True).id, None)


def _scheduled(store: JobStore) -> Scene:
    return Scene(submitted(store).id, None)


def _handed_back(store: JobStore) -> Scene:
    run = running(store)
    run.release()
    return Scene(run.id, run)


def _running(store: JobStore) -> Scene:
    run = running(store)
    return Scene(run.id, run)


def _rescaling(store: JobStore) -> Scene:
    run = running(store)
    store.rescale(run, 4)
    return Scene(run.id, run)


def _recovering(store: JobStore) -> Scene:
    run = running(store)
    run.fail("disk gone")
    return Scene(run.id, run)


def _stop_requested_held(store: JobStore) -> Scene:
    run = running(store)
    store.stop(run)
    return Scene(run.id, run)


def _stop_requested_unheld(store: JobStore) -> Scene:
    job = submitted(store)
    store.stop(job)
    return Scene(job.id, None)


def _stopping(store: JobStore) -> Scene:
    run = running(store)
    store.stop(run)
    run.begin_stop()
    return Scene(run.id, run)


def _stopped(store: JobStore) -> Scene:
    run = running(store)
    store.stop(run)
    run.finish_stop()
    return Scene(run.id, run)


def _completed(store: JobStore) -> Scene:
    run = running(store)
    run.complete()
    return Scene(run.id, run)


def _failed(store: JobStore) -> Scene:
    run = running(store)
    run.fail("bad input", retryable=False)
    return Scene(run.id, run)


SCENES: Final[dict[str, tuple[State, Callable[[JobStore], Scene]]]] = {
    "Created": (State.CREATED, _created),
    "Scheduled": (State.SCHEDULED, _scheduled),
    "Scheduled after a run": (State.SCHEDULED, _handed_back),
    "Running": (State.RUNNING, _running),
    "Rescaling": (State.RESCALING, _rescaling),
    "Recovering": (State.RECOVERING, _recovering),
    "StopRequested, held": (State.STOP_REQUESTED, _stop_requested_held),
    "StopRequested, unheld": (State.STOP_REQUESTED, _stop_requested_unheld),
    "Stopping": (State.STOPPING, _stopping),
    "Stopped": (State.STOPPED, _stopped),
    "Completed": (State.COMPLETED, _completed),
    "Failed": (State.FAILED, _failed),
}
"""A job in every state, and in every way of standing there that a verb can tell apart."""
TERMINAL_SCENES: Final = ("Stopped", "Completed", "Failed")
LIVE_SCENES: Final = tuple(name for name in SCENES if name not in TERMINAL_SCENES)
HELD_SCENES: Final = ("Running", "Rescaling", "StopRequested, held", "Stopping")


def scene(store: JobStore, name: str) -> Scene:
    """A new job in that situation."""
    state, bring = SCENES[name]
    found = bring(store)
    assert store.get(found.id).state is state
    return found


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
