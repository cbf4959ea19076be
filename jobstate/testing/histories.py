"""Histories as a failing test shows them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.store.job_store import JobStore

ARROW: Final = " -> "
_MOST_JOBS: Final = 20
_MOST_EVENTS: Final = 100


def path_of(events: Sequence[Event]) -> list[str]:
    """The states of the job in order, without notes."""
    return [event.to_state.value for event in events if not event.is_note]


def history(job: Job, events: Sequence[Event]) -> Iterator[str]:
    """A line about the job, then one for each entry: seconds since submission, trigger, new state, actor and reason."""
    failure = f": {job.failure.summary}" if job.failure is not None else ""
    yield f"job {job.id} ({job.kind}) is {job.state}, attempt {job.attempt}{failure}"
    for event in events[:_MOST_EVENTS]:
        after = (event.at_us - events[0].at_us) / 1_000_000
        state = "" if event.is_note else f"{event.to_state}"
        why = f": {event.reason}" if event.reason else ""
        yield f"  {after:+9.1f} s  {event.trigger:<13} {state:<13} {event.actor}{why}".rstrip()
    if len(events) > _MOST_EVENTS:
        yield f"  … and {len(events) - _MOST_EVENTS} more"


def histories(store: JobStore) -> Iterator[str]:
    """The histories of the newest twenty jobs of a store, newest first."""
    for number, job in enumerate(store.iterate("all")):
        if number == _MOST_JOBS:
            yield f"… and {sum(store.counts().values()) - number} more jobs"
            return
        yield from history(job, store.events(job))
