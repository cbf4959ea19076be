"""Does the history of a job lead to its row? Folding the events must give the state, step by step along the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jobstate.domain.job import SUBMIT, Event, Job
from jobstate.domain.lifecycle import INITIAL, LIFECYCLE, State, Trigger
from jobstate.domain.shape import faults


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may not be. `job_id` is None when it concerns the whole store."""

    job_id: int | None
    problem: str

    def __str__(self) -> str:
        return self.problem if self.job_id is None else f"job {self.job_id}: {self.problem}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit read, and what it found; `ok` when it found nothing."""

    jobs: int
    events: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return not self.findings


def audit_job(job: Job, events: Sequence[Event]) -> Iterator[Finding]:
    """Hold a row against its whole history, in the order of `seq`."""
    for problem in (*faults(job), *_history_faults(events)):
        yield Finding(job.id, problem)
    if not events:
        return
    last = events[-1]
    if last.seq != job.seq:
        yield Finding(job.id, f"its history ends at entry {last.seq}, its row says {job.seq}")
    if last.to_state != job.state:
        yield Finding(job.id, f"its history ends in {last.to_state}, its row says {job.state}")
    if last.token != job.lease_token or last.attempt != job.attempt:
        yield Finding(job.id, "token and attempt of its row are not those of its newest history entry")


def _history_faults(events: Sequence[Event]) -> Iterator[str]:
    if not events:
        yield "it has no history"
        return
    first = events[0]
    if first.seq != 1 or first.from_state is not None or first.trigger != SUBMIT or first.to_state not in INITIAL:
        yield "its history does not begin with its submission"
    for before, event in pairwise(events):
        if event.seq != before.seq + 1:
            yield f"history entry {before.seq} is followed by {event.seq}"
        if event.from_state != before.to_state:
            yield f"history entry {event.seq} leaves {event.from_state}, but the job was {before.to_state}"
        elif not event.is_note and not _is_edge(event.from_state, event.trigger, event.to_state):
            yield f"history entry {event.seq}: no edge {event.from_state} -{event.trigger}-> {event.to_state}"
        if event.token - before.token not in (0, 1):
            yield f"history entry {event.seq}: the token went from {before.token} to {event.token}"
        claims = int(event.trigger == Trigger.CLAIM and not event.is_note)
        if event.attempt != before.attempt + claims:
            yield f"history entry {event.seq}: the attempt went from {before.attempt} to {event.attempt}"


def _is_edge(source: State | None, trigger: str, target: State) -> bool:
    return source is not None and any(edge == trigger and to is target for edge, to in LIFECYCLE[source].items())
