"""The arguments of the verbs: their types, and functions that validate them and return their stored form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol, runtime_checkable

from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.domain.job_row import Lease
from jobstate.domain.lifecycle import STATE_WORDS, State, StateWord, states_named
from jobstate.domain.logs import LogFilter, LogLevel
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, MAX_ATTEMPTS_LIMIT, RetryPolicy
from jobstate.domain.stop import StopMode
from jobstate.domain.submission import NewJob
from jobstate.ports.queries import Order, SortKey


@runtime_checkable
class Holder(Protocol):
    """What holds a job: a `Run`, or the awaited side of one."""

    @property
    def id(self) -> int:
        """The id of the job."""

    @property
    def lease(self) -> Lease:
        """The lease that every write of the holder names."""


JobRef = int | Job | Holder
"""A job: its id, a `Job` or a run."""
CheckpointRef = str | int | Checkpoint
"""A checkpoint: its id (`chk_…`), the number in it or a `Checkpoint`."""
Duration = float | timedelta
"""Seconds, or a timedelta."""
StateFilter = StateWord | State | Iterable[StateWord | State]
"""A filter word, a state, or several of them. At run time case does not matter, and `-` is `_`."""
PruneFilter = Literal["terminal", "completed", "stopped", "failed", "error"] | State
ModeWord = Literal["checkpoint", "immediate", "force"] | StopMode
LevelWord = Literal["info", "warn", "warning", "error"] | LogLevel
LevelFilter = LevelWord | Iterable[LevelWord] | None
_Rising = Literal["id", "created_at", "started_at", "finished_at", "state", "run_id"]
_Falling = Literal["-id", "-created_at", "-started_at", "-finished_at", "-state", "-run_id"]
SortWord = _Rising | _Falling

MAX_PAGE: Final = 1000
"""The most that one call returns."""
MAX_OFFSET: Final = 10_000
"""The most that one call skips."""
MAX_PRIORITY: Final = 2**31
MAX_PARALLELISM: Final = 1_000_000
_LONGEST_NUMBER: Final = 20
_LEVELS: Final = {**{level.value: level for level in LogLevel}, "warning": LogLevel.WARN}


def new_job(
    descriptor_limit: int,
    /,
    *,
    kind: str,
    descriptor: Mapping[str, Any] | None = None,
    node_id: str = "",
    key: str | None = None,
    pipeline_id: str | None = None,
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    available_at: datetime | None = None,
    hold: bool = False,
    parallelism: int = 1,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> NewJob:
    """The arguments of `JobStore.submit` as a submission. InvalidRequest names an argument that is not as described."""
    if not (
        type(priority) is type(parallelism) is type(max_attempts) is int
        and -MAX_PRIORITY <= priority <= MAX_PRIORITY
        and 1 <= parallelism <= MAX_PARALLELISM
        and 1 <= max_attempts <= MAX_ATTEMPTS_LIMIT
    ):
        priority = validation.integer("priority", priority, -MAX_PRIORITY, MAX_PRIORITY)
        parallelism = tasks("parallelism", parallelism)
        max_attempts = validation.integer("max_attempts", max_attempts, 1, MAX_ATTEMPTS_LIMIT)
    return NewJob(
        validation.text("kind", kind),
        validation.json_object("descriptor", descriptor, descriptor_limit),
        validation.text("node_id", node_id, empty=True) if node_id != "" else "",
        None if key is None else validation.text("key", key),
        None if pipeline_id is None else validation.text("pipeline_id", pipeline_id),
        validation.labels_text(labels) if labels else "{}",
        priority,
        None if available_at is None else validation.instant_us("available_at", available_at),
        hold,
        parallelism,
        max_attempts,
        None if retry is DEFAULT_RETRY else _retry_json(retry),
    )


def tasks(field: str, count: int) -> int:
    """A number of tasks."""
    return validation.integer(field, count, 1, MAX_PARALLELISM)


def checkpoint_number(checkpoint: CheckpointRef) -> int:
    """The number behind a reference to a checkpoint."""
    if isinstance(checkpoint, Checkpoint):
        return checkpoint.number
    if isinstance(checkpoint, str):
        digits = checkpoint.removeprefix("chk_")
        if digits.isascii() and digits.isdigit() and len(digits) < _LONGEST_NUMBER:
            checkpoint = int(digits)
    return validation.integer("checkpoint_id", checkpoint, 1, validation.MAX_ID)


def job_id(job: JobRef) -> int:
    """The id behind a reference to a job."""
    if isinstance(job, int) and not isinstance(job, bool):
        return validation.integer("job", job, 1, validation.MAX_ID)
    if isinstance(job, Job | Holder):
        return job.id
    raise InvalidRequest("job", f"must be an id, a Job or a Run, not {job!r}")


def stop_mode(mode: str) -> StopMode:
    """The mode of a stop, by its word."""
    try:
        return StopMode(mode)
    except ValueError:
        raise InvalidRequest("mode", f"must be one of {', '.join(StopMode)}, not {mode!r}") from None


def states(field: str, wanted: str | Iterable[str]) -> frozenset[State]:
    """The states that filter words select together."""
    words = [wanted] if isinstance(wanted, str) else list(wanted) if isinstance(wanted, Iterable) else []
    if not words:
        raise InvalidRequest(field, f"must name at least one of {', '.join(STATE_WORDS)}")
    found: frozenset[State] = frozenset()
    for word in words:
        selected = states_named(word) if isinstance(word, str) else None
        if selected is None:
            raise InvalidRequest(field, f"has no word {word!r}; use {', '.join(STATE_WORDS)}")
        found |= selected
    return found


def only(field: str, value: str | None, *, empty: bool = False) -> str | None:
    """A text to filter by; None for no such filter."""
    return None if value is None else validation.text(field, value, empty=empty)


def order(field: str, sort: str, spelling: Mapping[State, str] | None = None) -> Order:
    """A sort key with its direction; states are sorted by their words in this spelling."""
    name = sort.removeprefix("-") if isinstance(sort, str) else None
    if name not in frozenset(SortKey):
        raise InvalidRequest(field, f"must be one of {', '.join(SortKey)}, or one of them behind a -, not {sort!r}")
    ranks: tuple[int, ...] = ()
    if name == SortKey.STATE:
        words = [state.value if spelling is None else spelling[state] for state in State]
        ranks = tuple(sorted(set(words)).index(word) for word in words)
    return Order(SortKey(name), sort.startswith("-"), ranks)


def levels(
    field: str, wanted: str | Iterable[str] | None, among: Sequence[LogLevel] = tuple(LogLevel)
) -> tuple[LogLevel, ...]:
    """The levels of a filter, each one of `among`; None: all of them."""
    if wanted is None:
        return tuple(among)
    found = []
    for word in [wanted] if isinstance(wanted, str) else validation.several(field, wanted, "levels"):
        level = _LEVELS.get(str(word).lower())
        if level is None or level not in among:
            raise InvalidRequest(field, f"must be one of {', '.join(among)}, not {word!r}")
        found.append(level)
    if not found:
        raise InvalidRequest(field, f"must name at least one of {', '.join(among)}")
    return tuple(dict.fromkeys(found))


def log_filter(
    level: LevelFilter,
    operator_id: str | None,
    task_index: int | None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> LogFilter:
    """A filter of log entries."""
    return LogFilter(
        levels("level", level),
        only("operator_id", operator_id),
        None if task_index is None else validation.integer("task_index", task_index, 0, validation.MAX_ID),
        None if since is None else validation.instant_us("since", since),
        None if until is None else validation.instant_us("until", until),
    )


def _retry_json(retry: RetryPolicy) -> str:
    if not isinstance(retry, RetryPolicy):
        raise InvalidRequest("retry", f"must be a RetryPolicy, not {retry!r}")
    return json.dumps(retry.to_json())
