"""The log of a job: entries, the errors among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest

KEEP_LOGS: Final = 10_000
"""How many entries of a job are kept by default, newest first."""
KEEP_ERRORS: Final = 1_000
"""How many warnings and errors of a job are kept beyond that."""
MAX_MESSAGE: Final = 8_192
MAX_DETAILS: Final = 16_384


class LogLevel(StrEnum):
    """How grave an entry is."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


TROUBLE: Final = (LogLevel.ERROR, LogLevel.WARN)
"""What counts as an error or a warning of the job."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry. `number` grows with every entry of the job, by one."""

    number: int
    at_us: int
    level: LogLevel
    operator_id: str | None
    task_index: int | None
    message: str
    details_json: str | None
    record: str | None
    """The record that the entry is about, as text."""

    @property
    def id(self) -> str:
        """The name of the entry among those of its job, `log_…`; among its errors, `err_…` and the same number."""
        return f"log_{self.number}"

    @property
    def time(self) -> datetime:
        """When it was written."""
        return validation.instant(self.at_us)

    @property
    def details(self) -> Any:
        """Details beside the message: an object, a text, or None."""
        return None if self.details_json is None else json.loads(self.details_json)


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries are wanted; None does not filter. `since_us` <= t < `until_us`."""

    levels: tuple[LogLevel, ...] = tuple(LogLevel)
    operator_id: str | None = None
    task_index: int | None = None
    since_us: int | None = None
    until_us: int | None = None


def level_of(value: str) -> LogLevel:
    """How grave an entry is, by its word."""
    try:
        return LogLevel(value)
    except ValueError:
        raise InvalidRequest("level", f"must be one of {', '.join(LogLevel)}, not {value!r}") from None


def shortened(text: object, longest: int) -> str:
    """Any value as text that can be stored, cut if too long: logging never fails a job."""
    return validation.storable(text if isinstance(text, str) else repr(text), longest)


def details_text(details: object) -> str | None:
    """Details in their stored form, JSON. Values that JSON cannot hold become their `repr`; long text is cut."""
    if details is None:
        return None
    if isinstance(details, Mapping):
        with suppress(InvalidRequest):
            return validation.json_object("details", details, MAX_DETAILS)
        with suppress(InvalidRequest, TypeError, ValueError, RecursionError):
            plain = json.loads(json.dumps(dict(details), default=str, skipkeys=True))
            return validation.json_object("details", plain, MAX_DETAILS)
    return json.dumps(shortened(details, MAX_DETAILS), ensure_ascii=False)
