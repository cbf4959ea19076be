"""Times, sizes and rates for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from jobstate.system import SystemClock

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_DECIMAL_BELOW: Final = 10
_SECOND: Final = 1000.0


def now() -> datetime:
    """The present, for relative times."""
    return datetime.fromtimestamp(SystemClock().now() / 1_000_000, UTC)


def duration(seconds: float, units: int = 2) -> str:
    """A duration in its largest units: `2h 5m`."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(parts) < units:
            parts.append(f"{left // size}{unit}")
            left %= size
    return " ".join(parts) or "0s"


def ago(at: datetime | None, present: datetime, units: int = 2) -> str:
    """A relative time: `5m ago` or `in 5m`; empty for no instant."""
    if at is None:
        return ""
    seconds = (present - at).total_seconds()
    return f"{duration(seconds, units)} ago" if seconds >= 0 else f"in {duration(-seconds, units)}"


def timestamp(instant: datetime | None, present: datetime) -> str:
    """An instant in UTC with its relative time; empty for no instant."""
    return "" if instant is None else f"{instant:%Y-%m-%d %H:%M:%S} UTC ({ago(instant, present)})"


def size(count: int) -> str:
    """A number of bytes in its unit: `1.2 MB`."""
    from rich.filesize import decimal

    return decimal(count)


def rate(per_second: float) -> str:
    """Records per second, with one decimal below 10."""
    return f"{per_second:,.1f}" if 0 < per_second < _DECIMAL_BELOW else f"{per_second:,.0f}"


def percent(part_of_100: float) -> str:
    """A percentage."""
    return f"{part_of_100:.0f} %"


def latency(milliseconds: float) -> str:
    """A latency in milliseconds, or in seconds from one second on."""
    return f"{milliseconds:.3g} ms" if milliseconds < _SECOND else f"{milliseconds / _SECOND:,.1f} s"
