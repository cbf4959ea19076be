"""Between columns and the fields of values: which field is stored where, rows to values and back.

`jobs` holds what changes, and is narrow, because every update rewrites the row; `job_specs` holds what never does.
A field of `JobRow` and its column share a name, but for the ending that says how it is stored: `created_us` is
`created_at`, `labels_json` is `labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter
from typing import Any, Final

from jobstate.domain.event import SUBMIT, Actor, Event
from jobstate.domain.invariants import SHAPE
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import CLAIMABLE, State, Trigger
from jobstate.domain.stop import StopMode, StopOutcome

Row = tuple[Any, ...]


def column_of(field: str) -> str:
    """The column in which a field of `Job` is stored."""
    if field.endswith("_us"):
        return field.removesuffix("_us") + "_at"
    return field.removesuffix("_json")


_STORED: Final = tuple(field for field in JobRow._fields if field != "deduplicated")
SPEC_FIELDS: Final = _STORED[_STORED.index("pipeline_id") :]
HOT_FIELDS: Final = _STORED[: _STORED.index("pipeline_id")]
FIXED_FIELDS: Final = ("id", "kind", "node_id", "priority", "key", "created_us")
MUTABLE_FIELDS: Final = tuple(field for field in HOT_FIELDS if field not in FIXED_FIELDS)
_CLAIM_WRITES: Final = (
    *("state", "worker_id", "lease_expires_us", "claimed_us", "clean", "updated_us"),
    *("trigger", "actor", "reason", "detail_json"),
)
_EMPTY_WHILE_CLAIMABLE: Final = tuple(presence.field for presence in SHAPE if not presence.allowed & CLAIMABLE)
CLAIM_FIELDS: Final = tuple(field for field in _STORED if field not in (*_CLAIM_WRITES, *_EMPTY_WHILE_CLAIMABLE))
"""What a claim must read: not what it overwrites, nor what a claimable job cannot hold. Each column read costs."""


_STATES: Final[dict[str | None, State]] = {state.value: state for state in State}
_MODES: Final[dict[str | None, StopMode | None]] = {None: None, **{mode.value: mode for mode in StopMode}}
_OUTCOMES: Final[dict[str | None, StopOutcome | None]] = {None: None, **{o.value: o for o in StopOutcome}}
_STATE, _CLEAN, _MODE, _OUTCOME = (HOT_FIELDS.index(f) for f in ("state", "clean", "stop_mode", "stop_outcome"))
_job_made: Final[Callable[[Iterable[Any]], JobRow]] = partial(tuple.__new__, JobRow)
"""As `Job._make`, which is a call more; the contract tests hold the jobs against those that are read."""
_CLAIM: Final = Trigger.CLAIM.value
_EVENT_STATES: Final = tuple([field.name for field in fields(Event)].index(name) for name in ("from_state", "to_state"))
_mutable: Final = attrgetter(*MUTABLE_FIELDS)


def job_of(row: Row) -> JobRow:
    """The job in a row of all its fields, in their order."""
    values = list(row)
    values[_STATE] = _STATES[row[_STATE]]
    values[_CLEAN] = bool(row[_CLEAN])
    if row[_MODE] is not None:
        values[_MODE] = _MODES[row[_MODE]]
        values[_OUTCOME] = _OUTCOMES[row[_OUTCOME]]
    return JobRow._make((*values, False))


def submitted_job(first: tuple[Any, ...], token: int, now: int, by: Actor, spec: tuple[Any, ...]) -> JobRow:
    """The job whose two rows were just written, from the values of its first and of its last fields."""
    # fmt: off
    return _job_made((
        *first,
        None,  # rescale_to
        0, 0, token,  # attempt, failures, lease_token
        None, None, None,  # worker_id, lease_expires_us, claimed_us
        False,  # clean
        None, None, None, None,  # the stop
        None,  # failure_json
        now, now,  # created_us, updated_us
        None, None,  # started_us, finished_us
        1, SUBMIT, *by,
        None,  # detail_json
        *spec,
        False,  # deduplicated
    ))
    # fmt: on


def claimed_job(row: Sequence[Any], worker: str, until: int, now: int, actor: str) -> JobRow:
    """The job whose `CLAIM_FIELDS` were read, as the claim leaves it."""
    # fmt: off
    (
        job_id, kind, node_id, priority, available, key, parallelism, attempt, failures, token,
        stop_reason, failure, created, started, seq, *spec,
    ) = row
    # fmt: on
    # fmt: off
    return _job_made((
        job_id, State.RUNNING, kind, node_id, priority, available, key, parallelism,
        None,  # rescale_to
        attempt + 1, failures, token + 1,
        worker, until, now,
        False,  # clean
        None, None, stop_reason, None,
        failure,
        created, now,
        now if started is None else started, None,
        seq + 1, _CLAIM, actor, None,
        None,  # detail_json
        *spec,
        False,  # deduplicated
    ))
    # fmt: on


def event_of(row: Row) -> Event:
    """The history entry in a row of all its columns."""
    values = list(row)
    for place in _EVENT_STATES:
        values[place] = _STATES.get(row[place])
    return Event(*values)


def version_of(job: JobRow) -> tuple[Any, ...]:
    """What an update writes for the next version of a job: its id, then every column that may change."""
    return (job.id, *_mutable(job))
