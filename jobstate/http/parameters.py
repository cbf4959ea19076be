"""What requests may say, as types: each checks one parameter and describes it in the API's description."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote

from fastapi import Depends, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from jobstate.core.arguments import MAX_PAGE
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.operator_actions import PRUNE_WORDS
from jobstate.domain.validation import MAX_ID, MAX_REASON, MAX_TEXT
from jobstate.http.keeper import Keeper
from jobstate.http.writing import Writers
from jobstate.store.store import JobStore
from jobstate.wire import durations, labels
from jobstate.wire.vocabulary import Dialect, filter_words

LONGEST_STOP: Final = 10**9
"""Seconds; some thirty years."""
_TEXT_PATTERN: Final = r"^[^\x00-\x1f\x7f-\xa0]+$"
_TEXT_OR_NOTHING: Final = r"^[^\x00-\x1f\x7f-\xa0]*$"
_HEADER_PATTERN: Final = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"
_MOST_DIGITS: Final = 20
_ENCODED: Final = 12
"""The most characters that one of a reason takes where it is percent-encoded; the store cuts what is longer."""
_BEYOND: Final = 10**_MOST_DIGITS
"""Stands for any number of more digits: beyond every bound, and read at once however long it is."""


def _digits(value: Any) -> Any:
    """Only plain digits are a number here; `1_000`, `+5` and `5.0` are not."""
    if isinstance(value, str):
        if not (value.isascii() and value.removeprefix("-").isdigit()):
            raise InvalidRequest("number", "must be an integer")
        if len(value) > _MOST_DIGITS:
            return -_BEYOND if value.startswith("-") else _BEYOND
        return int(value)
    return value


def boolean(value: Any) -> Any:
    """Only `true` and `false` are a truth value here."""
    if isinstance(value, str) and value not in ("true", "false"):
        raise InvalidRequest("boolean", "must be true or false")
    return value


Integer = BeforeValidator(_digits)  # stands last, so that the bounds before it are the integer's, and described

# The bounds stand at the type itself and not at what may also be left out, so that the description has them.
_Id = Annotated[int, Field(ge=1, le=MAX_ID), Integer]
_Cursor = Annotated[int, Field(ge=0, le=MAX_ID), Integer]
_Word = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_TEXT_PATTERN)]
_Seconds = Annotated[float, Field(ge=0, le=LONGEST_STOP, allow_inf_nan=False)]
Absent = SkipJsonSchema[None]

JobId = Annotated[_Id, Path(description="The id of a job.")]
EventId = Annotated[_Id, Path(description="The id of a history entry.")]
NodeId = Annotated[_Word, Path(description="The name of a worker.")]

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="Most to return."), Integer]
Cursor = Annotated[_Id | Absent, Query(description="Go on behind this id: `next_cursor` of the page before.")]
After = Annotated[_Cursor | Absent, Query(description="Begin behind this event; left out: from now on.")]
OnlyJob = Annotated[_Id | Absent, Query(description="Only this job.")]
Kind = Annotated[_Word | Absent, Query(description="Only jobs of this kind.")]
Node = Annotated[
    Annotated[str, Field(max_length=MAX_TEXT, pattern=_TEXT_OR_NOTHING)] | Absent,
    Query(description="Only jobs that this worker holds or that are pinned to it; empty: those pinned to nobody."),
]
Pipeline = Annotated[_Word | Absent, Query(description="Only runs of this pipeline.")]
Label = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "pattern": labels.PATTERN})] | Absent,
    Query(description="`NAME=VALUE`, several with commas; a backslash takes the next character as it is."),
]
Age = Annotated[
    Annotated[str, WithJsonSchema({"type": "string", "pattern": durations.AGE_PATTERN})] | Absent,
    Query(description="So long ago, such as `90m` or `7d`."),
]
PruneWord = Annotated[
    str, Query(json_schema_extra={"enum": list(PRUNE_WORDS)}, description="Which of the jobs that have ended.")
]
StopSeconds = Annotated[_Seconds | Absent, Query(description="How long the worker may take, in seconds.")]
Flag = Annotated[bool, Query(), BeforeValidator(boolean)]
RECORD: Final = "record"
View = Annotated[
    Literal["document", "record"],
    Query(description="`record`: the value whole, as it is stored, for the Python client."),
]

Actor = Annotated[
    # The bound is that of the text; its code may be longer.
    Annotated[
        str,
        Field(pattern=_HEADER_PATTERN),
        WithJsonSchema({"type": "string", "maxLength": MAX_TEXT, "pattern": _HEADER_PATTERN}),
    ]
    | Absent,
    Header(alias="X-Jobstate-Actor", description="Who asks, for the history; percent-encoded UTF-8."),
]
_Reason = Annotated[str, Field(max_length=MAX_REASON * _ENCODED, pattern=_HEADER_PATTERN)]
_REASON: Final = Header(alias="X-Jobstate-Reason", description="Why, for the history; percent-encoded UTF-8.")
Reason = Annotated[_Reason | Absent, _REASON]
RequiredReason = Annotated[_Reason, _REASON]


def states_parameter(dialect: Dialect, described: str) -> Any:
    """Words for states, with commas. They are checked where they are understood; this only describes them."""
    word = "|".join(filter_words(dialect))
    return Query(json_schema_extra={"pattern": f"^({word})(,({word}))*$"}, description=described)


async def refuse_repeated(request: Request) -> None:
    """A query key that is given twice says two things."""
    repeated = [
        name for name, times in Counter(name for name, _ in request.query_params.multi_items()).items() if times > 1
    ]
    if repeated:
        raise InvalidRequest(repeated[0], "is given more than once; name several values with commas")


def keeper_of(request: Request) -> Keeper:
    """The keeper of the store that this application serves."""
    keeper: Keeper = request.app.state.keeper
    return keeper


def writers_of(request: Request) -> Writers:
    """Who lets writers in."""
    writers: Writers = request.app.state.writers
    return writers


async def acting_store(request: Request, actor: Actor = None, reason: Reason = None) -> AsyncIterator[JobStore]:
    """The store, with whoever asks as the one who acts; it is still there when all is done, or nothing is answered."""
    asker = f"http:{request.client.host if request.client else 'unknown'}"
    keeper, writers = keeper_of(request), writers_of(request)
    async with writers.turn(keeper.path):
        store = await run_in_threadpool(keeper.store)
        yield store.acting(asker if actor is None else _decoded(actor), None if reason is None else unquote(reason))
        keeper.confirm(store)


def _decoded(text: str) -> str:
    """A percent-encoded name, or the text as it came where that is none."""
    decoded = unquote(text)
    return decoded if decoded.isprintable() and decoded else text


def store_of(request: Request) -> JobStore:
    """The store, for those that only look."""
    return keeper_of(request).store()


Store = Annotated[JobStore, Depends(store_of)]
ActingStore = Annotated[JobStore, Depends(acting_store, scope="function")]
