"""Durations as people write them: `45`, `90s`, `1.5h`, `7d`."""

from __future__ import annotations

from typing import Final

from jobstate.domain.errors import InvalidRequest

PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?[smhdw]?$"
"""What `seconds_in` takes, as a regular expression; white space around it and capitals do not matter."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST: Final = 1e12


def seconds_in(field: str, text: str) -> float:
    """The seconds that a text says; a bare number is seconds already."""
    said = text.strip().lower()
    unit = _UNITS.get(said[-1:])
    number = said if unit is None else said[:-1]
    try:
        seconds = float(number) * (unit or 1) if number.isascii() and "_" not in number else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < _LONGEST:  # NaN is not in there either
        raise InvalidRequest(field, f"{text!r} is not a duration such as 45, 90s, 15m, 1.5h, 7d or 2w")
    return seconds
