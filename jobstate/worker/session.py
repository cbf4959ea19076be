"""A worker at work: it said that it is there, its heart beats, and it may claim."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from jobstate.core.context import Context
from jobstate.domain.errors import JobStateError
from jobstate.ports.repository import WorkerInfo
from jobstate.worker.heartbeat import HeartbeatThread
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_control import RunControl

logger = logging.getLogger("jobstate.worker")


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
    controls = [RunControl(context, one, lease, began) for one in claimed]
    if context.tentative_runs:
        for control in controls:
            before = context.tentative_runs.pop(control.lease, None)
            if before is not None:
                before.claim_undone()
    if controls and context.repository.in_transaction():
        for control in controls:
            control.open_claim()
    return [Run(control) for control in controls]


class Attempt(NamedTuple):
    """The result of one attempt to claim."""

    runs: list[Run]
    idle: bool = False
    """Nothing was due, and no run still holds its lease."""
    seen: int | None = None
    """The version of the store before; None: the store or the heart is not well, which no version tells."""


class WorkerSession:
    """From the moment in which a worker signs on until it signs off.

    Args:
        context: What it works on.
        info: The worker, as others see it.
        lease: Seconds that each lease lasts.
        ending: Whether it is to end soon.
        patience: Seconds between that and handing back what is still held.
    """

    def __init__(
        self,
        context: Context,
        info: WorkerInfo,
        lease: float,
        ending: Callable[[], bool],
        patience: float,
    ) -> None:
        self.heart = HeartbeatThread(context, info, lease, ending, patience)
        self._context = context
        self._info = info
        self._lease = lease
        context.repository.workers.register(info)
        self.heart.start()

    def attempt(self, kinds: Sequence[str] | None, limit: int) -> Attempt:
        """Claim up to `limit` jobs, if any is due; the heart keeps them alive."""
        context, heart = self._context, self.heart
        if heart.error is not None:
            raise heart.error
        if not heart.healthy:  # whoever cannot keep a lease alive takes none
            return Attempt([])
        try:
            seen = context.repository.version()
            runs = claim_runs(context, self._info.node_id, kinds, self._lease, limit)
        except JobStateError as error:
            if not error.retryable:
                raise
            logger.warning("worker %s could not claim, trying again: %s", self._info.node_id, error)
            return Attempt([])
        for run in runs:
            heart.adopt(control_of(run))
        return Attempt(runs, idle=not runs and heart.held() == 0, seen=seen)

    def sign_off(self) -> None:
        """Hand back what is held, let the heart stand still, and leave."""
        try:
            self.heart.hand_back()
        finally:
            self.heart.close()
        try:
            self._context.repository.workers.leave(self._info.node_id, self._info.started_us)
        except JobStateError as failed:
            logger.warning("worker %s could not sign off: %s", self._info.node_id, failed)
