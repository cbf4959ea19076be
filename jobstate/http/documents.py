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
    """A document with all of these keys, and no others."""

    model_config = ConfigDict(extra="forbid")


class Problem(Exact):
    """Why the server refused a request, or could not carry it out."""

    error_code: str
    error_message: str


class StopView(Exact):
    """The request to stop a job."""

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
        models: The type in the description for a type of `jobstate.wire.job_fields` or of the domain.
        text: The description of the document.
    """
    found: dict[str, Any] = {}
    for field in fields:
        kind = models.get(field.type, field.type)
        found[field.name] = Annotated[kind | None if field.nullable else kind, Field(description=field.text)], ...
    return create_model(name, __base__=Exact, __doc__=text, **found)


JobRecord: Final[Any] = create_model(
    "JobRecord",
    __doc__="A whole job as the store keeps it; times are microseconds since 1970 UTC.",
    **{name: (kind, ...) for name, kind in get_type_hints(JobRow).items() if name in JobRow._fields},  # type: ignore[call-overload]
)


class TableView(Exact):
    """The progress of a job with one table."""

    files_count: int
    total_size_bytes: int
    start_block: int | None
    current_block: int | None


class TableRecord(Exact):
    """The progress of a job with one table, with the first and last block of each range, also behind gaps."""

    files_count: int
    total_size_bytes: int
    ranges: list[Annotated[list[int], Field(min_length=2, max_length=2)]]


class ProgressRecord(Exact):
    """The whole progress of a job as the store keeps it."""

    tables: dict[str, TableRecord]


class EventView(Exact):
    """An event of the history of a job; a note where `from` equals `to`."""

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
    """A registered worker."""

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
    """The server and its store answer."""

    status: str
    version: str
    schema_version: int


class Views:
    """The documents with a state in the words of one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        words = sorted({spelled(state, dialect) for state in State})
        status = Annotated[str, Field(json_schema_extra={"enum": words})]
        models = {job_fields.Instant: Instant, job_fields.Status: status, Stop: StopView, Failure: FailureView}
        job: Any = job_model("Job", AMP, models, "A job.")
        self.job = job
        cursor: Any = (int, Field(default=0, description="Absent on the last page."))
        if dialect is not Dialect.SDK:
            cursor = (int | None, Field(description="Null on the last page."))
        self.page: type[BaseModel] = create_model(
            "JobPage", __base__=Exact, __doc__="Jobs, newest first.", jobs=(list[job], ...), next_cursor=cursor
        )
        self.record_page: type[BaseModel] = create_model(
            "JobRecordPage",
            __base__=Exact,
            __doc__="Whole jobs as the store keeps them, newest first.",
            jobs=(list[JobRecord], ...),
            next_cursor=(int | None, ...),
        )
        self.progress: type[BaseModel] = create_model(
            "Progress",
            __base__=Exact,
            __doc__="The progress of a job by table; of a failed job also the reason.",
            job_id=(int, ...),
            job_status=(status, ...),
            tables=(dict[str, TableView], ...),
            detail=(str, Field(default="", description="Why the job failed; absent unless it did.")),
        )
