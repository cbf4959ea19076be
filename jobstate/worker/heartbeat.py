"""The thread beside a worker: heartbeats for all its leases in one statement, stops noticed, progress written."""

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
    """Keeps the runs of one worker alive until they end.

    When `ending()` turns true it asks them to end, and hands them back after `patience` seconds.
    """

    def __init__(
        self, context: Context, info: WorkerInfo, lease: float, ending: Callable[[], bool], patience: float
    ) -> None:
        self._context = context
        self._info = info
        self._lease = lease
        self._runs: set[RunControl] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._ending = ending
        self._patience = patience
        self._hand_back_at: float | None = None
        self._thread: threading.Thread | None = None
        self.healthy = True
        """Whether the last heartbeat succeeded; while it is False, nothing more should be claimed."""
        self.error: Exception | None = None
        """What ended the heartbeats for good."""

    def start(self) -> None:
        """Begin to beat."""
        self._thread = threading.Thread(target=self._live, name=f"jobstate-heartbeat-{self._info.node_id}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Beat no more, and wait for the thread to end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def adopt(self, run: RunControl) -> None:
        """Keep this run alive."""
        run.on_settled(self.drop)
        with self._changed:
            self._runs.add(run)
            if self._ending():
                run.notice_shutdown()
            self._changed.notify_all()

    def drop(self, run: RunControl) -> None:
        """Let this run go."""
        with self._changed:
            self._runs.discard(run)
            self._changed.notify_all()

    def held(self) -> int:
        """How many runs still have their lease."""
        with self._changed:
            return sum(not run.settled for run in self._runs)

    def wait_for_change(self, timeout: float) -> None:
        """Wait until a run came or went, at most so long (seconds)."""
        with self._changed:
            self._changed.wait(timeout)

    def hand_back(self) -> None:
        """Release every run that is still held; their handlers are fenced."""
        for run in self._snapshot():
            try:
                if run.hand_back():
                    logger.warning("job %d was handed back before its handler ended", run.id, extra=bound(run.row))
            except JobStateError as error:
                logger.warning("job %d could not be handed back: %s", run.id, error, extra=bound(run.row))
                if error.retryable:
                    return  # the store is busy; the next round tries again
            self.drop(run)

    def _live(self) -> None:
        repository = self._context.repository
        try:
            repository.relaxed()
            self._beat_until_closed()
        except Exception as error:
            self.healthy, self.error = False, error
            logger.exception("the heartbeats of %s ended", self._info.node_id)
        finally:
            repository.close_thread()

    def _beat_until_closed(self) -> None:
        clock, repository = self._context.clock, self._context.repository
        beat_due = flush_due = clock.monotonic()
        seen = -1
        while True:
            with self._changed:
                if self._closing:
                    return
                idle = not self._runs
                self._changed.wait(_IDLE if idle else _TICK)
            now = clock.monotonic()
            if self._ending():
                self._shut_down(now)
            try:
                if now >= beat_due:
                    beat_due = now + self._lease / BEATS_PER_LEASE
                    self._beat(now)
                if idle:
                    continue
                version = repository.version()
                if version != seen:
                    seen = version if self._look() else -1
                if now >= flush_due:
                    flush_due = now + FLUSH_INTERVAL
                    self._flush()
            except JobStateError as error:
                if not error.retryable:
                    raise
                if self.healthy:
                    logger.warning("heartbeats of %s fail, trying again: %s", self._info.node_id, error)
                self.healthy = False
                beat_due = now + _RETRY

    def _shut_down(self, now: float) -> None:
        """Ask the handlers to end, and when they have had their time, hand back what they still hold."""
        if self._hand_back_at is None:
            self._hand_back_at = now + self._patience
            for run in self._snapshot():
                run.notice_shutdown()
        if now >= self._hand_back_at:
            self.hand_back()

    def _beat(self, began: float) -> None:
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

    def _look(self) -> bool:
        """Read how the leases are; False where a run that is being written has to be asked about again."""
        runs = self._snapshot()
        renewals = self._context.repository.leases.look([run.lease for run in runs])
        known = [run.notice(renewal, None) for run, renewal in zip(runs, renewals, strict=True)]
        return all(known)

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
