"""What requests for metrics, logs, errors and output may say."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query
from pydantic import BeforeValidator, Field, WithJsonSchema

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.logs import LogLevel
from jobstate.domain.validation import MAX_ID, MAX_TEXT
from jobstate.http.parameters import Absent, Integer
from jobstate.wire.instants import instant_in
from jobstate.wire.logs import ERROR, ERROR_LEVELS, LOG

LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""
_PRINTABLE: Final = r"^[^\x00-\x1f\x7f-\xa0]+$"
_INSTANT: Final = (
    r"^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?Z$"
)
"""What the description promises of the texts that are instants."""
_NUMBER: Final = re.compile(f"(?:{LOG}|{ERROR})?(0|[1-9][0-9]{{0,18}})")
_DIGITS: Final = re.compile("[0-9]{1,15}")


def _number_in(value: Any) -> Any:
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        if not found or int(found[1]) > MAX_ID:
            raise InvalidRequest("entry", f"must be such as {LOG}7, or the number alone")
        return int(found[1])
    return value


def _instant_in(value: Any) -> Any:
    if isinstance(value, str):
        if not _DIGITS.fullmatch(value):
            return instant_in("time", value)
        if int(value) <= LATEST_MS:
            return validation.instant(int(value) * 1000)
    raise InvalidRequest("time", "must be milliseconds since 1970 UTC, or text such as 2026-01-31T12:00:00Z")


def _levels(words: tuple[str, ...]) -> Any:
    """Words with commas. They are checked where they are understood; this only describes them."""
    word = "|".join(words)
    return Query(
        json_schema_extra={"pattern": f"^({word})(,({word}))*$"}, description="Only these levels, with commas."
    )


_Word = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_PRINTABLE)]
_Entry = Annotated[int, BeforeValidator(_number_in)]
_Instant = Annotated[
    datetime,
    BeforeValidator(_instant_in),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LATEST_MS}, {"type": "string", "pattern": _INSTANT}]}
    ),
]

OperatorName = Annotated[_Word, Path(description="The id of an operator.")]
OnlyOperator = Annotated[_Word | Absent, Query(description="Only this operator.")]
OnlyTask = Annotated[
    Annotated[int, Field(ge=0, le=MAX_ID), Integer] | Absent, Query(description="Only the task of this index.")
]
LogLevels = Annotated[str | Absent, _levels(tuple(LogLevel))]
ErrorLevels = Annotated[str | Absent, _levels(tuple(ERROR_LEVELS.values()))]
Since = Annotated[_Instant | Absent, Query(description="Only from this time on: milliseconds since 1970, or RFC 3339.")]
Until = Annotated[_Instant | Absent, Query(description="Only before this time: milliseconds since 1970, or RFC 3339.")]
BeforeEntry = Annotated[
    Annotated[
        _Entry, Field(ge=1), WithJsonSchema({"type": "string", "pattern": f"^({LOG}|{ERROR})?[1-9][0-9]{{0,17}}$"})
    ]
    | Absent,
    Query(description="Only older ones than this entry: the last one of the page before."),
]
AfterEntry = Annotated[
    Annotated[_Entry, WithJsonSchema({"type": "string", "pattern": f"^({LOG}|{ERROR})?(0|[1-9][0-9]{{0,17}})$"})]
    | Absent,
    Query(description="Only newer ones than this entry, and oldest first: what has come since."),
]
OutputFormat = Annotated[Literal["json", "csv"], Query(alias="format", description="`csv`: for spreadsheets.")]


def levels_of(words: str | None) -> list[str] | None:
    """The levels that a request names."""
    return None if words is None else words.split(",")
