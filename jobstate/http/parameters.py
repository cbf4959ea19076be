"""The parameters of requests, as types: each checks one parameter and describes it in `/openapi.json`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, cast

from fastapi import Header, Path, Query
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from jobstate.core.arguments import MAX_OFFSET, MAX_PAGE, LevelWord
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.logs import LogLevel
from jobstate.domain.operator_actions import PRUNE_WORDS
from jobstate.domain.validation import MAX_ID, MAX_REASON, MAX_TEXT
from jobstate.wire import pipeline
from jobstate.wire.formats import AGE_PATTERN, LABELS_PATTERN, parse_instant
from jobstate.wire.job_fields import JOB_PREFIX
from jobstate.wire.states import Dialect, filter_words
from jobstate.wire.telemetry import ERROR_LEVELS, ERROR_PREFIX, LOG_PREFIX

LONGEST_STOP: Final = 10**9
"""Seconds; some thirty years."""
LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since 1970 UTC."""
_LINE: Final = r"^[^\x00-\x1f\x7f-\xa0]+$"
_LINE_OR_NOTHING: Final = r"^[^\x00-\x1f\x7f-\xa0]*$"
_HEADER: Final = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
_MOST_DIGITS: Final = 20
_BEYOND: Final = 10**_MOST_DIGITS
"""Replaces any integer of more digits: it exceeds every bound, and parsing it takes no time however long it is."""
_ENCODED: Final = 12
"""The most characters that one character of a reason takes in percent-encoding; the store cuts a longer reason."""
_ID: Final = "[1-9][0-9]{0,18}"
_SURELY_AN_ID: Final = "[1-9][0-9]{0,17}"
"""The description promises this one: of the numbers with one digit more, not all fit 64 bits."""
_ENTRY: Final = re.compile(f"(?:{LOG_PREFIX}|{ERROR_PREFIX})?(0|[1-9][0-9]{{0,18}})")
_MILLISECONDS: Final = re.compile("[0-9]{1,15}")
_INSTANT: Final = (
    r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$"
)
"""The description promises that texts of this form are instants."""


def _integer(value: Any) -> Any:
    """Accept plain digits only: `1_000`, `+5` and `5.0` are not integers here."""
    if isinstance(value, str):
        if not (value.isascii() and value.removeprefix("-").isdigit()):
            raise InvalidRequest("number", "must be an integer")
        if len(value) > _MOST_DIGITS:
            return -_BEYOND if value.startswith("-") else _BEYOND
        return int(value)
    return value


def _boolean(value: Any) -> Any:
    """Accept `true` and `false` only."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise InvalidRequest("boolean", "must be true or false")
    return value


def _whole(value: Any) -> Any:
    """In JSON, 3.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _within_reach(value: Any) -> Any:
    if isinstance(value, int) and value > MAX_OFFSET:
        raise InvalidRequest("offset", f"must be at most {MAX_OFFSET}; continue with `after`, or narrow the list")
    return value


