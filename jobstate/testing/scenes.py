"""A job in any state, brought there by legal steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

from jobstate import arguments
from jobstate.context import DEFAULT_LEASE
from jobstate.domain import checked, leases
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import By, Job
from jobstate.domain.lifecycle import State, Trigger
from jobstate.repository import Claimed
from jobstate.store import JobStore
from jobstate.testing.stage import Stage, stage_of
from jobstate.testing.stepping import WORKER
from jobstate.worker.run import Run

_ROUTES: Final[Mapping[State, tuple[Trigger, ...]]] = {
    State.CREATED: (),
    State.SCHEDULED: (),
    State.RUNNING: (),
    State.RESCALING: (Trigger.RESCALE,),
    State.RECOVERING: (Trigger.RECOVER,),
    State.STOP_REQUESTED: (Trigger.REQUEST_STOP,),
    State.STOPPING: (Trigger.REQUEST_STOP, Trigger.BEGIN_STOP),
    State.STOPPED: (Trigger.REQUEST_STOP, Trigger.FINISH_STOP),
    State.COMPLETED: (Trigger.COMPLETE,),
    State.FAILED: (Trigger.FAIL,),
}
"""What happens to a job of each state once a worker has it. Created and Scheduled ones were never claimed."""
_STEPS: Final[Mapping[Trigger, Callable[[JobStore, Run], object]]] = {
    Trigger.RESCALE: lambda store, run: store.rescale(run, run.parallelism + 1),
    Trigger.RECOVER: lambda store, run: run.fail("the test had it fail"),
    Trigger.REQUEST_STOP: lambda store, run: store.stop(run),
    Trigger.BEGIN_STOP: lambda store, run: run.begin_stop(),
    Trigger.FINISH_STOP: lambda store, run: run.finish_stop(),
    Trigger.COMPLETE: lambda store, run: run.complete(),
    Trigger.FAIL: lambda store, run: run.fail("the test had it fail", retryable=False),
}
_NEVER_CLAIMED: Final = (State.CREATED, State.SCHEDULED)
_kinds: Final = count(1)


@dataclass(frozen=True, slots=True)
class JobIn:
    """`job_in` for a store. `runs` has the newest run of each job that it made, by id: the worker's side of it."""

    stage: Stage
    runs: dict[int, Run] = field(default_factory=dict, repr=False)

    def __call__(self, state: str, **fields: Any) -> Job:
        """A new job in this state; see `job_in`."""
        wanted = one_state("state", state)
        fields = {"kind": f"kind-{next(_kinds)}", **fields}
        if "hold" in fields:
            raise InvalidRequest("hold", "follows from the state")
        store = self.stage.behind
        job = store.submit(**fields, hold=wanted is State.CREATED)
        if wanted not in _NEVER_CLAIMED:
            run = self.runs[job.id] = self._claimed(job)
            for trigger in _ROUTES[wanted]:
                _STEPS[trigger](store, run)
        return store.get(job)

    def _claimed(self, job: Job) -> Run:
        """A run of exactly this job, whatever else is in the queue."""
        context = self.stage.context()
        now, began = context.clock.now(), context.clock.monotonic()
        node_id = job.node_id or WORKER
        expires = now + checked.duration_us("lease", DEFAULT_LEASE)
        decide = partial(leases.claim, node_id=node_id, expires=expires, now=now, by=By(f"worker:{node_id}"))
        claimed = self.stage.behind.repository.jobs.change(job.id, decide).job
        return Run(context, Claimed(claimed, None, {}), DEFAULT_LEASE, began)


def one_state(field: str, name: str) -> State:
    """The state that is named; case does not matter."""
    found = arguments.states(field, [name])
    if len(found) != 1:
        raise InvalidRequest(field, f"must be one of {', '.join(State)}, not {name!r}")
    return next(iter(found))


def job_in(state: str, *, store: JobStore | None = None, **fields: Any) -> Job:
    """A new job in this state, brought there by legal steps; a worker holds it wherever one can.

    Args:
        state: As it is spelled in the lifecycle; case does not matter.
        store: Another than the one that was staged last.
        fields: Arguments of `submit`; without `kind` the job has one of its own.
    """
    return JobIn(stage_of(store))(state, **fields)
