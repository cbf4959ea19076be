"""The session of a worker: it is registered, sends heartbeats, and may claim."""

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
    """No job was due, and no run holds its lease."""
    seen: int | None = None
    """The version of the store before the attempt; None: the store is busy, or the heartbeats fail."""


class WorkerSession:
    """Begins when it is made, and ends with `sign_off`.

    Args:
        context: The store.
        info: The entry of the worker in the list of workers.
        lease: Seconds that each lease lasts.
        shutting_down: Whether the worker is shutting down.
        shutdown_timeout: Seconds after which a shutdown hands back the jobs that are still held.
    """

    def __init__(
        self,
        context: Context,
        info: WorkerInfo,
        lease: float,
        shutting_down: Callable[[], bool],
        shutdown_timeout: float,
    ) -> None:
        self.heartbeat = HeartbeatThread(context, info, lease, shutting_down, shutdown_timeout)
        self._context = context
        self._info = info
        self._lease = lease
        context.repository.workers.register(info)
        self.heartbeat.start()

    def attempt(self, kinds: Sequence[str] | None, limit: int) -> Attempt:
        """Claim up to `limit` due jobs; the heartbeats then keep their leases alive."""
        context, heartbeat = self._context, self.heartbeat
        if heartbeat.error is not None:
            raise heartbeat.error
        if not heartbeat.healthy:  # a worker that cannot renew its leases takes no more
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
            heartbeat.adopt(control_of(run))
        return Attempt(runs, idle=not runs and heartbeat.held() == 0, seen=seen)

    def sign_off(self) -> None:
        """Hand back what is held, end the heartbeats, and leave the list of workers."""
        try:
            self.heartbeat.hand_back()
        finally:
            self.heartbeat.close()
        try:
            self._context.repository.workers.leave(self._info.node_id, self._info.started_us)
        except JobStateError as failed:
            logger.warning("worker %s could not sign off: %s", self._info.node_id, failed)
