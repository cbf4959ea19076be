"""What a worker and its awaited side share: the arguments, the shutdown, and the start of a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from jobstate.core.context import Context
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.ports.repository import WorkerInfo
from jobstate.system import host, pid
from jobstate.worker.session import WorkerSession

POLL_TIMEOUT: Final = 0.25
"""Seconds after which an idle worker claims again without a write: a delay or a lease may have run out."""
BUSY_PAUSE: Final = 0.1
"""Seconds before another attempt to claim, where the store was busy or the heartbeats failed."""
HAND_BACK_TIMEOUT: Final = 2.0
"""Seconds beyond the shutdown timeout that a worker waits until the store has taken back its jobs."""


class WorkerControl:
    """The arguments of a worker, checked, and whether it is shutting down.

    Attributes:
        context: The store that it works on.
        node_id: Its name.
        kinds: The only kinds that it claims; None: any.
        lease: Seconds that a lease lasts.
        shutdown_timeout: Seconds that handlers have to end at a shutdown.
        until_idle: It ends when it is idle.
        shutting_down: It claims no more. A signal handler sets it, so no lock guards it.
    """

    def __init__(
        self,
        context: Context,
        node_id: str,
        *,
        kinds: Sequence[str] | None,
        lease: float | timedelta,
        shutdown_timeout: float | timedelta,
        until_idle: bool,
    ) -> None:
        self.context = context
        self.node_id = validation.text("node_id", node_id)
        self.kinds = validation.kinds(kinds)
        self.lease = validation.duration_us("lease", lease, positive=True) / 1_000_000
        self.shutdown_timeout = validation.seconds_of("shutdown_timeout", shutdown_timeout)
        self.until_idle = until_idle
        self.shutting_down = False

    def kinds_for(self, handlers: Mapping[str, object]) -> Sequence[str]:
        """The kinds to claim for these handlers; InvalidRequest where there is none."""
        if not handlers or not isinstance(handlers, Mapping):
            raise InvalidRequest("handlers", "must name at least one kind and its handler")
        return self.kinds or validation.kinds(list(handlers)) or []

    def sign_on(self, concurrency: int) -> WorkerSession:
        """Register the worker and start its heartbeats; `concurrency` is how many handlers it runs at once."""
        now = self.context.clock.now()
        kinds = None if self.kinds is None else tuple(self.kinds)
        info = WorkerInfo(self.node_id, now, now, host(), pid(), kinds, concurrency)
        return WorkerSession(self.context, info, self.lease, lambda: self.shutting_down, self.shutdown_timeout)


class ShutdownTimer:
    """Decides how long a worker waits for its handlers after its last claim."""

    def __init__(self, control: WorkerControl) -> None:
        self._control = control
        self._deadline: float | None = None

    def expired(self, held: int) -> bool:
        """Whether to leave the handlers that are still at work; `held` of their runs have their lease.

        Without a shutdown a worker waits for every handler. The timeout runs from the first call in a shutdown.
        """
        if not self._control.shutting_down:
            return False
        now = self._control.context.clock.monotonic()
        if self._deadline is None:
            self._deadline = now + self._control.shutdown_timeout
        return now >= self._deadline + (HAND_BACK_TIMEOUT if held else 0.0)
