"""The documents of the API, for its description, and the one that it takes: a submission."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, create_model

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.failure import FailureKind
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.retry import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_RETRY,
    MAX_ATTEMPTS_LIMIT,
    MAX_CAP,
    MAX_FACTOR,
    RetryPolicy,
)
from jobstate.domain.stop import StopMode, StopOutcome
from jobstate.domain.validation import MAX_LABELS, MAX_TEXT
from jobstate.wire.instants import instant_in
from jobstate.wire.vocabulary import Dialect, spelled

_LINE: Final = r"^[^\x00-\x1f\x7f-\xa0]*$"
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC.")]
Line = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_LINE, description="One printable line.")]


class Exact(BaseModel):
    """All keys of the document are there, and no others."""

    model_config = ConfigDict(extra="forbid")


class Problem(Exact):
    """Why a request was not done."""

    error_code: str
    error_message: str


class StopView(Exact):
    """The stop that was asked for."""

    mode: StopMode
    deadline: Instant | None
    reason: str | None
    outcome: StopOutcome | None


class FailureView(Exact):
    """Why a job, or its last charged run, failed."""

    message: str
    kind: FailureKind
    domain: str | None


class _JobView(Exact):
    """A job. `node_id` is the worker that holds it, else the one that it is pinned to, else empty."""

    id: int
    created_at: Instant
    updated_at: Instant
    node_id: str
    status: str
    descriptor: dict[str, Any]
    state: State
    kind: str
    key: str | None
    pipeline_id: str | None
    run_id: int | None
    labels: dict[str, str]
    priority: int
    available_at: Instant
    parallelism: int
    attempt: int
    failures: int
    max_attempts: int
    started_at: Instant | None
    finished_at: Instant | None
    stop: StopView | None
    failure: FailureView | None
    restarted_from: int | None


JobRecord: Final[Any] = create_model(
    "JobRecord",
    __doc__="A job whole, as it is stored; times are microseconds since 1970 UTC.",
    **{name: (kind, ...) for name, kind in get_type_hints(JobRow).items() if name in JobRow._fields},  # type: ignore[call-overload]
)


class TableView(Exact):
    """How far a job got with one table."""

    files_count: int
    total_size_bytes: int
    start_block: int | None
    current_block: int | None


class TableRecord(Exact):
    """How far a job got with one table, with what lies behind gaps: first and last block of each range."""

    files_count: int
    total_size_bytes: int
    ranges: list[Annotated[list[int], Field(min_length=2, max_length=2)]]


class ProgressRecord(Exact):
    """How far a job got, whole, as it is stored."""

    tables: dict[str, TableRecord]


class EventView(Exact):
    """One entry of the history of a job; a note where `from` and `to` are the same."""

    id: int
    job_id: int
    seq: int
    created_at: Instant
    node_id: str
    event_type: str
    from_: State | None = Field(alias="from")
    to: State
    actor: str
    reason: str | None
    attempt: int
    token: int
    detail: dict[str, Any]


class EventsView(Exact):
    """The history of a job, oldest first."""

    job_id: int
    events: list[EventView]


class WorkerView(Exact):
    """A worker that said it is there."""

    node_id: str
    heartbeat_at: Instant
    started_at: Instant
    host: str
    pid: int
    kinds: list[str] | None
    concurrency: int


class WorkersView(Exact):
    """The workers by name."""

    workers: list[WorkerView]


class Health(Exact):
    """The server answers, and so does its store."""

    status: str
    version: str
    schema_version: int


class Views:
    """The documents that hold a state as one dialect spells it."""

    def __init__(self, dialect: Dialect) -> None:
        words = sorted({spelled(state, dialect) for state in State})
        status = Annotated[str, Field(json_schema_extra={"enum": words})]
        job: Any = create_model("Job", __base__=_JobView, __doc__=_JobView.__doc__, status=(status, ...))
        self.job = job
        cursor: Any = (int, Field(default=0, description="Left out on the last page."))
        if dialect is not Dialect.SDK:
            cursor = (int | None, Field(description="Null on the last page."))
        self.page: type[BaseModel] = create_model(
            "JobPage", __base__=Exact, __doc__="Jobs, newest first.", jobs=(list[job], ...), next_cursor=cursor
        )
        self.record_page: type[BaseModel] = create_model(
            "JobRecordPage",
            __base__=Exact,
            __doc__="Jobs whole, newest first.",
            jobs=(list[JobRecord], ...),
            next_cursor=(int | None, ...),
        )
        self.progress: type[BaseModel] = create_model(
            "Progress",
            __base__=Exact,
            __doc__="How far a job got, per table that it writes; of a failed one also why it failed.",
            job_id=(int, ...),
            job_status=(status, ...),
            tables=(dict[str, TableView], ...),
            detail=(str, Field(default="", description="Why the job failed; only where it did.")),
        )


def _instant(value: Any) -> datetime:
    """Only text is an instant here, not a number of seconds."""
    if not isinstance(value, str):
        raise InvalidRequest("available_at", "must be text such as 2026-01-31T12:00:00Z")
    return instant_in("available_at", value)


def _whole(value: Any) -> Any:
    """To JSON, 3.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
