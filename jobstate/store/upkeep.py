"""What is done about the store itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from jobstate.domain import validation
from jobstate.domain.audit import AuditReport
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import SWEEPER
from jobstate.domain.job import Job
from jobstate.observers.observer import Sweep
from jobstate.store.base import StorePart


class Upkeep(StorePart):
    """Settling, checking and copying the store."""

    def sweep(self, *, limit: int = 1000, actor: str | None = None) -> Sequence[Job]:
        """Settle up to `limit` overdue jobs: lost leases, passed deadlines, stops that wait for nobody.

        Claims, heartbeats, `wait` and `prune` do it too; a sweep is for when none of them comes along.

        Returns:
            The jobs that were settled, as they are now.
        """
        validation.integer("limit", limit, 1, 100_000)
        settled = self._settle(limit, actor)
        if not settled and self._context.dispatcher is not None:
            self._context.dispatcher.deliver_unordered(Sweep(f"{SWEEPER}{self._acting(actor, None).name}", ()))
        return [Job(row) for row in settled]

    def audit(self, *, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Hold every job against its history, and the whole file against its invariants; reads only.

        Args:
            progress: Called with how many jobs are done and how many there are.
        """
        validation.callback("progress", progress)
        return self.repository.history.audit(progress)

    def backup(self, target: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the store to a new file, while it is in use. (Copying the file itself would lose what is in its log.)

        Args:
            target: A file that does not exist yet.
            progress: Called with how many pages are copied and how many there are.
        """
        if not isinstance(target, str | os.PathLike):
            raise InvalidRequest("target", f"must be a path, not {target!r}")
        validation.callback("progress", progress)
        self.repository.backup(os.fspath(target), progress)
