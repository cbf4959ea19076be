"""One run of a job, from its claim to its end, as the worker that holds the lease sees it."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Final

from jobstate.context import Context
from jobstate.domain import checked, rescaling
from jobstate.domain import leases as rules
from jobstate.domain.errors import Fatal, JobStateError, JobStopping, LeaseLost, TransitionNotAllowed
from jobstate.domain.job import By, Failure, FailureKind, Job, Stop, StopMode
from jobstate.domain.leases import Renewal
from jobstate.domain.lifecycle import LEASED, STOP_PENDING
from jobstate.domain.logs import LogLevel
from jobstate.domain.moves import Decision
from jobstate.domain.report import NOTHING, Report
from jobstate.observing.observer import LeaseLoss
from jobstate.repository import Claimed
from jobstate.worker.checkpointing import Checkpointing
from jobstate.worker.logs import enter, leave

SHUTDOWN: Final = "shutdown"
_RETRY_PAUSE: Final = 0.05

logger = logging.getLogger("jobstate.worker")


class Run(Checkpointing):
    """A claimed job in the hands of its worker.

    Use it as a context manager: leaving the block completes the job, an exception fails it (and is logged, not
    raised), a stop that was seen ends it as stopped. Or call the verbs; each names the lease, so that a run whose
    lease was lost raises `LeaseLost` and changes nothing.

    Made by `JobStore.claim` and `JobStore.worker`. Progress may be reported from several threads; the verbs are for
    one.
    """

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
    _on_settled: Callable[[Run], None] | None = None
    _on_noticed: Callable[[], None] | None = None
    _noted: Failure | None = None
    _within: AbstractContextManager[object] | None = None
    """What observers put around the block."""
    _loss_told = False

    def __init__(self, context: Context, claimed: Claimed, lease: float, claimed_at: float) -> None:
        super().__init__(context, claimed)
        self._by = By(f"worker:{claimed.job.worker_id}")
        self._lease_seconds = lease
        self._valid_until = claimed_at + lease

    def __repr__(self) -> str:
        return f"<Run of {self.job!r}, token {self.token}>"

    # What the worker reads: local, free to call.

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

    # The verbs.

    def heartbeat(self) -> Stop | None:
        """Prolong the lease by its length from now. A `worker` does it on a thread of its own.

        Returns:
            The stop that was asked for, or None.

        Raises:
            LeaseLost: The lease is gone, or its stop is past its deadline.
        """
        if self._tentative:
            self._check_claim()
        began = self._context.clock.monotonic()
        settling = self._context.settling(str(self.job.worker_id), self._lease_seconds)
        lease = round(self._lease_seconds * 1_000_000)
        now = self._context.clock.now()
        (renewal,) = self._context.repository.leases.renew([self.lease], lease, now, settling)
        self.notice(renewal, began + self._lease_seconds)
        if not renewal.held:
            raise LeaseLost(self.id, self.token)
        return self._stop

    def complete(self) -> None:
        """The work is done. It beats a stop that is pending. Repeating it with the same token changes nothing."""
        with self._writing:
            self._write_completion()
            self._ended()

    def _write_completion(self) -> None:
        """With `_writing` in hand, as the caller also notes what came of it."""
        taken = self._take()
        leases = self._context.repository.leases
        now = self._context.clock.now()
        try:
            if taken is not NOTHING or leases.complete([self.job.lease], now, self._by):
                leases.change(self.lease, lambda job: rules.complete(job, self.token, now, self._by), taken)
        except BaseException as error:
            self._failed(error, taken)
            raise
        self._written(taken)

    @classmethod
    def complete_many(cls, context: Context, runs: Sequence[Run]) -> list[Run]:
        """Complete these runs in one transaction; those that could not be, because their lease was lost."""
        lost, ended_before = [], []
        with ExitStack() as until_decided:
            for run in runs:
                until_decided.enter_context(run._writing)
            with context.repository.transaction():
                for run in runs:
                    try:
                        run._write_completion()
                    except LeaseLost:
                        lost.append(run)
                    except TransitionNotAllowed:
                        ended_before.append(run)
            for run in runs:
                if run in lost:
                    run._lost = True
                    run._tell_loss()
                else:
                    run._ended()
        return [run for run in runs if run in lost or run in ended_before]

    def fail(
        self,
        failure: str | BaseException,
        *,
        retryable: bool = True,
        domain: str | None = None,
    ) -> Job:
        """The run failed: the job is tried again later, or failed for good when its attempts are spent.

        Args:
            failure: What went wrong: a message, or the exception, whose traceback is kept.
            retryable: False fails the job for good.
            domain: Where it comes from; by default the type of the exception.

        Returns:
            The job: Recovering, Failed, or Stopped when a stop was pending.
        """
        if domain is not None:
            checked.instance("domain", domain, str)
        kind = FailureKind.ERROR if retryable else FailureKind.FATAL
        if isinstance(failure, BaseException):
            told = Failure(
                _words_of(failure),
                kind,
                domain or type(failure).__qualname__,
                "".join(traceback.format_exception(failure)),
            )
        else:
            told = Failure(checked.message("failure", failure), kind, domain)
        if told != self._noted:  # a busy store has this repeated
            self._noted = told
            self.note(LogLevel.ERROR, told.message, details=told.traceback)
        chance = self._context.chance()
        return self._end(lambda job, now: rules.fail(job, self.token, told, chance, now, self._by))

    def release(self, delay: float | timedelta = 0.0) -> Job:
        """Hand the job back, uncharged, to be claimed again after `delay`; Stopped when a stop was pending."""
        wait = checked.duration_us("delay", delay)
        return self._end(lambda job, now: rules.release(job, self.token, now + wait, now, self._by))

    def begin_stop(self) -> Job:
        """Agree to the stop: the job is Stopping. A last checkpoint may follow."""
        job = self._change(lambda job, now: rules.begin_stop(job, self.token, now, self._by)).job
        self._stop, self._seen = job.stop, True
        return job

    def finish_stop(self) -> Job:
        """The work has stopped: the job is Stopped."""
        return self._end(lambda job, now: rules.finish_stop(job, self.token, now, self._by))

    def rescaled(self) -> Stop | None:
        """The work goes on with the number of tasks that `rescale_to` said last, the `parallelism` from now on.

        Where another one was asked for since, the job stays Rescaling, and `rescale_to` says it, to be answered too.

        Returns:
            The stop that came in between and dropped the request, or None.

        Raises:
            LeaseLost: The lease is gone.
        """
        answer = self.parallelism if self._rescale_read is None else self._rescale_read
        job = self._change(lambda job, now: rescaling.resume(job, self.token, answer, now, self._by)).job
        self._rescaled_to, self._rescale_to, self._rescale_read = job.parallelism, job.rescale_to, None
        if job.stop is not None:
            self._stop = job.stop
        return self.stop

    # Used by the worker's own threads.

    def notice(self, renewal: Renewal, valid_until: float | None) -> None:
        """Take over what a heartbeat or a look answered."""
        if not renewal.held:
            if self._provisional:
                self._learn_of_end()
            elif not self._settled:
                self._lost = True
            if self._lost and self._tell_loss():
                self._warn("job %d: its lease is lost; the handler has its place in the worker until it ends")
            self._tell_noticed()
            return
        if valid_until is not None:
            self._valid_until = max(self._valid_until, valid_until)
        self._rescale_to = renewal.rescale_to
        if renewal.state in STOP_PENDING and renewal.stop_mode is not None:
            deadline = None if renewal.stop_deadline_us is None else checked.instant(renewal.stop_deadline_us)
            self._stop = Stop(StopMode(renewal.stop_mode), deadline, renewal.stop_reason, None)
        self._tell_noticed()

    def notice_shutdown(self) -> None:
        """The worker is shutting down: the handler is asked to end, and the job is then handed back."""
        self._shutdown = True
        self._tell_noticed()

    def on_noticed(self, told: Callable[[], None]) -> None:
        """Call `told` whenever there may be something new to be seen: a stop, a shutdown, a lost lease, its end."""
        self._on_noticed = told

    def on_settled(self, told: Callable[[Run], None]) -> None:
        """Call `told` once when the run has ended."""
        self._on_settled = told

    def _change(self, decide: Callable[[Job, int], Decision]) -> Decision:
        with self._writing:
            taken = self._take()
            now = self._context.clock.now()
            try:
                decision = self._context.repository.leases.change(self.lease, lambda job: decide(job, now), taken)
            except BaseException as error:
                self._failed(error, taken)
                raise
            self._written(taken)
            return decision

    def _end(self, decide: Callable[[Job, int], Decision]) -> Job:
        with self._writing:
            decision = self._change(decide)
            self._ended()
        return decision.job

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
        return not events or (end is not None and end.actor == self._by.actor)

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
        if self._context.audience is not None:
            self._context.audience.interject(LeaseLoss(self.job, self._context.clock.now()))
        return True

    def __enter__(self) -> Run:
        enter(self)
        self.enter_what_observers_want()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settle the job as the block ended. True for exceptions that thereby have been dealt with."""
        leave(self)
        self.leave_what_observers_want(kind, error, trace)
        return self.conclude(error)

    def enter_what_observers_want(self) -> None:
        """For who enters a block: also what observers want it to be within."""
        if self._context.audience is not None:
            self._within = self._context.audience.within(self.job)
            self._within.__enter__()

    def leave_what_observers_want(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """For who leaves it, in the same context."""
        within, self._within = self._within, None
        if within is not None:
            within.__exit__(kind, error, trace)

    def conclude(self, error: BaseException | None) -> bool:
        """What leaving the block does to the job; True where the exception that left it has been dealt with."""
        passes = error is not None and not isinstance(error, Exception | JobStopping)
        try:
            if self._provisional and not self.settled:
                self._confirm()
            if not self.settled:
                self._stubbornly(self._verb_for(error))
            elif isinstance(error, Exception) and not isinstance(error, LeaseLost):
                self._warn("job %d had ended before its handler failed: %r", error, exc_info=error)
        except LeaseLost as gone:
            self._lost = True
            self._warn("job %d: %s", gone)
        except TransitionNotAllowed as ended:
            self._end_for_good()
            self._warn("job %d: %s", ended)
        except JobStateError:
            if passes or error is None:
                raise
            logger.exception("job %d: could not be settled; its lease will run out", self.id, extra=self.bound)
        finally:
            if self._lost:
                self._tell_loss()
            self._tell_settled()
        return not passes

    def _confirm(self) -> None:
        """Ask the store whether an end inside a transaction was kept or undone; LeaseLost where the lease is too."""
        if self._tentative:
            self._check_claim()
        (renewal,) = self._context.repository.leases.look([self.lease])
        if renewal.held:
            self._provisional = False
            return
        self._learn_of_end()
        if self.lost:
            raise LeaseLost(self.id, self.token)

    def _verb_for(self, error: BaseException | None) -> Callable[[], object]:
        """What the end of the block means for the job."""
        if isinstance(error, LeaseLost):
            raise error
        if error is None or isinstance(error, JobStopping):
            if self._stop is not None and self._seen:
                return self.finish_stop
            if self._shutdown and self._seen:
                return self.release
            if error is None:
                return self.complete
            if self._shutdown:
                return self.release
            return lambda: self.fail("the handler stopped without being asked to", domain=JobStopping.__qualname__)
        if not isinstance(error, Exception):  # KeyboardInterrupt, SystemExit: the worker goes, not the job
            return self.release
        failure = error
        retryable = not isinstance(failure, Fatal) and not self.job.retry.is_fatal(failure)
        self._warn("job %d failed: %r", failure, exc_info=failure)
        return lambda: self.fail(failure, retryable=retryable)

    def _warn(self, message: str, *said: object, exc_info: BaseException | None = None) -> None:
        logger.warning(message, self.id, *said, exc_info=exc_info, extra=self.bound)

    def _stubbornly(self, verb: Callable[[], object]) -> None:
        """Repeat a verb that a busy or full store kept from its work, as long as the lease lasts."""
        told = False
        while True:
            try:
                verb()
            except JobStateError as error:
                if not error.retryable or self.lost:
                    raise
                if not told:
                    self._warn("job %d: %s; trying again", error)
                    told = True
                self._context.rest(_RETRY_PAUSE)
            else:
                return


def _words_of(error: BaseException) -> str:
    """What an exception says; its type where it says nothing, or fails at saying it."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  (whatever a stranger's __str__ raises, the job must not stay Running)
        return f"{type(error).__name__} (its message cannot be read)"
