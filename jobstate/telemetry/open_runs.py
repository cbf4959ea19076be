"""The runs of this process that hold their lease, with a value for each, such as its span or its start."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from jobstate.domain.event import Event
from jobstate.domain.job_row import Lease
from jobstate.domain.lifecycle import LEASE_EFFECT, LeaseEffect

Value = TypeVar("Value")
_ENDING: Final = frozenset(
    trigger.value for trigger, effect in LEASE_EFFECT.items() if effect in (LeaseEffect.ENDS, LeaseEffect.LOSES)
)


def ends_the_lease(event: Event) -> bool:
    """Whether this change of state ends the lease of the run."""
    return event.trigger in _ENDING


class OpenRuns(Generic[Value]):
    """At most one run per job: the one claimed last. Several threads may read, one at a time may change it."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[int, Value]] = {}

    def begin(self, lease: Lease, value: Value) -> None:
        """Add the run with this lease."""
        self._runs[lease.job_id] = lease.token, value

    def of(self, lease: Lease) -> Value | None:
        """The value of the run with exactly this lease."""
        token, value = self._runs.get(lease.job_id, (None, None))
        return value if token == lease.token else None

    def about(self, event: Event) -> Value | None:
        """The value of the run that this history entry is about.

        The token rises when a lease is lost, and again at the next claim. An entry with a larger token is about a run
        in another process, and this process has not noticed yet that it lost its own.
        """
        found = self.of(Lease(event.job_id, event.token))
        return self.of(Lease(event.job_id, event.token - 1)) if found is None else found

    def end(self, job_id: int) -> Value | None:
        """Remove the run of this job, and return its value."""
        _, value = self._runs.pop(job_id, (None, None))
        return value

    def jobs(self) -> tuple[int, ...]:
        """The ids of the jobs with an open run."""
        return tuple(self._runs)
