r"""Values as people and queries write them: durations, instants, and labels.

A duration is `45`, `90s`, `1.5h` or `7d`. An instant is RFC 3339, written in UTC with microseconds and `Z` and
read with any offset, or milliseconds. Labels are `NAME=VALUE,NAME=VALUE`; a backslash takes the next character as
it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest

DURATION_PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?[smhdw]?$"
"""What `parse_duration` accepts, as a regular expression, after it removes white space and lowers capitals."""
AGE_PATTERN: Final = r"^(0{1,9}(\.0{1,9})?|[0-9]{1,9}(\.[0-9]{1,9})?[smhdw])$"
"""What `parse_age` accepts, likewise."""
LABELS_PATTERN: Final = r"^(?:[^=,\\]|\\.)+=(?:[^,\\]|\\.)*(?:,(?:[^=,\\]|\\.)+=(?:[^,\\]|\\.)*)*$"
"""What `parse_labels` accepts, as a regular expression."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST: Final = 10.0**12
"""Seconds; a longer duration counts as this one."""
_MARKS: Final = re.compile(r"[\\,=]")


def parse_duration(field: str, text: str) -> float:
    """The seconds of a duration; a number without a unit is seconds."""
    plain = text.strip().lower()
    if not re.match(DURATION_PATTERN, plain):
        raise InvalidRequest(field, f"{text!r} is not a duration such as 45, 90s, 15m, 1.5h, 7d or 2w")
    unit = _UNITS.get(plain[-1])
    return min(float(plain if unit is None else plain[:-1]) * (unit or 1), _LONGEST)


def parse_age(field: str, text: str) -> float:
    """The seconds of a duration that must have a unit: prune removes what is older, and 7 seconds are not 7 days."""
    seconds = parse_duration(field, text)
    plain = text.strip()
    if not re.match(AGE_PATTERN, plain.lower()):
        raise InvalidRequest(field, f"{plain!r} has no unit; say {plain}s, {plain}m, {plain}h, {plain}d or {plain}w")
    return seconds


def format_instant(at: datetime | None) -> str | None:
    """The instant as text; None for None."""
    return None if at is None else at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_instant(field: str, text: str) -> datetime:
    """The instant of a text, which must have a zone."""
    try:
        found = datetime.fromisoformat(text.strip().upper())
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidRequest(field, f"{text!r} is not a time with a zone, such as 2026-01-31T12:00:00Z")
    return found


def milliseconds(at: datetime | None) -> int | None:
    """The instant as whole milliseconds since 1970 UTC, rounded down; None for None."""
    return None if at is None else validation.instant_us("instant", at) // 1000


def format_labels(labels: Mapping[str, str]) -> str:
    """The labels as one text."""
    return ",".join(f"{_escaped(name)}={_escaped(value)}" for name, value in labels.items())


def parse_labels(field: str, text: str) -> dict[str, str]:
    """The labels of a text."""
    labels: dict[str, str] = {}
    name, part = "", ""
    for character, plain in _characters(text):
        if plain and character == "=" and not name:
            name, part = part, ""
        elif plain and character == ",":
            _add(labels, field, name, part, text)
            name, part = "", ""
        else:
            part += character
    _add(labels, field, name, part, text)
    return labels


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", text)


def _add(labels: dict[str, str], field: str, name: str, value: str, text: str) -> None:
    if not name:
        raise InvalidRequest(field, f"must be NAME=VALUE, with commas between several, not {text!r}")
    if name in labels:
        raise InvalidRequest(field, f"names {name!r} more than once")
    labels[name] = value


def _characters(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether it is plain: no backslash precedes it."""
    characters = iter(text)
    for character in characters:
        if character == "\\":
            yield next(characters, character), False
        else:
            yield character, True
