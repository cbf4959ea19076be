"""What others ask of a run: to stop, to end with its worker, or to work with another number of tasks."""

from __future__ import annotations

from typing import Final

from jobstate.domain import validation
from jobstate.domain.leases import Renewal
from jobstate.domain.lifecycle import STOP_PENDING
from jobstate.domain.stop import Stop, StopMode

SHUTDOWN: Final = "shutdown"
"""The mode of the `JobStopping` that a shutdown of the worker raises."""


class PendingRequests:
    """The requests that heartbeats brought, and what the handler has read of them.

    Attributes:
        stop: The stop that was requested.
        shutdown: The worker is shutting down.
        seen: The handler has read the stop or the shutdown. It is about the handler, not the lease: leaving the block
            then means stopped or handed back, not completed.
        rescale_to: The number of tasks that was requested.
        rescale_read: The request that the handler read last, which `rescaled` answers.
        parallelism: The number of tasks since the last `rescaled`; None: as the job was claimed.
    """

    # Defaults of the class: most runs end without a request, and claims make many runs.
    stop: Stop | None = None
    shutdown = False
    seen = False
    rescale_to: int | None = None
    rescale_read: int | None = None
    parallelism: int | None = None

    @property
    def pending(self) -> bool:
        """Whether the handler is asked to end."""
        return self.stop is not None or self.shutdown

    def read_stop(self) -> Stop | None:
        """The stop, which the handler thereby has seen."""
        if self.stop is not None:
            self.seen = True
        return self.stop

    def update(self, renewal: Renewal) -> None:
        """Take over the requests that a renewal brought."""
        self.rescale_to = renewal.rescale_to
        if renewal.state in STOP_PENDING and renewal.stop_mode is not None:
            deadline = None if renewal.stop_deadline_us is None else validation.instant(renewal.stop_deadline_us)
            self.stop = Stop(StopMode(renewal.stop_mode), deadline, renewal.stop_reason, None)