Tasks = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]


_Pause = Annotated[float, Field(ge=0, le=MAX_CAP, allow_inf_nan=False)]


class Retry(BaseModel):
    """How long to wait between charged runs; see `RetryPolicy`. Durations are seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)

    initial: _Pause = Field(default=DEFAULT_RETRY.initial, description="The first delay, at most `cap`.")
    factor: Annotated[float, Field(ge=1, le=MAX_FACTOR)] = Field(
        default=DEFAULT_RETRY.factor, description="Growth of the delay from one failure to the next."
    )
    cap: _Pause = Field(default=DEFAULT_RETRY.cap, description="The longest delay.")
    jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        default=DEFAULT_RETRY.jitter, description="The largest share of a delay that chance takes off."
    )
    healthy_after: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=DEFAULT_RETRY.healthy_after,
        description="A run that lasted this long restarts the count of charged runs; null: none does.",
    )
    fatal: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=lambda: list(DEFAULT_RETRY.fatal),
        description="Qualified names of exception types after which the job is not tried again.",
    )


class Submission(BaseModel):
    """A job to be added; see `JobStore.submit`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Line = Field(description="What sort of work it is; workers choose by it.")
    descriptor: dict[str, JsonValue] = Field(default_factory=dict, description="What the job is to do.")
    node_id: Annotated[str, Field(max_length=MAX_TEXT, pattern=_LINE)] = Field(
        default="", description="Only this worker may claim it; empty: any."
    )
    key: Line | None = Field(default=None, description="Unique among live jobs.")
    pipeline_id: Line | None = Field(default=None, description="The pipeline that this is a run of.")
    labels: Annotated[
        dict[Line, Annotated[str, Field(max_length=MAX_TEXT, pattern=_LINE)]], Field(max_length=MAX_LABELS)
    ] = Field(default_factory=dict, description="Free names for filters.")
    priority: Annotated[int, Field(ge=-(2**31), le=2**31), WHOLE] = Field(default=0, description="Lower goes first.")
    available_at: Annotated[datetime, BeforeValidator(_instant), Field(strict=False)] | None = Field(
        default=None, description="Not to be claimed before, RFC 3339 with a zone."
    )
    hold: bool = Field(default=False, description="Keep it out of the queue until it is scheduled.")
    parallelism: Tasks = Field(default=1, description="How many tasks it is to run with.")
    max_attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS_LIMIT), WHOLE] = Field(
        default=DEFAULT_MAX_ATTEMPTS, description="How many charged runs there may be."
    )
    retry: Retry | None = Field(default=None, description="How long to wait between them; null: the default.")

    def arguments(self) -> dict[str, Any]:
        """The arguments of `JobStore.submit`."""
        retry = DEFAULT_RETRY if self.retry is None else RetryPolicy.from_json(self.retry.model_dump())
        return {**self.model_dump(exclude={"retry"}), "retry": retry}
