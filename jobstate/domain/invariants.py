"""What a row must and may hold in each state: the database checks it at every write, the audit checks it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import HELD, LEASED, LIVE, STOP_PENDING, TERMINAL, State

_EVERY: Final = frozenset(State)


class Presence(NamedTuple):
    """In which states a field of `Job` must be there (not None), and in which it may be."""

    field: str
    required: frozenset[State]
    allowed: frozenset[State]


SHAPE: Final = (
    Presence("worker_id", HELD, LEASED),
    Presence("lease_expires_us", HELD, LEASED),
    Presence("claimed_us", HELD, _EVERY - {State.CREATED}),
    Presence("started_us", HELD | {State.COMPLETED}, _EVERY - {State.CREATED}),
    Presence("finished_us", TERMINAL, TERMINAL),
    Presence("rescale_to", frozenset({State.RESCALING}), frozenset({State.RESCALING})),
    Presence("stop_mode", STOP_PENDING | {State.STOPPED}, STOP_PENDING | TERMINAL),
    Presence("stop_deadline_us", STOP_PENDING, STOP_PENDING | TERMINAL),
    Presence("stop_outcome", frozenset({State.STOPPED}), frozenset({State.STOPPED})),
    Presence("failure_json", frozenset({State.FAILED}), (LIVE | TERMINAL) - {State.CREATED, State.COMPLETED}),
)

TOGETHER: Final = (("worker_id", "lease_expires_us"),)
"""Fields that are there together or not at all."""


def faults(job: JobRow) -> Iterator[str]:
    """What about the row does not fit its state, one sentence each."""
    for field, required, allowed in SHAPE:
        there = getattr(job, field) is not None
        if there and job.state not in allowed:
            yield f"{field} is set in {job.state}"
        if not there and job.state in required:
            yield f"{field} is missing in {job.state}"
    for left, right in TOGETHER:
        if (getattr(job, left) is None) != (getattr(job, right) is None):
            yield f"{left} and {right} do not stand together"
    if not 0 <= job.failures <= job.attempt <= job.lease_token:
        yield f"counts do not fit: failures {job.failures}, attempt {job.attempt}, token {job.lease_token}"
