"""What every part of `JobStore` stands on: the repository, the clock, and who acts."""

from __future__ import annotations

from collections.abc import Sequence

from jobstate.core.context import Context
from jobstate.domain.event import Actor
from jobstate.domain.job_row import JobRow
from jobstate.ports.repository import Repository


class StorePart:
    """A part of the store; see `JobStore`."""

    def __init__(self, context: Context, by: Actor, stop_timeout: float) -> None:
        self._context = context
        self._by = by
        self._stop_timeout = stop_timeout
        self.repository: Repository = context.repository
        """The port below; for tools that build on it."""

    def _settle(self, limit: int, actor: str | None = None) -> Sequence[JobRow]:
        expiry = self._context.expiry_policy(self._acting(actor, None).name, limit=limit)
        return self.repository.leases.settle(self._now(), expiry)

    def _now(self) -> int:
        return self._context.clock.now()

    def _acting(self, actor: str | None, reason: str | None) -> Actor:
        return self._by.overridden(actor, reason)
