"""A manual clock."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.wire.formats import parse_duration

_START = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z


class ManualClock:
    """Time moves only with `advance` and `sleep`, which returns at once; the clock refuses to go back.

    Pass it as `clock=` to `jobstate.open`: leases, deadlines and retries then fall due when the test advances it.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = _START if start is None else validation.instant_us("start", start)
        self._monotonic = 0.0
        self._lock = threading.Lock()

    def now(self) -> int:
        """Microseconds since 1970 UTC."""
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made, without jumps."""
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Advance instead of sleeping."""
        self.advance(seconds)

    def advance(self, duration: float | timedelta | str) -> None:
        """Advance by a duration >= 0: seconds, a timedelta, or a text such as `31s`, `15m`, `1.5h` or `7d`."""
        given = parse_duration("duration", duration) if isinstance(duration, str) else duration
        passed = validation.duration_us("duration", given)
        with self._lock:
            self._now += passed
            self._monotonic += passed / 1_000_000

    def jump(self, duration: float | timedelta) -> None:
        """Set the wall clock forward, as a resumed machine or a time server does; monotonic time stays."""
        with self._lock:
            self._now += validation.duration_us("duration", duration)

    def set(self, instant: datetime) -> None:
        """Advance to this instant, which must not be in the past."""
        ahead = validation.instant_us("instant", instant) - self.now()
        if ahead < 0:
            raise InvalidRequest("instant", "is in the past of this clock, which never goes back")
        self.advance(ahead / 1_000_000)
