"""The verbs of a run: what its worker says of the job under the lease."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Self

from jobstate.core.context import Context
from jobstate.domain import leases as rules
from jobstate.domain import rescale_requests, validation
from jobstate.domain.errors import LeaseLost, TransitionNotAllowed
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow
from jobstate.domain.logs import LogLevel
from jobstate.domain.report import NOTHING
from jobstate.domain.stop import Stop
from jobstate.domain.transitions import Decision
from jobstate.worker.standing import Standing


class Verbs(Standing):
    """Each names the lease: where it was lost, the verb raises `LeaseLost` and changes nothing."""

    _noted: Failure | None = None

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
        expiry = self._context.expiry_policy(str(self.job.worker_id), self._lease_seconds)
        lease = round(self._lease_seconds * 1_000_000)
        now = self._context.clock.now()
        (renewal,) = self._context.repository.leases.renew([self.lease], lease, now, expiry)
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
            if taken is not NOTHING or leases.complete([self._row.lease], now, self._by):
                leases.change(self.lease, lambda job: rules.complete(job, self.token, now, self._by), taken)
        except BaseException as error:
            self._failed(error, taken)
            raise
        self._written(taken)

    @classmethod
    def complete_many(cls, context: Context, runs: Sequence[Self]) -> list[Self]:
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
            validation.instance("domain", domain, str)
        kind = FailureKind.ERROR if retryable else FailureKind.FATAL
        if isinstance(failure, BaseException):
            told = Failure(
                _words_of(failure),
                kind,
                domain or type(failure).__qualname__,
                "".join(traceback.format_exception(failure)),
            )
        else:
            told = Failure(validation.message("failure", failure), kind, domain)
        if told != self._noted:  # a busy store has this repeated
            self._noted = told
            self.note(LogLevel.ERROR, told.message, details=told.traceback)
        chance = self._context.chance()
        return self._end(lambda job, now: rules.fail(job, self.token, told, chance, now, self._by))

    def release(self, delay: float | timedelta = 0.0) -> Job:
        """Hand the job back, uncharged, to be claimed again after `delay`; Stopped when a stop was pending."""
        wait = validation.duration_us("delay", delay)
        return self._end(lambda job, now: rules.release(job, self.token, now + wait, now, self._by))

    def hand_back(self) -> bool:
        """Release the job, unless the run has ended, also by a write that another thread is at; whether it did."""
        with self._writing:
            if self.settled:
                return False
            self.release()
            return True

    def begin_stop(self) -> Job:
        """Agree to the stop: the job is Stopping. A last checkpoint may follow."""
        job = self._change(lambda job, now: rules.begin_stop(job, self.token, now, self._by)).job
        self._stop, self._seen = job.stop, True
        return Job(job)

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
        job = self._change(lambda job, now: rescale_requests.resume(job, self.token, answer, now, self._by)).job
        self._rescaled_to, self._rescale_to, self._rescale_read = job.parallelism, job.rescale_to, None
        if job.stop is not None:
            self._stop = job.stop
        return self.stop

    def _change(self, decide: Callable[[JobRow, int], Decision]) -> Decision:
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

    def _end(self, decide: Callable[[JobRow, int], Decision]) -> Job:
        with self._writing:
            decision = self._change(decide)
            self._ended()
        return Job(decision.job)


def _words_of(error: BaseException) -> str:
    """What an exception says; its type where it says nothing, or fails at saying it."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  (whatever a stranger's __str__ raises, the job must not stay Running)
        return f"{type(error).__name__} (its message cannot be read)"