def _prefixed_id(prefix: str) -> Callable[[Any], Any]:
    """Accept an id with or without the prefix that the pipeline dialect gives it."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            found = re.fullmatch(f"(?:{prefix})?({_ID})", value)
            value = int(found[1]) if found else None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_ID:
            raise InvalidRequest("id", f"must be such as {prefix}7, or the number alone")
        return value

    return read


def _prefixed_id_schema(prefix: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^({prefix})?{_SURELY_AN_ID}$"}


def _entry_number(value: Any) -> Any:
    if isinstance(value, str):
        found = _ENTRY.fullmatch(value)
        if not found or int(found[1]) > MAX_ID:
            raise InvalidRequest("entry", f"must be such as {LOG_PREFIX}7, or the number alone")
        return int(found[1])
    return value


def _entry_schema(number: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({LOG_PREFIX}|{ERROR_PREFIX})?{number}$"})


def _instant(value: Any) -> Any:
    if isinstance(value, str):
        if not _MILLISECONDS.fullmatch(value):
            return parse_instant("time", value)
        if int(value) <= LATEST_MS:
            return validation.instant(int(value) * 1000)
    raise InvalidRequest("time", "must be milliseconds since 1970 UTC, or text such as 2026-01-31T12:00:00Z")


def _words_pattern(words: Iterable[str]) -> dict[str, Any]:
    """The schema of words with commas. It only describes them: the function that knows the words checks them."""
    word = "|".join(words)
    return {"pattern": f"^({word})(,({word}))*$"}


# Parts of the types below.

INTEGER: Final = BeforeValidator(_integer)  # stands last, so that the bounds before it are the integer's, and described
WHOLE: Final = BeforeValidator(_whole)
Absent = SkipJsonSchema[None]
# The bounds belong to the type itself and not to the union with `Absent`, so that the description has them.
_Id = Annotated[int, Field(ge=1, le=MAX_ID), INTEGER]
_Cursor = Annotated[int, Field(ge=0, le=MAX_ID), INTEGER]
_Word = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_LINE)]
_WordOrNothing = Annotated[str, Field(max_length=MAX_TEXT, pattern=_LINE_OR_NOTHING)]
_Seconds = Annotated[float, Field(ge=0, le=LONGEST_STOP, allow_inf_nan=False)]
_Boolean = Annotated[bool, BeforeValidator(_boolean)]

# Both dialects.

JobId = Annotated[_Id, Path(description="The id of a job.")]
EventId = Annotated[_Id, Path(description="The id of a history entry.")]
NodeId = Annotated[_Word, Path(description="The name of a worker.")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="The most entries to return."), INTEGER]
Cursor = Annotated[_Id | Absent, Query(description="Continue after this id: `next_cursor` of the previous page.")]
After = Annotated[_Cursor | Absent, Query(description="Start after this event; by default, from now on.")]
OnlyJob = Annotated[_Id | Absent, Query(description="Only this job.")]
Kind = Annotated[_Word | Absent, Query(description="Only jobs of this kind.")]
Node = Annotated[
    _WordOrNothing | Absent,
    Query(description="Only jobs that this worker holds or that are pinned to it; empty: jobs pinned to no worker."),
]
Pipeline = Annotated[_Word | Absent, Query(description="Only runs of this pipeline.")]
Label = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "pattern": LABELS_PATTERN})] | Absent,
    Query(description="`NAME=VALUE`, several with commas; a backslash takes the next character as it is."),
]
Age = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "pattern": AGE_PATTERN})] | Absent,
    Query(description="Only jobs that ended at least this long ago, such as `90m` or `7d`."),
]
PruneWord = Annotated[
    str, Query(json_schema_extra={"enum": list(PRUNE_WORDS)}, description="Which of the jobs that have ended.")
]
StopSeconds = Annotated[_Seconds | Absent, Query(description="How long the worker may take, in seconds.")]
Flag = Annotated[bool, Query(), BeforeValidator(_boolean)]
RECORD: Final = "record"
View = Annotated[
    Literal["document", "record"],
    Query(description="`record`: the whole value as the store keeps it, for the Python client."),
]
Actor = Annotated[
    # The bound is that of the text; its code may be longer.
    Annotated[
        str,
        Field(pattern=_HEADER),
        WithJsonSchema({"type": "string", "maxLength": MAX_TEXT, "pattern": _HEADER}),
    ]
    | Absent,
    Header(alias="X-Jobstate-Actor", description="The actor that the history records; percent-encoded UTF-8."),
]
_Reason = Annotated[str, Field(max_length=MAX_REASON * _ENCODED, pattern=_HEADER)]
_REASON: Final = Header(
    alias="X-Jobstate-Reason", description="The reason that the history records; percent-encoded UTF-8."
)
Reason = Annotated[_Reason | Absent, _REASON]
RequiredReason = Annotated[_Reason, _REASON]


def states_parameter(dialect: Dialect, description: str) -> Any:
    """States, separated by commas, in the words of the dialect; `selected` checks them."""
    return Query(json_schema_extra=_words_pattern(filter_words(dialect)), description=description)


# The pipeline dialect.

_JobName = Annotated[int, BeforeValidator(_prefixed_id(JOB_PREFIX)), WithJsonSchema(_prefixed_id_schema(JOB_PREFIX))]
_CheckpointName = Annotated[
    int, BeforeValidator(_prefixed_id(pipeline.CHECKPOINT)), WithJsonSchema(_prefixed_id_schema(pipeline.CHECKPOINT))
]
CheckpointInBody = Annotated[
    int,
    BeforeValidator(_prefixed_id(pipeline.CHECKPOINT)),
    WithJsonSchema(
        {
            "anyOf": [
                _prefixed_id_schema(pipeline.CHECKPOINT),
                {"type": "integer", "minimum": 1, "maximum": 10**18},
            ]
        }
    ),
    WHOLE,
]
"""A body may hold the number as a number."""
JobName = Annotated[_JobName, Path(description="The id of a job, `job_7` or `7`.")]
CheckpointName = Annotated[_CheckpointName, Path(description="The id of a checkpoint, `chk_7` or `7`.")]
AfterJob = Annotated[
    _JobName | Absent,
    Query(description="Only jobs submitted before this one; without `sort`, the next ones of the list."),
]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="How many entries to skip."), INTEGER]
JobOffset = Annotated[
    int,
    Query(ge=0, le=MAX_OFFSET, description="How many jobs to skip."),
    BeforeValidator(_within_reach),
    INTEGER,
]
Running = Annotated[
    _Boolean | Absent,
    Query(description="`true`: jobs that a worker holds and nobody asked to stop; `false`: all others."),
]
Completed = Annotated[_Boolean | Absent, Query(description="`true`: completed checkpoints; `false`: all others.")]
Sort = Annotated[
    Annotated[str, Field(), WithJsonSchema({"type": "string", "pattern": pipeline.SORT_PATTERN})] | Absent,
    Query(
        description="`field`, `-field` or `field:desc`. Equal jobs are in the order of their ids, in the same "
        "direction; jobs without a value come last in either direction. By default, newest first."
    ),
]

# Metrics, logs, errors and output.

_Entry = Annotated[int, BeforeValidator(_entry_number)]
_Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LATEST_MS}, {"type": "string", "pattern": _INSTANT}]}
    ),
]
OperatorName = Annotated[_Word, Path(description="The id of an operator.")]
OnlyOperator = Annotated[_Word | Absent, Query(description="Only this operator.")]
OnlyTask = Annotated[
    Annotated[int, Field(ge=0, le=MAX_ID), INTEGER] | Absent, Query(description="Only the task with this index.")
]
LogLevels = Annotated[
    str | Absent, Query(json_schema_extra=_words_pattern(LogLevel), description="Only these levels, with commas.")
]
ErrorLevels = Annotated[
    str | Absent,
    Query(json_schema_extra=_words_pattern(ERROR_LEVELS.values()), description="Only these levels, with commas."),
]
Since = Annotated[_Instant | Absent, Query(description="Only from this time on: milliseconds since 1970, or RFC 3339.")]
Until = Annotated[_Instant | Absent, Query(description="Only before this time: milliseconds since 1970, or RFC 3339.")]
BeforeEntry = Annotated[
    Annotated[_Entry, Field(ge=1), _entry_schema("[1-9][0-9]{0,17}")] | Absent,
    Query(description="Only entries older than this one: the last one of the previous page."),
]
AfterEntry = Annotated[
    Annotated[_Entry, _entry_schema("(0|[1-9][0-9]{0,17})")] | Absent,
    Query(description="Only entries newer than this one, oldest first."),
]
OutputFormat = Annotated[Literal["json", "csv"], Query(alias="format", description="`csv`: for spreadsheets.")]


def levels_of(words: str | None) -> list[LevelWord] | None:
    """The levels that a request names; the call that takes them checks the words."""
    return None if words is None else [cast("LevelWord", word) for word in words.split(",")]
