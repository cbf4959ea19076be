"""The bodies of requests, as models: each checks one body and describes it in `/openapi.json`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.retry import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_RETRY,
    MAX_ATTEMPTS_LIMIT,
    MAX_CAP,
    MAX_FACTOR,
    RetryPolicy,
)
from jobstate.domain.stop import StopMode
from jobstate.domain.validation import MAX_LABELS, MAX_TEXT
from jobstate.http.parameters import LATEST_MS, LONGEST_STOP, WHOLE, CheckpointInBody
from jobstate.wire.text import parse_instant

STOP_SECONDS: Final = 30
"""How long a worker may take to stop, unless the request says otherwise."""
_LINE: Final = r"^[^\x00-\x1f\x7f-\xa0]*$"
Line = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_LINE, description="One printable line.")]
Tasks = Annotated[int, Field(ge=1, le=1_000_000), WHOLE]
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


class Submission(_Body):
    """A job to be added; see `JobStore.submit`."""

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


class PipelineSubmission(Submission):
    """A job to be added; see `JobStore.submit`."""

    available_at: (
        Annotated[
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
        | None
    ) = Field(default=None, description="Not to be claimed before: milliseconds since 1970 UTC, or RFC 3339.")


class StopBody(_Body):
    """How to stop."""

    mode: Annotated[StopMode, Field(strict=False)] = Field(default=StopMode.CHECKPOINT, description="How hard.")
    timeout_seconds: Annotated[float, Field(ge=0, le=LONGEST_STOP, allow_inf_nan=False)] = Field(
        default=STOP_SECONDS, description="How long the worker may take."
    )


class RestartBody(_Body):
    """What to restart from, and as how many tasks."""

    checkpoint_id: CheckpointInBody | None = Field(
        default=None, description="A completed checkpoint of the lineage; left out: the newest one of the job."
    )
    parallelism: Tasks | None = Field(default=None, description="Another number of tasks.")


class RescaleBody(_Body):
    """How many tasks the job is to run with."""

    parallelism: Tasks
