"""Steps along the edges of the lifecycle, and decisions, which are sequences of such steps.

This is the interpreter of the table. Every decision about a job is built with `move` and `note`, which return the next
version of the job and write nothing. The store writes each version with one guarded statement.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from jobstate.domain.errors import TransitionNotAllowed
from jobstate.domain.event import Actor
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import (
    CLAIMABLE,
    EITHER_WAY,
    LEASE_EFFECT,
    LIFECYCLE,
    TERMINAL,
    LeaseEffect,
    State,
    Trigger,
)


@dataclass(frozen=True, slots=True)
class Decision:
    """The versions of a job to write, in order, and the job after the last one.

    Without steps no history is written, and the job stays as it was, apart from a renewed lease.
    """

    job: JobRow
    steps: tuple[JobRow, ...] = ()

    def then(self, next_decision: Decision) -> Decision:
        """Both decisions, one after the other."""
        return Decision(next_decision.job, self.steps + next_decision.steps)


_KEEPS_REQUEST: Final = CLAIMABLE | {State.RUNNING}
"""States in which a job that was Rescaling runs, or will run, with the requested parallelism."""


def decided(*steps: JobRow) -> Decision:
    """The decision to write these versions."""
    return Decision(steps[-1], steps)


def target(job: JobRow, trigger: Trigger) -> State:
    """The state that `trigger` leads to from the state of the job; raises TransitionNotAllowed without such an edge."""
    row = LIFECYCLE[job.state]
    if trigger not in row:
        raise TransitionNotAllowed(job.id, job.state, trigger.value, tuple(edge.value for edge in row))
    return row[trigger]


def move(
    job: JobRow,
    trigger: Trigger,
    now: int,
    by: Actor,
    *,
    detail: dict[str, Any] | None = None,
    fenced: bool = False,
    **changes: Any,
) -> JobRow:
    """The next version of the job, after one edge.

    Args:
        now: Microseconds since 1970 UTC.
        detail: What the history records with it.
        fenced: An operator or a sweep ends the lease, not its holder: the token rises.
        changes: Further fields of the new version.
    """
    to = target(job, trigger)
    effect = LEASE_EFFECT[trigger]
    if effect in (LeaseEffect.ENDS, LeaseEffect.LOSES):
        rises = effect is LeaseEffect.LOSES or (fenced and trigger in EITHER_WAY)
        changes["lease_token"] = job.lease_token + (rises and job.worker_id is not None)
        changes["worker_id"] = changes["lease_expires_us"] = None
    if to in TERMINAL:
        changes["finished_us"] = now
    if to is not State.RESCALING:
        changes["rescale_to"] = None
        if job.rescale_to is not None and to in _KEEPS_REQUEST:
            changes["parallelism"] = job.rescale_to
    return _next(job, trigger.value, now, by, detail, state=to, **changes)


def note(
    job: JobRow, name: str, now: int, by: Actor, *, detail: dict[str, Any] | None = None, **changes: Any
) -> JobRow:
    """The next version of the job, in the same state, with a history entry for the change."""
    return _next(job, name, now, by, detail, **changes)


def _next(job: JobRow, trigger: str, now: int, by: Actor, detail: dict[str, Any] | None, **changes: Any) -> JobRow:
    return job._replace(
        seq=job.seq + 1,
        updated_us=now,
        trigger=trigger,
        actor=by.name,
        reason=by.reason,
        detail_json=None if detail is None else json.dumps(detail, ensure_ascii=False),
        **changes,
    )
