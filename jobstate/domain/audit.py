"""Does the history of a job lead to its row? Folding the events must give the state, step by step along the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from jobstate.domain.event import SUBMIT, Event
from jobstate.domain.invariants import faults
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import EITHER_WAY, INITIAL, LEASE_EFFECT, LIFECYCLE, LeaseEffect, State, Trigger


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


def audit_job(job: JobRow, events: Sequence[Event]) -> Iterator[Finding]:
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
    if first.attempt != 0 or first.token < 0:
        yield "its submission has an attempt, or no token to go on from"
    held = False
    for before, event in pairwise(events):
        if event.seq != before.seq + 1:
            yield f"history entry {before.seq} is followed by {event.seq}"
        if event.from_state != before.to_state:
            yield f"history entry {event.seq} leaves {event.from_state}, but the job was {before.to_state}"
        elif not event.is_note and not _is_edge(event.from_state, event.trigger, event.to_state):
            yield f"history entry {event.seq}: no edge {event.from_state} -{event.trigger}-> {event.to_state}"
        rises = _rises(event, held)
        if event.token - before.token not in rises:
            yield f"history entry {event.seq}: the token went from {before.token} to {event.token}"
        claims = int(event.trigger == Trigger.CLAIM and not event.is_note)
        if event.attempt != before.attempt + claims:
            yield f"history entry {event.seq}: the attempt went from {before.attempt} to {event.attempt}"
        held = _held_after(event, held)


def _effect(event: Event) -> LeaseEffect:
    known = event.trigger in set(Trigger) and not event.is_note
    return LEASE_EFFECT[Trigger(event.trigger)] if known else LeaseEffect.KEEPS


def _rises(event: Event, held: bool) -> tuple[int, ...]:
    """By how much the token may have risen with this entry."""
    if event.trigger in EITHER_WAY and not event.is_note:
        return (0, int(held))
    effect = _effect(event)
    return (int(effect is LeaseEffect.TAKES or (effect is LeaseEffect.LOSES and held)),)


def _held_after(event: Event, held: bool) -> bool:
    effect = _effect(event)
    return held if effect is LeaseEffect.KEEPS else effect is LeaseEffect.TAKES


def _is_edge(source: State | None, trigger: str, target: State) -> bool:
    return source is not None and any(edge == trigger and to is target for edge, to in LIFECYCLE[source].items())
