"""The documents of the Amp dialects, as models: `/openapi.json` describes the answers with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.stop import Stop, StopMode, StopOutcome
from jobstate.wire import job_fields
from jobstate.wire.job_fields import AMP, JobField
from jobstate.wire.states import Dialect, spelled

Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC.")]


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


def job_model(name: str, fields: Iterable[JobField], models: Mapping[Any, Any], text: str) -> Any:
    """A model of a document of a job.

    Args:
        name: Of the model in the description.
        fields: The fields of the document.
        models: What the description has in place of a type of `jobstate.wire.job_fields` or of the domain.
        text: What the document is.
    """
    found: dict[str, Any] = {}
    for field in fields:
        kind = models.get(field.type, field.type)
        found[field.name] = Annotated[kind | None if field.nullable else kind, Field(description=field.text)], ...
    return create_model(name, __base__=Exact, __doc__=text, **found)


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
        models = {job_fields.Instant: Instant, job_fields.Status: status, Stop: StopView, Failure: FailureView}
        job: Any = job_model("Job", AMP, models, "A job.")
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
