"""Instants as text: RFC 3339, written in UTC with microseconds and `Z`, read with any offset; or as milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest


def written(at: datetime | None) -> str | None:
    """The instant as text."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def milliseconds(at: datetime | None) -> int | None:
    """The instant as milliseconds since 1970 UTC; what is left of one is dropped."""
    return None if at is None else validation.instant_us("instant", at) // 1000


def instant_in(field: str, text: str) -> datetime:
    """The instant that a text names."""
    try:
        found = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidRequest(field, f"{text!r} is not a time with a zone, such as 2026-01-31T12:00:00Z")
    return found
