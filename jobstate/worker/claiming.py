"""From the store to runs."""

from __future__ import annotations

from collections.abc import Sequence

from jobstate.core.context import Context
from jobstate.worker.run import Run


def claim_runs(context: Context, node_id: str, kinds: Sequence[str] | None, lease: float, limit: int) -> list[Run]:
    """Lease up to `limit` due jobs for `lease` seconds, in claim order."""
    began = context.clock.monotonic()
    claimed = context.repository.leases.claim(
        node_id,
        kinds,
        round(lease * 1_000_000),
        limit,
        context.clock.now(),
        context.expiry_policy(node_id, lease),
    )
    runs = [Run(context, one, lease, began) for one in claimed]
    if context.tentative_runs:
        for run in runs:
            before = context.tentative_runs.pop(run.lease, None)
            if before is not None:
                before.claim_undone()
    if runs and context.repository.in_transaction():
        for run in runs:
            run.doubt_claim()
    return runs
