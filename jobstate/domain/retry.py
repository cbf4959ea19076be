"""When a failed run is tried again: capped exponential backoff with jitter, and the number of runs that may fail."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.validation import duration_us, seconds_of

DEFAULT_MAX_ATTEMPTS: Final = 3
MAX_ATTEMPTS_LIMIT: Final = 1_000_000
MAX_FACTOR: Final = 1000.0
MAX_CAP: Final = timedelta(days=365).total_seconds()


@dataclass(frozen=True, slots=True, init=False)
class RetryPolicy:
    """How long a job waits before it is claimed again after a charged run.

    The n-th charged run in a row is followed by `initial * factor ** (n - 1)` seconds, at most `cap`, of which a
    random part of up to `jitter` is taken off, so that jobs that failed together do not come back together.

    Args:
        initial: The first delay, seconds or timedelta, stored to the microsecond; >= 0, at most `cap`.
        factor: Growth of the delay from one failure to the next; 1..1000.
        cap: The longest delay, seconds or timedelta; at most 365 days.
        jitter: The largest share of a delay that chance may take off; 0..1.
        healthy_after: A run that lasted at least this long before it failed begins a new series: the count of
            charged runs restarts with it. A run whose lease was lost never does. None: the count never restarts, so
            `max_attempts` bounds the whole life.
        fatal: Exception types, or their qualified names, after which a job is not tried again.
    """

    initial: float
    factor: float
    cap: float
    jitter: float
    healthy_after: float | None
    fatal: tuple[str, ...]

    def __init__(
        self,
        initial: float | timedelta = 1.0,
        factor: float = 2.0,
        cap: float | timedelta = 300.0,
        jitter: float = 0.25,
        healthy_after: float | timedelta | None = None,
        fatal: Sequence[type[BaseException] | str] = (),
    ) -> None:
        set_field = object.__setattr__
        set_field(self, "initial", duration_us("retry.initial", initial) / 1_000_000)
        set_field(self, "cap", duration_us("retry.cap", cap) / 1_000_000)
        set_field(self, "factor", _number("retry.factor", factor, 1.0, MAX_FACTOR))
        set_field(self, "jitter", _number("retry.jitter", jitter, 0.0, 1.0))
        healthy = None if healthy_after is None else seconds_of("retry.healthy_after", healthy_after)
        set_field(self, "healthy_after", healthy)
        if isinstance(fatal, str) or not isinstance(fatal, Iterable):
            raise InvalidRequest("retry.fatal", f"must be a tuple of exception types or names, such as ({fatal!r},)")
        set_field(self, "fatal", tuple(_fatal_name(entry) for entry in fatal))
        if self.cap > MAX_CAP:
            raise InvalidRequest("retry.cap", "must be at most 365 days")
        if self.initial > self.cap:
            raise InvalidRequest("retry.initial", "must not be greater than retry.cap")

    def delay(self, failures: int, chance: float) -> float:
        """Seconds to wait after the `failures`-th charged run in a row; in 0..cap for any count.

        Args:
            failures: Charged runs in a row, >= 1.
            chance: A random number in 0..1, which chooses the jitter.
        """
        steps = failures - 1
        if self.initial == 0:
            return 0.0
        if self.factor > 1 and steps >= math.log(self.cap / self.initial) / math.log(self.factor):
            longest = self.cap
        else:
            longest = min(self.cap, self.initial * self.factor**steps)
        return longest * (1.0 - self.jitter * chance)

    def ran_healthily(self, lasted_us: int) -> bool:
        """Whether a run that lasted so long restarts the count of charged runs."""
        return self.healthy_after is not None and lasted_us >= duration_us("retry.healthy_after", self.healthy_after)

    def is_fatal(self, error: BaseException) -> bool:
        """Whether a handler that raised `error` is not to be tried again."""
        return any(_names(name, kind) for kind in type(error).__mro__ for name in self.fatal)

    def to_json(self) -> dict[str, Any]:
        """The policy as it is stored: every field, `fatal` as a list of names."""
        return {
            "initial": self.initial,
            "factor": self.factor,
            "cap": self.cap,
            "jitter": self.jitter,
            "healthy_after": self.healthy_after,
            "fatal": list(self.fatal),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RetryPolicy:
        """The policy that `to_json` stored."""
        return cls(**{**stored, "fatal": tuple(stored["fatal"])})


def _number(field: str, value: float, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(field, f"must be a number in {low:g}..{high:g}, not {value!r}")
    return float(value)


def _type_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _names(name: str, kind: type) -> bool:
    """Whether a stored name means this type. A script that is run is `__main__` to itself, a module to all others."""
    if name == _type_name(kind) or name == f"__main__.{kind.__qualname__}":
        return True
    return kind.__module__ == "__main__" and name.endswith(f".{kind.__qualname__}")


def _fatal_name(entry: type[BaseException] | str) -> str:
    if isinstance(entry, str) and entry:
        return entry
    if isinstance(entry, type) and issubclass(entry, BaseException):
        return _type_name(entry)
    raise InvalidRequest("retry.fatal", f"must hold exception types or their names, not {entry!r}")


DEFAULT_RETRY: Final = RetryPolicy()
