"""How workers come to their jobs."""

from __future__ import annotations

from collections.abc import Sequence

from jobstate.core.arguments import MAX_PAGE, Duration
from jobstate.core.context import DEFAULT_LEASE
from jobstate.domain import validation
from jobstate.store.base import StorePart
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_control import RunControl
from jobstate.worker.session import claim_runs
from jobstate.worker.worker import Worker


class Working(StorePart):
    """What a worker process calls."""

    def claim(
        self, node_id: str, *, kinds: Sequence[str] | None = None, lease: Duration = DEFAULT_LEASE, limit: int = 1
    ) -> Sequence[Run]:
        """Lease up to `limit` due jobs to `node_id`, without a thread that heartbeats.

        Atomic: a job goes to at most one caller. What is overdue is settled first, so no other process has to.

        Args:
            node_id: The name of the worker, 1..255 characters.
            kinds: Only jobs of these kinds; None: any.
            lease: How long the lease lasts from now, > 0, stored to the microsecond.
            limit: Most jobs to claim, 1..1000.

        Returns:
            Runs ordered by (priority, available_at, id); empty when nothing is due.
        """
        validation.text("node_id", node_id)
        validation.integer("limit", limit, 1, MAX_PAGE)
        seconds = lease if lease is DEFAULT_LEASE else validation.duration_us("lease", lease, positive=True) / 1_000_000
        return claim_runs(self._context, node_id, validation.kinds(kinds), seconds, limit)

    def complete_many(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Complete these runs, in one transaction.

        Returns:
            Those whose lease was lost: they were not completed.
        """
        held = [
            validation.instance(f"runs[{place}]", run, Run)
            for place, run in enumerate(validation.several("runs", runs, "runs"))
        ]
        refused = RunControl.complete_many(self._context, [control_of(run) for run in held])
        return [run for run in held if control_of(run) in refused]

    def worker(
        self,
        node_id: str,
        *,
        kinds: Sequence[str] | None = None,
        lease: Duration = DEFAULT_LEASE,
        shutdown_timeout: Duration = 10.0,
        until_idle: bool = False,
    ) -> Worker:
        """A worker, which heartbeats on a thread of its own.

        Args:
            node_id: Its name. Two workers should not share one, though nothing breaks when they do.
            kinds: Only jobs of these kinds; None: any, or those that `serve` has handlers for.
            lease: How long a job waits for a worker that died, before another may have it; > 0.
            shutdown_timeout: How long handlers may take to end at a shutdown, before their jobs are handed back.
            until_idle: End when there is nothing to claim and nothing held, instead of waiting for more.
        """
        return Worker(
            self._context,
            node_id,
            kinds=kinds,
            lease=lease,
            shutdown_timeout=shutdown_timeout,
            until_idle=until_idle,
        )
