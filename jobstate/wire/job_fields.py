"""The fields of a job outside the process, each declared once: name, type, text, and the documents that have it.

The models of the HTTP API, the documents of both dialects, the bodies of submissions and the plain lines of
`jobstate inspect` are made from these tables. Records (`jobstate.wire.records`) have every field of `JobRow` as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NewType

from jobstate.core.arguments import MAX_PARALLELISM, MAX_PRIORITY
from jobstate.domain.failure import Failure
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import LIVE, STOP_PENDING, State
from jobstate.domain.operator_actions import Action, allowed_actions
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, MAX_ATTEMPTS_LIMIT, RetryPolicy
from jobstate.domain.stop import Stop, StopOutcome
from jobstate.wire.formats import format_instant, milliseconds
from jobstate.wire.states import Dialect, spelled

JOB_PREFIX: Final = "job_"
REQUIRED: Final[Any] = ...
"""The default of an input that a submission must have."""

# Types of JSON values beside those of Python and of the domain.
Instant = NewType("Instant", str)
Milliseconds = NewType("Milliseconds", int)
Status = NewType("Status", str)
"""A state in the words of the dialect."""
Line = NewType("Line", str)
LineOrNothing = NewType("LineOrNothing", str)
Labels = NewType("Labels", dict[str, str])
Object = dict[str, Any]


class Configuration:
    """The type of the object with the `CONFIGURATION` fields."""


@dataclass(frozen=True, slots=True)
class Input:
    """How a submission gives a field.

    Attributes:
        type: The type of the value; None where the field allows it.
        default: Of a submission that leaves it out; a class: an empty value of it.
        text: Where it differs from that of the field.
        bounds: The least and the greatest integer.
    """

    type: Any
    default: Any = REQUIRED
    text: str = ""
    bounds: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class JobField:
    """A field of a job.

    Attributes:
        name: The key in the documents, and the argument of `submit`.
        text: What it means, in one sentence.
        type: The type of the JSON value, and None beside it where `nullable`.
        read: The value, from a job and the dialect of the document; None: documents do not have it.
        nullable: Whether the value may be null.
        in_configuration: Whether the `configuration` of the pipeline dialect has it too.
        label: Of its line in `jobstate inspect`, where the value is shown as it is; empty: there is no such line.
        input: How a submission gives it; None: it cannot.
    """

    name: str
    text: str
    type: Any
    read: Callable[[Job, Dialect], Any] | None = None
    nullable: bool = False
    in_configuration: bool = False
    label: str = ""
    input: Input | None = None


def _attribute(name: str) -> Callable[[Job, Dialect], Any]:
    return lambda job, _: getattr(job, name)


def _instant(name: str) -> Callable[[Job, Dialect], Any]:
    return lambda job, _: format_instant(getattr(job, name))


def _milliseconds(name: str) -> Callable[[Job, Dialect], Any]:
    return lambda job, _: milliseconds(getattr(job, name))


def _stop(instant: Callable[[Any], Any]) -> Callable[[Job, Dialect], Any]:
    def read(job: Job, _: Dialect) -> Object | None:
        stop = job.stop
        if stop is None:
            return None
        return {
            "mode": stop.mode.value,
            "deadline": instant(stop.deadline),
            "reason": stop.reason,
            "outcome": None if stop.outcome is None else stop.outcome.value,
        }

    return read


def _failure(job: Job, _: Dialect) -> Object | None:
    failure = job.failure
    if failure is None:
        return None
    return {"message": failure.message, "kind": failure.kind.value, "domain": failure.domain}


def _failure_message(job: Job, _: Dialect) -> str | None:
    """Why a job failed, also while it waits for its next attempt; None after a failed run that another one followed."""
    failed = job.state in (State.FAILED, State.RECOVERING) or (
        job.stop is not None and job.stop.outcome is StopOutcome.WORKER_FAILED
    )
    return job.failure.message if failed and job.failure is not None else None


def job_name(job_id: int) -> str:
    """The id of a job as the pipeline dialect writes it."""
    return f"{JOB_PREFIX}{job_id}"


FIELDS: Final = (
    JobField("id", "Its number in the store.", int, _attribute("id")),
    JobField("created_at", "When it was submitted.", Instant, _instant("created_at")),
    JobField("updated_at", "When its newest event was written.", Instant, _instant("updated_at")),
    JobField(
        "node_id",
        "The worker that holds it, else the one that it is pinned to, else empty.",
        str,
        lambda job, _: job.worker_id or job.node_id,
        input=Input(LineOrNothing, "", "Only this worker may claim it; empty: any."),
    ),
    JobField(
        "status", "Its state, in the words of this profile.", Status, lambda job, dialect: spelled(job.state, dialect)
    ),
    JobField(
        "descriptor",
        "The work to do.",
        Object,
        _attribute("descriptor"),
        in_configuration=True,
        input=Input(Object, dict),
    ),
    JobField("state", "Its exact state.", State, lambda job, _: job.state.value),
    JobField(
        "kind",
        "The sort of work; workers choose jobs by it.",
        str,
        _attribute("kind"),
        in_configuration=True,
        input=Input(Line),
    ),
    JobField(
        "key", "Unique among live jobs.", str, _attribute("key"), nullable=True, label="key", input=Input(Line, None)
    ),
    JobField(
        "pipeline_id",
        "The pipeline that this job is a run of.",
        str,
        _attribute("pipeline_id"),
        nullable=True,
        input=Input(Line, None),
    ),
    JobField("run_id", "Its number among the runs of its pipeline.", int, _attribute("run_id"), nullable=True),
    JobField("labels", "Free names for filters.", dict[str, str], _attribute("labels"), input=Input(Labels, dict)),
    JobField(
        "priority",
        "Lower goes first.",
        int,
        _attribute("priority"),
        input=Input(int, 0, bounds=(-MAX_PRIORITY, MAX_PRIORITY)),
    ),
    JobField(
        "available_at",
        "No worker claims it before.",
        Instant,
        _instant("available_at"),
        input=Input(Instant, None, "No worker claims it before; RFC 3339 with a zone. By default, at once."),
    ),
    JobField("hold", "", bool, input=Input(bool, False, "Keep it out of the queue until it is scheduled.")),
    JobField(
        "parallelism",
        "How many tasks it runs with.",
        int,
        _attribute("parallelism"),
        in_configuration=True,
        input=Input(int, 1, bounds=(1, MAX_PARALLELISM)),
    ),
    JobField("attempt", "How often it was claimed.", int, _attribute("attempt")),
    JobField("failures", "Charged runs in a row.", int, _attribute("failures")),
    JobField(
        "max_attempts",
        "How many charged runs it may have.",
        int,
        _attribute("max_attempts"),
        in_configuration=True,
        input=Input(int, DEFAULT_MAX_ATTEMPTS, bounds=(1, MAX_ATTEMPTS_LIMIT)),
    ),
    JobField(
        "retry", "", RetryPolicy, input=Input(RetryPolicy, None, "How long to wait between them; null: the default.")
    ),
    JobField("started_at", "When it was first claimed.", Instant, _instant("started_at"), nullable=True),
    JobField("finished_at", "When it ended.", Instant, _instant("finished_at"), nullable=True),
    JobField("stop", "The request to stop it.", Stop, _stop(format_instant), nullable=True),
    JobField("failure", "Why it, or its last charged run, failed.", Failure, _failure, nullable=True),
    JobField("restarted_from", "The job that it restarts.", int, _attribute("restarted_from"), nullable=True),
)
"""The fields of a job in the Amp dialects, and of submissions in both, in the order of the documents."""

AMP: Final = tuple(field for field in FIELDS if field.read is not None)
_GIVEN: Final = sorted(
    ((field, field.input) for field in FIELDS if field.input is not None),
    key=lambda pair: pair[1].default is not REQUIRED,
)
"""What a submission has, the required fields first."""
CONFIGURATION: Final = tuple(field for field, _ in _GIVEN if field.in_configuration)
INPUTS: Final[Mapping[str, Input]] = {
    field.name: given if given.text else replace(given, text=field.text) for field, given in _GIVEN
}

PIPELINE_PUBLISHED: Final = (
    JobField("id", "Its id, such as `job_7`.", str, lambda job, _: job_name(job.id)),
    JobField("pipeline_id", "The pipeline that this job is a run of.", str, _attribute("pipeline_id"), nullable=True),
    JobField(
        "running_desired",
        "Whether it is live and nobody asked it to stop.",
        bool,
        lambda job, _: job.state in LIVE - STOP_PENDING,
    ),
    JobField(
        "state", "Its state, in the words of this dialect.", Status, lambda job, dialect: spelled(job.state, dialect)
    ),
    JobField("run_id", "Its number among the runs of its pipeline.", int, _attribute("run_id"), nullable=True),
    JobField("start_time", "When it was first claimed.", Milliseconds, _milliseconds("started_at"), nullable=True),
    JobField("finish_time", "When it ended.", Milliseconds, _milliseconds("finished_at"), nullable=True),
    JobField("tasks", "How many tasks it runs with.", int, _attribute("parallelism")),
    JobField("failure_message", "Why it failed, or its last run.", str, _failure_message, nullable=True),
    JobField("created_at", "When it was submitted.", Milliseconds, _milliseconds("created_at")),
)
"""The fields of a job in the published pipeline API; then come `metrics`, which lists omit."""

PIPELINE_OWN: Final = (
    JobField("lifecycle", "Its exact state.", State, lambda job, _: job.state.value),
    JobField(
        "allowed_actions",
        "The verbs that have an effect in its state.",
        list[Action],
        lambda job, _: [action.value for action in allowed_actions(job.state)],
    ),
    JobField(
        "configuration",
        "What it was submitted as.",
        Configuration,
        lambda job, dialect: document(CONFIGURATION, job, dialect),
    ),
    JobField("stop", "The request to stop it.", Stop, _stop(milliseconds), nullable=True),
    JobField(
        "restarted_from",
        "The job that it restarts.",
        str,
        lambda job, _: None if job.restarted_from is None else job_name(job.restarted_from),
        nullable=True,
    ),
)
"""The fields that we add to it."""

PIPELINE: Final = (*PIPELINE_PUBLISHED, *PIPELINE_OWN)


def labelled(job: Job) -> Iterator[tuple[str, str]]:
    """The label and the value of each field that `jobstate inspect` shows as it is; a value of None is empty."""
    for field in FIELDS:
        if field.label and field.read is not None:
            value = field.read(job, Dialect.AMPCTL)
            yield field.label, "" if value is None else str(value)


def document(fields: tuple[JobField, ...], job: Job, dialect: Dialect) -> Object:
    """The object with these fields of a job."""
    return {field.name: field.read(job, dialect) for field in fields if field.read is not None}
