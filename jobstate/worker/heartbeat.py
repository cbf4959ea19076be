"""The heartbeat thread of a worker: renews all its leases in one statement, notices stops, flushes reports."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from jobstate.core.context import Context
from jobstate.domain.errors import JobStateError, LeaseLost
from jobstate.ports.repository import WorkerInfo
from jobstate.worker.run_control import RunControl
from jobstate.worker.run_log import bound

BEATS_PER_LEASE: Final = 3
FLUSH_INTERVAL: Final = 1.0
_TICK: Final = 0.02
_RETRY: Final = 0.25
_IDLE: Final = 0.25

logger = logging.getLogger("jobstate.worker")


class HeartbeatThread:
    """Keeps the leases of one worker alive until its runs end.

    When `shutting_down()` turns true it asks the handlers to end, and hands their jobs back after `shutdown_timeout`
    seconds.
    """

    def __init__(
        self,
        context: Context,
        info: WorkerInfo,
        lease: float,
        shutting_down: Callable[[], bool],
        shutdown_timeout: float,
    ) -> None:
        self._context = context
        self._info = info
        self._lease = lease
        self._runs: set[RunControl] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._shutting_down = shutting_down
        self._shutdown_timeout = shutdown_timeout
        self._hand_back_at: float | None = None
        self._thread: threading.Thread | None = None
        self.healthy = True
        """Whether the last heartbeat succeeded; while it is False, the worker claims no more."""
        self.error: Exception | None = None
        """The error that ended the heartbeats for good."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name=f"jobstate-heartbeat-{self._info.node_id}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, and wait until it has ended."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def adopt(self, run: RunControl) -> None:
        """Keep the lease of this run alive."""
        run.on_settled(self.drop)
        with self._changed:
            self._runs.add(run)
            if self._shutting_down():
                run.notice_shutdown()
            self._changed.notify_all()

    def drop(self, run: RunControl) -> None:
        """Renew the lease of this run no more."""
        with self._changed:
            self._runs.discard(run)
            self._changed.notify_all()

    def held(self) -> int:
        """How many runs have not ended."""
        with self._changed:
            return sum(not run.settled for run in self._runs)

    def wait_for_change(self, timeout: float) -> None:
        """Wait until a run is adopted or dropped, at most `timeout` seconds."""
        with self._changed:
            self._changed.wait(timeout)

    def hand_back(self) -> None:
        """Release every run that has not ended; its handler can then write no more."""
        for run in self._snapshot():
            try:
                if run.hand_back():
                    logger.warning("job %d was handed back before its handler ended", run.id, extra=bound(run.row))
            except JobStateError as error:
                logger.warning("job %d could not be handed back: %s", run.id, error, extra=bound(run.row))
                if error.retryable:
                    return  # the store is busy; the next round tries again
            self.drop(run)

    def _run(self) -> None:
        repository = self._context.repository
        try:
            self._loop()
        except Exception as error:
            self.healthy, self.error = False, error
            logger.exception("the heartbeats of %s ended", self._info.node_id)
        finally:
            repository.close_thread()

    def _loop(self) -> None:
        clock, repository = self._context.clock, self._context.repository
        renewal_due = flush_due = clock.monotonic()
        seen = -1
        while True:
            with self._changed:
                if self._closing:
                    return
                idle = not self._runs
                self._changed.wait(_IDLE if idle else _TICK)
            now = clock.monotonic()
            if self._shutting_down():
                self._shut_down(now)
            try:
                if now >= renewal_due:
                    renewal_due = now + self._lease / BEATS_PER_LEASE
                    self._renew(now)
                if idle:
                    continue
                version = repository.version()
                if version != seen:
                    seen = version if self._read_leases() else -1
                if now >= flush_due:
                    flush_due = now + FLUSH_INTERVAL
                    self._flush()
            except JobStateError as error:
                if not error.retryable:
                    raise
                if self.healthy:
                    logger.warning("heartbeats of %s fail, trying again: %s", self._info.node_id, error)
                self.healthy = False
                renewal_due = now + _RETRY

    def _shut_down(self, now: float) -> None:
        """Ask the handlers to end; after the timeout, hand back what they still hold."""
        if self._hand_back_at is None:
            self._hand_back_at = now + self._shutdown_timeout
            for run in self._snapshot():
                run.notice_shutdown()
        if now >= self._hand_back_at:
            self.hand_back()

    def _renew(self, began: float) -> None:
        context = self._context
        now = context.clock.now()
        runs = [run for run in self._snapshot() if not run.settled]
        expiry = context.expiry_policy(self._info.node_id, self._lease)
        lease = round(self._lease * 1_000_000)
        renewals = context.repository.leases.renew([run.lease for run in runs], lease, now, expiry)
        for run, renewal in zip(runs, renewals, strict=True):
            run.notice(renewal, began + self._lease)
        context.repository.workers.register(replace(self._info, heartbeat_us=now))
        if not self.healthy:
            logger.warning("heartbeats of %s succeed again", self._info.node_id)
        self.healthy = True

    def _read_leases(self) -> bool:
        """Read the leases, without renewing them; False where a run is being written: read them again."""
        runs = self._snapshot()
        renewals = self._context.repository.leases.look([run.lease for run in runs])
        decided = [run.notice(renewal, None) for run, renewal in zip(runs, renewals, strict=True)]
        return all(decided)

    def _flush(self) -> None:
        for run in self._snapshot():
            try:
                if not run.settled:
                    run.flush_if_free()
            except LeaseLost as error:
                if run.lost:
                    logger.warning("%s", error, extra=bound(run.row))

    def _snapshot(self) -> list[RunControl]:
        with self._changed:
            return list(self._runs)
