"""A job in any state, brought there by legal steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

from jobstate.core import arguments
from jobstate.core.context import DEFAULT_LEASE
from jobstate.domain import leases, validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import worker_actor
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import State
from jobstate.ports.repository import Claimed
from jobstate.store.job_store import JobStore
from jobstate.testing.paths import NEVER_CLAIMED, ROUTES, lead
from jobstate.testing.runner import WORKER
from jobstate.testing.staged_store import Stage, stage_of
from jobstate.worker.run import Run
from jobstate.worker.run_control import RunControl

_kinds: Final = count(1)


@dataclass(frozen=True, slots=True)
class JobIn:
    """`job_in` for one store. `runs` maps the id of each job that it made to the job's newest run."""

    stage: Stage
    runs: dict[int, Run] = field(default_factory=dict, repr=False)

    def __call__(self, state: str, **fields: Any) -> Job:
        """A new job in this state; see `job_in`."""
        wanted = one_state("state", state)
        fields = {"kind": f"kind-{next(_kinds)}", **fields}
        if "hold" in fields:
            raise InvalidRequest("hold", "follows from the state")
        store = self.stage.direct
        job = store.submit(**fields, hold=wanted is State.CREATED)
        if wanted not in NEVER_CLAIMED:
            run = self.runs[job.id] = self._claimed(job)
            lead(store, run, ROUTES[wanted])
        return store.get(job)

    def _claimed(self, job: Job) -> Run:
        """A run of exactly this job, whatever else is in the queue."""
        context = self.stage.context()
        now, began = context.clock.now(), context.clock.monotonic()
        node_id = job.node_id or WORKER
        expires = now + validation.duration_us("lease", DEFAULT_LEASE)
        decide = partial(leases.claim, node_id=node_id, expires=expires, now=now, by=worker_actor(node_id))
        claimed = self.stage.direct.repository.jobs.change(job.id, decide).job
        return Run(RunControl(context, Claimed(claimed, None, {}), DEFAULT_LEASE, began))


def one_state(field: str, name: str) -> State:
    """The state of this name; case does not matter."""
    found = arguments.states(field, [name])
    if len(found) != 1:
        raise InvalidRequest(field, f"must be one of {', '.join(State)}, not {name!r}")
    return next(iter(found))


def job_in(state: str, *, store: JobStore | None = None, **fields: Any) -> Job:
    """A new job in this state, brought there by legal steps; a worker holds it if the state allows one.

    Args:
        state: Its name in the lifecycle; case does not matter.
        store: A staged store; default the one that was staged last.
        fields: Arguments of `submit`; default `kind`: a new one.
    """
    return JobIn(stage_of(store))(state, **fields)
