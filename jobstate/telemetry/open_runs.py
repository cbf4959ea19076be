"""The runs of this process that have their lease, and what is kept of each until it ends."""

from __future__ import annotations

from typing import Final, Generic, TypeVar

from jobstate.domain.event import Event
from jobstate.domain.job_row import Lease
from jobstate.domain.lifecycle import LEASE_EFFECT, LeaseEffect

Kept = TypeVar("Kept")
_ENDING: Final = frozenset(
    trigger.value for trigger, effect in LEASE_EFFECT.items() if effect in (LeaseEffect.ENDS, LeaseEffect.LOSES)
)


def ends_the_lease(event: Event) -> bool:
    """Whether the run is over with this change of state."""
    return event.trigger in _ENDING


class OpenRuns(Generic[Kept]):
    """At most one of each job: the one that was claimed last. Read from several threads, changed by one at a time."""

    def __init__(self) -> None:
        self._runs: dict[int, tuple[int, Kept]] = {}

    def begin(self, lease: Lease, kept: Kept) -> None:
        """A run has this lease."""
        self._runs[lease.job_id] = lease.token, kept

    def of(self, lease: Lease) -> Kept | None:
        """What is kept of the run with exactly this lease."""
        token, kept = self._runs.get(lease.job_id, (None, None))
        return kept if token == lease.token else None

    def about(self, event: Event) -> Kept | None:
        """What is kept of the run that this entry of the history is about.

        The token rises when a lease is lost, and again when the next one is taken: an entry with a larger one is about
        a run elsewhere, and this process has not noticed yet that its own is over.
        """
        found = self.of(Lease(event.job_id, event.token))
        return self.of(Lease(event.job_id, event.token - 1)) if found is None else found

    def end(self, job_id: int) -> Kept | None:
        """The run of this job is over; what was kept of it."""
        _, kept = self._runs.pop(job_id, (None, None))
        return kept

    def jobs(self) -> tuple[int, ...]:
        """The jobs whose run is open."""
        return tuple(self._runs)
