"""How a run stands: its lease, what is asked of it, and who is told when either changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Self

from jobstate.core.context import Context
from jobstate.domain import validation
from jobstate.domain.errors import JobStopping, LeaseLost
from jobstate.domain.event import Actor
from jobstate.domain.leases import Renewal
from jobstate.domain.lifecycle import LEASED, STOP_PENDING
from jobstate.domain.report import Report
from jobstate.domain.stop import Stop, StopMode
from jobstate.observers.observer import LeaseLoss
from jobstate.ports.repository import Claimed
from jobstate.worker.checkpointing import Checkpointing

SHUTDOWN: Final = "shutdown"

logger = logging.getLogger("jobstate.worker")


class Standing(Checkpointing):
    """What a worker reads of its run, and what its heartbeats find out; a look at it is local, and free."""

    _stop: Stop | None = None
    _rescale_to: int | None = None
    _rescale_read: int | None = None
    """What the worker was last told to run with, and answers."""
    _rescaled_to: int | None = None
    _shutdown = False
    _seen = False
    _settled = False
    _provisional = False
    """Ended inside a transaction that may yet be undone."""
    _on_settled: Callable[[Any], None] | None = None
    _on_noticed: Callable[[], None] | None = None
    _loss_told = False

    def __init__(self, context: Context, claimed: Claimed, lease: float, claimed_at: float) -> None:
        super().__init__(context, claimed)
        self._by = Actor(f"worker:{claimed.job.worker_id}")
        self._lease_seconds = lease
        self._valid_until = claimed_at + lease

    @property
    def parallelism(self) -> int:
        """How many tasks the job runs with: as it was claimed, or as the last `rescaled` said."""
        return self.job.parallelism if self._rescaled_to is None else self._rescaled_to

    @property
    def rescale_to(self) -> int | None:
        """How many tasks the job is asked to run with instead, or None. Answer with `rescaled`, or `release` it.

        What was read last is what `rescaled` answers: read it once, and run with that.
        """
        self._rescale_read = self._rescale_to
        return self._rescale_read

    @property
    def stop(self) -> Stop | None:
        """The stop that was asked for, with mode, deadline and reason, or None. Reading it counts as having seen it."""
        if self._stop is not None:
            self._seen = True
        return self._stop

    @property
    def stopping(self) -> bool:
        """Whether the handler should come to its end: a stop, a shutdown of the worker, or a lost lease."""
        if self._stop is not None or self._shutdown:
            self._seen = True
        return self._seen or self.lost

    @property
    def lost(self) -> bool:
        """Whether the lease is gone, or has run out by the clock of this process."""
        return not self._settled and (self._lost or self._context.clock.monotonic() >= self._valid_until)

    @property
    def settled(self) -> bool:
        """Whether this run has ended, by one of its verbs or by a lost lease."""
        return self._settled or self._lost

    def raise_if_stopping(self) -> None:
        """Raise if the handler should end: a look at local flags, cheap enough for every round of a loop.

        Raises:
            LeaseLost: Another worker may have the job by now; nothing more can be written.
            JobStopping: A stop was asked for, or the worker is shutting down. Let it pass through the handler.
        """
        if self.lost:
            raise LeaseLost(self.id, self.token)
        if self._stop is not None:
            self._seen = True
            raise JobStopping(self.id, self._stop.mode.value, self._stop.reason)
        if self._shutdown:
            self._seen = True
            raise JobStopping(self.id, SHUTDOWN)

    # Used by the worker's own threads.

    def notice(self, renewal: Renewal, valid_until: float | None) -> bool:
        """Take over what a heartbeat or a look answered.

        Returns:
            False where the lease is gone while another thread writes for this run, perhaps its end: ask again.
        """
        if not renewal.held:
            if not self._writing.acquire(blocking=False):
                return False
            try:
                provisional = self._provisional
                if not provisional and not self._settled:
                    self._lost = True
            finally:
                self._writing.release()
            if provisional:
                self._learn_of_end()
            if self._lost and self._tell_loss():
                self._warn("job %d: its lease is lost; the handler has its place in the worker until it ends")
            self._tell_noticed()
            return True
        if valid_until is not None:
            self._valid_until = max(self._valid_until, valid_until)
        self._rescale_to = renewal.rescale_to
        if renewal.state in STOP_PENDING and renewal.stop_mode is not None:
            deadline = None if renewal.stop_deadline_us is None else validation.instant(renewal.stop_deadline_us)
            self._stop = Stop(StopMode(renewal.stop_mode), deadline, renewal.stop_reason, None)
        self._tell_noticed()
        return True

    def notice_shutdown(self) -> None:
        """The worker is shutting down: the handler is asked to end, and the job is then handed back."""
        self._shutdown = True
        self._tell_noticed()

    def on_noticed(self, told: Callable[[], None]) -> None:
        """Call `told` whenever there may be something new to be seen: a stop, a shutdown, a lost lease, its end."""
        self._on_noticed = told

    def on_settled(self, told: Callable[[Self], None]) -> None:
        """Call `told` once when the run has ended."""
        self._on_settled = told

    def _ended(self) -> None:
        if self._context.repository.in_transaction():
            self._provisional = True
        else:
            self._end_for_good()

    def _failed(self, error: BaseException, taken: Report) -> None:
        if isinstance(error, LeaseLost) and self._provisional:
            self._put_back(taken)
            self._learn_of_end()
        else:
            super()._failed(error, taken)
        if isinstance(error, LeaseLost) and self._lost:
            self._tell_loss()

    def _learn_of_end(self) -> None:
        """The lease is gone: by the end in a transaction that was kept, or, where that was undone, as a lost one."""
        if self._ended_itself():
            self._end_for_good()
        else:
            self._provisional, self._lost = False, True

    def _ended_itself(self) -> bool:
        """Whether the history says so; a job that was removed had ended, and nobody can tell any more how."""
        events = self._context.repository.history.events(self.id)
        of_this_run = (event for event in events if event.attempt == self.job.attempt and event.from_state in LEASED)
        end = next((event for event in of_this_run if event.to_state not in LEASED), None)
        return not events or (end is not None and end.actor == self._by.name)

    def _end_for_good(self) -> None:
        self._settled = True
        self._tell_settled()

    def _tell_settled(self) -> None:
        told, self._on_settled = self._on_settled, None
        if told is not None:
            told(self)
        self._tell_noticed()

    def _tell_noticed(self) -> None:
        if self._on_noticed is not None:
            self._on_noticed()

    def _tell_loss(self) -> bool:
        """Tell the observers, once, that the lease is gone: unless it was this run that ended it, just now.

        Of a claim that was undone they never heard. Whoever holds `_writing` is about to find out how it is, and a
        transaction may yet be undone: told later, then.

        Returns:
            Whether this was the once.
        """
        if self._loss_told or self._undone or not self._writing.acquire(blocking=False):
            return False
        try:
            if self._loss_told or self._settled or self._provisional or self._context.repository.in_transaction():
                return False
            self._loss_told = True
        finally:
            self._writing.release()
        if self._context.dispatcher is not None:
            self._context.dispatcher.deliver_unordered(LeaseLoss(self.job, self._context.clock.now()))
        return True

    def _warn(self, message: str, *said: object, exc_info: BaseException | None = None) -> None:
        logger.warning(message, self.id, *said, exc_info=exc_info, extra=self.bound)
