"""Durations as people write them: `45`, `90s`, `1.5h`, `7d`."""

from __future__ import annotations

import re
from typing import Final

from jobstate.domain.errors import InvalidRequest

PATTERN: Final = r"^[0-9]{1,9}(\.[0-9]{1,9})?[smhdw]?$"
"""What `seconds_in` takes, as a regular expression; white space around it and capitals do not matter."""
AGE_PATTERN: Final = r"^(0{1,9}(\.0{1,9})?|[0-9]{1,9}(\.[0-9]{1,9})?[smhdw])$"
"""What `age_in` takes."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST: Final = 10.0**12
"""Seconds; what is longer is as good as this."""


def seconds_in(field: str, text: str) -> float:
    """The seconds that a text says; a bare number is seconds already."""
    said = text.strip().lower()
    if not re.match(PATTERN, said):
        raise InvalidRequest(field, f"{text!r} is not a duration such as 45, 90s, 15m, 1.5h, 7d or 2w")
    unit = _UNITS.get(said[-1])
    return min(float(said if unit is None else said[:-1]) * (unit or 1), _LONGEST)


def age_in(field: str, text: str) -> float:
    """The seconds that a text says, with its unit: what is older is removed, and 7 seconds are not 7 days."""
    seconds = seconds_in(field, text)
    if not re.match(AGE_PATTERN, text.strip().lower()):
        said = text.strip()
        raise InvalidRequest(field, f"{said!r} has no unit; say {said}s, {said}m, {said}h, {said}d or {said}w")
    return seconds
