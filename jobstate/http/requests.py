"""The bodies of requests, as models: each checks one body and describes it in `/openapi.json`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema, create_model

from jobstate.core.arguments import MAX_PARALLELISM
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.retry import (
    DEFAULT_RETRY,
    MAX_CAP,
    MAX_FACTOR,
    RetryPolicy,
)
from jobstate.domain.stop import StopMode
from jobstate.domain.validation import MAX_LABELS, MAX_TEXT
from jobstate.http.parameters import LATEST_MS, LONGEST_STOP, WHOLE, CheckpointInBody
from jobstate.wire import job_fields
from jobstate.wire.formats import parse_instant
from jobstate.wire.job_fields import INPUTS

STOP_SECONDS: Final = 30
"""Seconds that a worker may take to stop, unless the request says otherwise."""
_LINE: Final = r"^[^\x00-\x1f\x7f-\xa0]*$"
Line = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_LINE, description="One printable line.")]
LineOrNothing = Annotated[str, Field(max_length=MAX_TEXT, pattern=_LINE)]
Tasks = Annotated[int, Field(ge=1, le=MAX_PARALLELISM), WHOLE]
_Delay = Annotated[float, Field(ge=0, le=MAX_CAP, allow_inf_nan=False)]


def _instant(value: Any) -> datetime:
    """Accept text only, not a number of seconds."""
    if not isinstance(value, str):
        raise InvalidRequest("available_at", "must be text such as 2026-01-31T12:00:00Z")
    return parse_instant("available_at", value)


def _instant_or_milliseconds(value: Any) -> datetime:
    if isinstance(value, str):
        return parse_instant("available_at", value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LATEST_MS:
        raise InvalidRequest(
            "available_at", "must be milliseconds since 1970 UTC, or text such as 2026-01-31T12:00:00Z"
        )
    return validation.instant(value * 1000)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Retry(_Body):
    """How long to wait between charged runs; see `RetryPolicy`. Durations are seconds."""

    initial: _Delay = Field(default=DEFAULT_RETRY.initial, description="The first delay, at most `cap`.")
    factor: Annotated[float, Field(ge=1, le=MAX_FACTOR)] = Field(
        default=DEFAULT_RETRY.factor, description="Growth of the delay from one failure to the next."
    )
    cap: _Delay = Field(default=DEFAULT_RETRY.cap, description="The longest delay.")
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


class _Submission(_Body):
    def arguments(self) -> dict[str, Any]:
        """The arguments of `JobStore.submit`."""
        given = self.model_dump()
        retry = given.pop("retry")
        return {**given, "retry": DEFAULT_RETRY if retry is None else RetryPolicy.from_json(retry)}


_MODELS: Final[Mapping[Any, Any]] = {
    job_fields.Line: Line,
    job_fields.LineOrNothing: LineOrNothing,
    job_fields.Labels: Annotated[dict[Line, LineOrNothing], Field(max_length=MAX_LABELS)],
    job_fields.Object: dict[str, JsonValue],
    job_fields.Instant: Annotated[datetime, BeforeValidator(_instant), Field(strict=False)],
    RetryPolicy: Retry,
}
_PIPELINE_INSTANT: Final = Annotated[
    datetime,
    BeforeValidator(_instant_or_milliseconds),
    Field(strict=False),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": LATEST_MS},
                {"type": "string", "format": "date-time"},
            ]
        }
    ),
    WHOLE,
]


def _submission(name: str, models: Mapping[Any, Any], **texts: str) -> Any:
    """The body of a submission, with the `INPUTS` of `jobstate.wire.job_fields`.

    Args:
        name: Of the model in the description.
        models: The type in the body for a type of `jobstate.wire.job_fields`.
        **texts: The texts of fields that differ from the table.
    """
    found: dict[str, Any] = {}
    for field, given in INPUTS.items():
        kind = models.get(given.type, given.type)
        if given.bounds is not None:
            kind = Annotated[kind, Field(ge=given.bounds[0], le=given.bounds[1]), WHOLE]
        default: dict[str, Any] = {"default_factory" if callable(given.default) else "default": given.default}
        found[field] = (
            kind | None if given.default is None else kind,
            Field(**default, description=texts.get(field, given.text)),
        )
    return create_model(name, __base__=_Submission, __doc__="A job to submit; see `JobStore.submit`.", **found)


if TYPE_CHECKING:  # a type checker has no fields to know: `arguments` is all that routes call

    class Submission(_Submission):
        """A job to submit."""

    class PipelineSubmission(_Submission):
        """A job to submit, in the pipeline dialect."""

else:
    Submission = _submission("Submission", _MODELS)
    PipelineSubmission = _submission(
        "PipelineSubmission",
        {**_MODELS, job_fields.Instant: _PIPELINE_INSTANT},
        available_at="No worker claims it before; milliseconds since 1970 UTC, or RFC 3339. By default, at once.",
    )


class StopBody(_Body):
    """How to stop a job."""

    mode: Annotated[StopMode, Field(strict=False)] = Field(
        default=StopMode.CHECKPOINT, description="How the worker stops."
    )
    timeout_seconds: Annotated[float, Field(ge=0, le=LONGEST_STOP, allow_inf_nan=False)] = Field(
        default=STOP_SECONDS, description="How long the worker may take, in seconds."
    )


class RestartBody(_Body):
    """The checkpoint to restart from, and the number of tasks."""

    checkpoint_id: CheckpointInBody | None = Field(
        default=None, description="A completed checkpoint of the lineage; by default, the newest one of the job."
    )
    parallelism: Tasks | None = Field(default=None, description="Another number of tasks.")


class RescaleBody(_Body):
    """The number of tasks that the job is to run with."""

    parallelism: Tasks
