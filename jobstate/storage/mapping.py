"""Between columns and the fields of values: which field is stored where, rows to values and back.

`jobs` holds what changes, and is narrow, because every update rewrites the row; `job_specs` holds what never does.
A field of `JobRow` and its column share a name, but for an ending that names the stored form: `created_us` is
`created_at`, `labels_json` is `labels`.

Every order of columns is made here from the names of the fields, once at import, and so is what arranges values in
that order: a field that nothing gives a value to is a TypeError at import.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, Final

from jobstate.domain.checkpoints import Checkpoint, CheckpointState
from jobstate.domain.event import SUBMIT, Actor, Event
from jobstate.domain.invariants import SHAPE
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import CLAIMABLE, State, Trigger
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.domain.metrics import Counters, OperatorKind, Sample, SubtaskMetrics
from jobstate.domain.output import OutputRow
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.domain.submission import NewJob
from jobstate.ports.repository import WorkerInfo

Row = tuple[Any, ...]
Arrange = Callable[..., Row]
"""Takes values one by one, and returns them in the order that a statement or a value needs."""


def column_of(field: str) -> str:
    """The column in which a field is stored."""
    if field == "at_us":
        return "at"
    if field.endswith("_us"):
        return field.removesuffix("_us") + "_at"
    return field.removesuffix("_json")


def arranged(
    what: str, wanted: Iterable[str], given: Sequence[str], constant: Mapping[str, Any] | None = None
) -> Arrange:
    """A function of the values of the fields `given` that returns those of `wanted`, some of which are constant.

    Of two values with one name it takes the later. It is compiled from the places of the fields, as `NamedTuple` is:
    it runs for every job that is submitted or claimed.

    Args:
        what: What is arranged, for the TypeError of a wanted field without a value.
        wanted: The fields of the result, in its order.
        given: The fields of the arguments, in their order.
        constant: The values of the fields that are the same in every result.
    """
    constants = constant or {}
    sources = {name: f"c{n}" for n, name in enumerate(constants)} | {name: f"v{n}" for n, name in enumerate(given)}
    missing = [name for name in wanted if name not in sources]
    if missing:
        raise TypeError(f"{what}: nothing gives a value to {', '.join(missing)}")
    fixed = {f"c{n}": value for n, value in enumerate(constants.values())}
    arguments = ", ".join(f"v{n}" for n in range(len(given)))
    made: Arrange = eval(f"lambda {arguments}: ({', '.join(sources[name] for name in wanted)},)", fixed)  # noqa: S307
    return made


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
_new_row: Final[Callable[[Iterable[Any]], JobRow]] = partial(tuple.__new__, JobRow)
"""As `JobRow._make`, which is a call more and checks a length that is right by construction."""


def job_of(row: Row) -> JobRow:
    """The job in a row of `HOT_FIELDS` and `SPEC_FIELDS`."""
    values = list(row)
    values[_STATE] = _STATES[row[_STATE]]
    values[_CLEAN] = bool(row[_CLEAN])
    if row[_MODE] is not None:
        values[_MODE] = _MODES[row[_MODE]]
        values[_OUTCOME] = _OUTCOMES[row[_OUTCOME]]
    values.append(False)  # deduplicated
    return JobRow._make(values)


# A submission: the values of a `NewJob`, then what the store adds to it, then what the database has counted.

_GIVEN: Final = (
    *NewJob._fields,
    *("state", "available_us", "run_id", "lease_token", "created_us", "updated_us", "actor", "reason"),
)
_COUNTED: Final = ("id", "root_id", "restarted_from", "state")
"""The state once more: an insert binds its text, since the driver takes long over an enum."""
_SUBMITTED: Final[dict[str, Any]] = {
    **dict.fromkeys(("rescale_to", "worker_id", "lease_expires_us", "claimed_us")),
    **dict.fromkeys(("stop_mode", "stop_deadline_us", "stop_reason", "stop_outcome")),
    **dict.fromkeys(("failure_json", "started_us", "finished_us", "detail_json")),
    **dict.fromkeys(("attempt", "failures"), 0),
    **dict.fromkeys(("clean", "deduplicated"), False),
    "seq": 1,
    "trigger": SUBMIT,
}
"""The same for every new job."""
INSERTED: Final = tuple(field for field in HOT_FIELDS if field in _GIVEN)
"""The fields whose values an insert into `jobs` binds."""
INSERTED_PLAIN: Final = tuple(field for field in INSERTED if field not in ("key", "reason"))
"""Those of a job without a key and a reason: the driver takes longer to bind a None than any other value."""
INSERTED_SPEC: Final = ("id", *SPEC_FIELDS)
INSERTED_PLAIN_SPEC: Final = tuple(
    field for field in INSERTED_SPEC if field not in ("pipeline_id", "run_id", "restarted_from", "retry_json")
)
"""Those of a job of no pipeline that is no restart and is retried as usual."""
INSERTED_AS_IS: Final = {field: _SUBMITTED[field] for field in HOT_FIELDS if _SUBMITTED.get(field) is not None}
"""The fields of a new row in `jobs` that are the same for all, but for the empty ones."""
inserted = arranged("an insert into jobs", INSERTED, _GIVEN)
inserted_plain = arranged("an insert into jobs", INSERTED_PLAIN, _GIVEN)
inserted_spec = arranged("an insert into job_specs", INSERTED_SPEC, (*_GIVEN, *_COUNTED))
inserted_plain_spec = arranged("an insert into job_specs", INSERTED_PLAIN_SPEC, (*_GIVEN, *_COUNTED))
_submitted = arranged("a submitted job", JobRow._fields, (*_GIVEN, *_COUNTED), _SUBMITTED)


def given(
    new: NewJob, state: str, available: int, run_id: int | None, token: int, now: int, by: Actor
) -> tuple[Any, ...]:
    """What is known of a job before it is inserted."""
    return (*new, state, available, run_id, token, now, now, *by)


def submitted_job(values: tuple[Any, ...]) -> JobRow:
    """The job whose two rows were just written from `given` and the values of `_COUNTED`."""
    return _new_row(_submitted(*values))


# A claim: the values of `CLAIM_FIELDS`, then what it writes.

_CLAIMED: Final[dict[str, Any]] = {
    **dict.fromkeys(_EMPTY_WHILE_CLAIMABLE),
    **dict.fromkeys(("reason", "detail_json")),
    **dict.fromkeys(("clean", "deduplicated"), False),
    "state": State.RUNNING,
    "trigger": Trigger.CLAIM.value,
}
"""The same for every job that is claimed."""
_TAKEN: Final = (
    *("worker_id", "lease_expires_us", "claimed_us", "updated_us", "actor"),
    *("attempt", "lease_token", "seq", "started_us"),
)
_claimed = arranged("a claimed job", JobRow._fields, (*CLAIM_FIELDS, *_TAKEN), _CLAIMED)
_risen: Final = itemgetter(*map(CLAIM_FIELDS.index, ("attempt", "lease_token", "seq", "started_us")))


def claimed_job(row: Sequence[Any], worker: str, until: int, now: int, actor: str) -> JobRow:
    """The job whose `CLAIM_FIELDS` were read, as the claim leaves it."""
    attempt, token, seq, started = _risen(row)
    if started is None:
        started = now
    taken = (worker, until, now, now, actor, attempt + 1, token + 1, seq + 1, started)
    return _new_row(_claimed(*row, *taken))


# A new version of a job.

version_of: Final[Callable[[JobRow], Row]] = attrgetter(*MUTABLE_FIELDS, "id", "seq")
"""What an update binds: every field that may change, then which job, and the number of its new entry."""


# Records that are stored one field a column


def _columns(kind: type, **other: str) -> tuple[str, ...]:
    """The columns of a dataclass, in the order of its fields; `other` names those that are called in another way."""
    return tuple(other.get(field.name, column_of(field.name)) for field in fields(kind))


EVENT_COLUMNS: Final = _columns(Event)
CHECKPOINT_COLUMNS: Final = _columns(Checkpoint, number="id")
LOG_COLUMNS: Final = _columns(LogEntry)
OUTPUT_COLUMNS: Final = _columns(OutputRow)
WORKER_COLUMNS: Final = _columns(WorkerInfo)
_COUNTERS: Final = [field.name for field in fields(SubtaskMetrics)].index("counters")
_METRICS: Final = _columns(SubtaskMetrics, index="subtask_index", idle_us="idle", observed_us="observed")
METRIC_COLUMNS: Final = (*_METRICS[:_COUNTERS], *Counters._fields, *_METRICS[_COUNTERS + 1 :])
"""Those of a subtask, with one for each of its counters."""
_EVENT_STATES: Final = (EVENT_COLUMNS.index("from_state"), EVENT_COLUMNS.index("to_state"))
_CHECKPOINT_STATUS: Final = CHECKPOINT_COLUMNS.index("status")
_LOG_LEVEL: Final = LOG_COLUMNS.index("level")
_METRIC_KIND: Final = METRIC_COLUMNS.index("kind")
_WORKER_KINDS: Final = WORKER_COLUMNS.index("kinds")
_log_values: Final = attrgetter(*(field.name for field in fields(LogEntry)))
_output_values: Final = attrgetter(*(field.name for field in fields(OutputRow)))
_metric_values: Final = attrgetter(*(field.name for field in fields(SubtaskMetrics)))
_worker_values: Final = attrgetter(*(field.name for field in fields(WorkerInfo)))


def event_of(row: Row) -> Event:
    """The history entry in a row of `EVENT_COLUMNS`."""
    values = list(row)
    for place in _EVENT_STATES:
        values[place] = _STATES.get(row[place])
    return Event(*values)


def checkpoint_of(row: Row) -> Checkpoint:
    """The checkpoint in a row of `CHECKPOINT_COLUMNS`."""
    values = list(row)
    values[_CHECKPOINT_STATUS] = CheckpointState(row[_CHECKPOINT_STATUS])
    return Checkpoint(*values)


def log_of(row: Row) -> LogEntry:
    """The log entry in a row of `LOG_COLUMNS`."""
    values = list(row)
    values[_LOG_LEVEL] = LogLevel(row[_LOG_LEVEL])
    return LogEntry(*values)


def log_row(job_id: int, entry: LogEntry) -> Row:
    """The job and the values of `LOG_COLUMNS`."""
    values = list(_log_values(entry))
    values[_LOG_LEVEL] = entry.level.value
    return (job_id, *values)


def output_of(row: Row) -> OutputRow:
    """The row of output in a row of `OUTPUT_COLUMNS`."""
    return OutputRow(*row)


def output_row(job_id: int, emitted: OutputRow) -> Row:
    """The job and the values of `OUTPUT_COLUMNS`."""
    return (job_id, *_output_values(emitted))


def metrics_of(row: Row) -> SubtaskMetrics:
    """The metrics of a subtask in a row of `METRIC_COLUMNS`."""
    values = list(row)
    values[_METRIC_KIND] = OperatorKind(row[_METRIC_KIND])
    values[-1] = tuple(Sample(*sample) for sample in json.loads(row[-1]))
    values[_COUNTERS : _COUNTERS + len(Counters._fields)] = [
        Counters(*row[_COUNTERS : _COUNTERS + len(Counters._fields)])
    ]
    return SubtaskMetrics(*values)


def metrics_row(job_id: int, metrics: SubtaskMetrics) -> dict[str, object]:
    """The job and the values of `METRIC_COLUMNS`, by column."""
    values = list(_metric_values(metrics))
    values[_METRIC_KIND] = metrics.kind.value
    values[-1] = json.dumps(metrics.samples)
    values[_COUNTERS : _COUNTERS + 1] = metrics.counters
    return {"job_id": job_id, **dict(zip(METRIC_COLUMNS, values, strict=True))}


def worker_of(row: Row) -> WorkerInfo:
    """The worker in a row of `WORKER_COLUMNS`."""
    values = list(row)
    if row[_WORKER_KINDS] is not None:
        values[_WORKER_KINDS] = tuple(json.loads(row[_WORKER_KINDS]))
    return WorkerInfo(*values)


def worker_row(worker: WorkerInfo) -> dict[str, object]:
    """The values of `WORKER_COLUMNS`, by column."""
    values = list(_worker_values(worker))
    values[_WORKER_KINDS] = None if worker.kinds is None else json.dumps(worker.kinds)
    return dict(zip(WORKER_COLUMNS, values, strict=True))
