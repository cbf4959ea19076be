"""One run of a job, from its claim to its end, as the worker that holds the lease sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

from jobstate.domain.errors import Fatal, JobStateError, JobStopping, LeaseLost, TransitionNotAllowed
from jobstate.worker.run_log import enter, leave
from jobstate.worker.standing import logger
from jobstate.worker.verbs import Verbs

_RETRY_PAUSE: Final = 0.05


class Run(Verbs):
    """A claimed job in the hands of its worker.

    Use it as a context manager: leaving the block completes the job, an exception fails it (and is logged, not
    raised), a stop that was seen ends it as stopped. Or call the verbs; each names the lease, so that a run whose
    lease was lost raises `LeaseLost` and changes nothing.

    Made by `JobStore.claim` and `JobStore.worker`. Progress may be reported from several threads; the verbs are for
    one.
    """

    _within: AbstractContextManager[object] | None = None
    """What observers put around the block."""

    def __repr__(self) -> str:
        return f"<Run of {self.job!r}, token {self.token}>"

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
        if self._context.dispatcher is not None:
            self._within = self._context.dispatcher.within(self.job)
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
                self._context.real_sleep(_RETRY_PAUSE)
            else:
                return
