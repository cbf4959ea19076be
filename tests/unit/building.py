"""Jobs for tests, brought where they are wanted by legal steps alone, and the histories such steps leave behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from jobstate.domain import leases, stop_requests
from jobstate.domain.event import SUBMIT, Actor, Event
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State, Trigger
from jobstate.domain.stop import StopMode
from jobstate.domain.transitions import Decision, decided, move
from tests.values import replace

SECOND: Final = 1_000_000
NOW: Final = 1_700_000_000 * SECOND
LEASE: Final = 30 * SECOND
TIMEOUT: Final = 300 * SECOND
"""How long a stop may take."""

WORKER: Final = "worker-01"
SUBMITTER: Final = Actor("test:submitter")
HOLDER: Final = Actor("worker:worker-01")
OPERATOR: Final = Actor("cli:ana", "wrong input")
SWEEPER: Final = Actor("sweep:worker-02")

ERROR: Final = Failure("disk gone", FailureKind.ERROR, "OSError")
FATAL: Final = Failure("bad input", FailureKind.FATAL, "ValueError")


class Life(NamedTuple):
    """A job and every version of it that was written, the submission first."""

    job: JobRow
    versions: tuple[JobRow, ...]

    def after(self, decision: Decision) -> Life:
        """The life with one more decision written down."""
        return Life(decision.job, (*self.versions, *decision.steps))


def job(**fields: Any) -> JobRow:
    """A job that was just submitted: Scheduled, or Created where `state` says so; `fields` override."""
    born: dict[str, Any] = {
        "id": 7,
        "state": State.SCHEDULED,
        "kind": "extract",
        "node_id": "",
        "priority": 0,
        "available_us": NOW,
        "key": None,
        "parallelism": 1,
        "rescale_to": None,
        "attempt": 0,
        "failures": 0,
        "lease_token": 0,
        "worker_id": None,
        "lease_expires_us": None,
        "claimed_us": None,
        "clean": False,
        "stop_mode": None,
        "stop_deadline_us": None,
        "stop_reason": None,
        "stop_outcome": None,
        "failure_json": None,
        "created_us": NOW,
        "updated_us": NOW,
        "started_us": None,
        "finished_us": None,
        "seq": 1,
        "trigger": SUBMIT,
        "actor": SUBMITTER.name,
        "reason": None,
        "detail_json": None,
        "pipeline_id": None,
        "run_id": None,
        "root_id": 7,
        "restarted_from": None,
        "max_attempts": 3,
        "retry_json": None,
        "labels_json": "{}",
        "descriptor_json": "{}",
    }
    return JobRow(**{**born, **fields})


def born(**fields: Any) -> Life:
    """The life of a job that was just submitted."""
    first = job(**fields)
    return Life(first, (first,))


def claimed(life: Life, now: int = NOW, lease: int = LEASE) -> Life:
    """A worker took the lease."""
    return life.after(leases.claim(life.job, WORKER, now + lease, now, HOLDER))


def rescaled(life: Life, to: int = 4, now: int = NOW) -> Life:
    """An operator asked the worker for another parallelism."""
    return life.after(decided(move(life.job, Trigger.RESCALE, now, OPERATOR, rescale_to=to)))


def stopped(life: Life, mode: StopMode = StopMode.CHECKPOINT, now: int = NOW, timeout: int = TIMEOUT) -> Life:
    """An operator asked for a stop, which may or may not end the job."""
    return life.after(stop_requests.stop(life.job, mode, now + timeout, 0.0, now, OPERATOR))


def agreed(life: Life, now: int = NOW) -> Life:
    """The holder agreed to stop."""
    return life.after(leases.begin_stop(life.job, life.job.lease_token, now, HOLDER))


def failed(life: Life, failure: Failure = ERROR, now: int = NOW) -> Life:
    """The holder's run failed."""
    return life.after(leases.fail(life.job, life.job.lease_token, failure, 0.0, now, HOLDER))


def completed(life: Life, now: int = NOW) -> Life:
    """The holder finished the job."""
    return life.after(leases.complete(life.job, life.job.lease_token, now, HOLDER))


def released(life: Life, now: int = NOW) -> Life:
    """The holder handed the job back."""
    return life.after(leases.release(life.job, life.job.lease_token, now, now, HOLDER))


def lives(**fields: Any) -> Mapping[str, Life]:
    """A life for every state a job can stand in, and for every way of standing there that a stop can tell apart."""
    running = claimed(born(**fields))
    requeued = released(running)
    return {
        "Created": born(state=State.CREATED, **fields),
        "Scheduled": born(**fields),
        "Scheduled, ran before": requeued,
        "Running": running,
        "Rescaling": rescaled(running),
        "Recovering": failed(running),
        "StopRequested, held": stopped(running),
        "StopRequested, never claimed": stopped(born(**fields)),
        "StopRequested, ran before": stopped(requeued),
        "Stopping, held": agreed(stopped(running)),
        "Stopped": stopped(running, StopMode.FORCE),
        "Completed": completed(running),
        "Failed": failed(running, FATAL),
    }


def one_per_state(**fields: Any) -> Mapping[State, JobRow]:
    """One job for each state, held where it can be."""
    jobs: dict[State, JobRow] = {}
    for life in lives(**fields).values():
        jobs.setdefault(life.job.state, life.job)
    return jobs


def history(versions: Sequence[JobRow]) -> list[Event]:
    """The history that writing these versions leaves behind, the submission first."""
    events: list[Event] = []
    previous: JobRow | None = None
    for number, version in enumerate(versions, start=1):
        events.append(
            Event(
                id=100 + number,
                job_id=version.id,
                seq=version.seq,
                at_us=version.updated_us,
                from_state=None if previous is None else previous.state,
                to_state=version.state,
                trigger=version.trigger,
                actor=version.actor,
                reason=version.reason,
                node=version.worker_id,
                attempt=version.attempt,
                token=version.lease_token,
                detail_json=version.detail_json,
            )
        )
        previous = version
    return events


def triggers(decision: Decision) -> list[str]:
    """The triggers of a decision's steps, in order."""
    return [step.trigger for step in decision.steps]


def clean(life: Life) -> Life:
    """The holder's newest checkpoint is complete and nothing was written since."""
    return Life(replace(life.job, clean=True), life.versions)
