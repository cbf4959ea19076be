"""Removing ended jobs, in one transaction or in batches that leave room for other writers."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from jobstate.core.context import Context
from jobstate.domain.validation import duration_us
from jobstate.operations.requests import PruneCommand

ATOMIC_PRUNE: Final = 10_000
"""The most jobs that go in one transaction."""
PRUNE_BATCH: Final = 500
PRUNE_ENTRIES: Final = 50_000
"""A batch is smaller where its jobs have more log entries together, which go in the same transaction."""
DELETIONS_KEPT: Final = timedelta(days=90)
_SETTLE_BATCH: Final = 1000


def prune(context: Context, command: PruneCommand) -> int:
    """Remove the ended jobs that the command selects, and deletion records past their time; see `JobStore.prune`."""
    jobs, now = context.repository.jobs, context.clock.now()
    before = None if command.older_than_us is None else now - command.older_than_us
    if command.dry_run:
        return jobs.prunable(command.states, before)
    _settle_all(context, command.by.name)
    total = jobs.prunable(command.states, before)
    batch, entries = (ATOMIC_PRUNE, None) if total <= ATOMIC_PRUNE else (PRUNE_BATCH, PRUNE_ENTRIES)
    removed = 0
    while removed < total:
        gone = jobs.prune(command.states, before, batch, now, command.by, entries)
        if gone == 0 and jobs.prunable(command.states, before) == 0:  # another process may be pruning too
            break
        removed += gone
        if command.progress is not None:
            command.progress(removed, total)
    jobs.forget_deletions(now - duration_us("deletions", DELETIONS_KEPT))
    return removed


def _settle_all(context: Context, actor: str) -> None:
    while context.repository.leases.settle(context.clock.now(), context.expiry_policy(actor, limit=_SETTLE_BATCH)):
        pass
