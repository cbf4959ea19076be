"""What requests of the pipeline dialect may say, beside what both dialects have."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import BeforeValidator, Field, WithJsonSchema

from jobstate.core.arguments import MAX_OFFSET
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.validation import MAX_ID
from jobstate.http.parameters import Absent, Integer, boolean
from jobstate.http.schemas import WHOLE
from jobstate.wire import pipeline

ROOT: Final = "/api/v1"
_NUMBER: Final = "[1-9][0-9]{0,18}"
_SURELY_AN_ID: Final = "[1-9][0-9]{0,17}"
"""What the description promises; of the numbers with one digit more, not all fit 64 bits."""


def _number_behind(prefix: str) -> Callable[[Any], Any]:
    said = f"must be such as {prefix}7, or the number alone"

    def read(value: Any) -> Any:
        if isinstance(value, str):
            found = re.fullmatch(f"(?:{prefix})?({_NUMBER})", value)
            value = int(found[1]) if found else None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_ID:
            raise InvalidRequest("id", said)
        return value

    return read


def _pattern(prefix: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^({prefix})?{_SURELY_AN_ID}$"}


_Job = Annotated[int, BeforeValidator(_number_behind(pipeline.JOB)), WithJsonSchema(_pattern(pipeline.JOB))]
_Checkpoint = Annotated[
    int, BeforeValidator(_number_behind(pipeline.CHECKPOINT)), WithJsonSchema(_pattern(pipeline.CHECKPOINT))
]
CheckpointNamed = Annotated[
    int,
    BeforeValidator(_number_behind(pipeline.CHECKPOINT)),
    WithJsonSchema({"anyOf": [_pattern(pipeline.CHECKPOINT), {"type": "integer", "minimum": 1, "maximum": 10**18}]}),
    WHOLE,
]
"""In a body, where a number may be one."""


def _within_reach(value: Any) -> Any:
    if isinstance(value, int) and value > MAX_OFFSET:
        raise InvalidRequest("offset", f"must be at most {MAX_OFFSET}; go on with `after`, or narrow the list")
    return value


JobName = Annotated[_Job, Path(description="The id of a job, `job_7` or `7`.")]
CheckpointName = Annotated[_Checkpoint, Path(description="The id of a checkpoint, `chk_7` or `7`.")]
AfterJob = Annotated[
    _Job | Absent,
    Query(description="Only jobs submitted before this one; without `sort`, those behind it."),
]
Offset = Annotated[int, Query(ge=0, le=MAX_OFFSET, description="How many to leave out."), Integer]
JobOffset = Annotated[
    int,
    Query(ge=0, le=MAX_OFFSET, description="How many jobs to leave out."),
    BeforeValidator(_within_reach),
    Integer,
]
_Flag = Annotated[bool, BeforeValidator(boolean)]
Running = Annotated[
    _Flag | Absent, Query(description="`true`: jobs that a worker has and is to go on with; `false`: all others.")
]
Completed = Annotated[
    _Flag | Absent, Query(description="`true`: checkpoints that were completed; `false`: all others.")
]
Sort = Annotated[
    Annotated[str, Field(), WithJsonSchema({"type": "string", "pattern": pipeline.SORT_PATTERN})] | Absent,
    Query(
        description="`field`, `-field` or `field:desc`. Ties go by id in the same direction; jobs without such a value "
        "come last in either. Left out: newest first."
    ),
]
