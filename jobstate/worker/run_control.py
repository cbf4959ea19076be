"""The worker's side of a run: what heartbeats, sessions and event loops call, and a handler must not."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Self, TypeVar

from jobstate.core.context import Context
from jobstate.domain import leases as rules
from jobstate.domain.errors import LeaseLost, TransitionNotAllowed
from jobstate.domain.event import worker_actor
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.leases import Renewal, is_undone
from jobstate.domain.lifecycle import LEASED
from jobstate.domain.logs import LogLevel
from jobstate.domain.report import NOTHING, Report
from jobstate.domain.stop import Stop
from jobstate.domain.transitions import Decision
from jobstate.observers.observer import LeaseLoss
from jobstate.ports.repository import Claimed
from jobstate.worker.lease_status import LeaseEvent, LeaseStatus, LeaseTracker
from jobstate.worker.pending_requests import PendingRequests
from jobstate.worker.report_buffers import ReportBuffers
from jobstate.worker.run_log import bound

T = TypeVar("T")

logger = logging.getLogger("jobstate.worker")


class RunControl:
    """Writes for one run under its lease, and keeps its status.

    Attributes:
        context: The store that the job was claimed from.
        claimed: The job as it was claimed, and what it starts from.
        row: The job as it was claimed.
        job: The same, as callers see it.
        lease: What every write of the run names.
        actor: The worker, as the history names it.
        lease_seconds: How long a heartbeat renews the lease.
        valid_until: When the lease runs out by the monotonic clock of this process.
        tracker: The status of the lease.
        requests: What others ask of the run.
        writing: Held from taking what is to be written until the write has succeeded or failed.
    """

    # Defaults of the class: most runs end without them, and claims make many runs.
    _reports: ReportBuffers | None = None
    _on_settled: Callable[[RunControl], None] | None = None
    _on_noticed: Callable[[], None] | None = None
    _loss_reported = False
    """The observers know: a fact about them, while LOST is one about the lease."""
    _failure_noted: Failure | None = None
    _observed: AbstractContextManager[object] | None = None

    def __init__(self, context: Context, claimed: Claimed, lease_seconds: float, claimed_at: float) -> None:
        self.context = context
        self.claimed = claimed
        self.row: JobRow = claimed.job
        self.job = Job(claimed.job)
        self.lease = Lease(claimed.job.id, claimed.job.lease_token)
        self.actor = worker_actor(str(claimed.job.worker_id))
        self.lease_seconds = lease_seconds
        self.valid_until = claimed_at + lease_seconds
        self.tracker = LeaseTracker()
        self.requests = PendingRequests()
        self.writing = threading.RLock()

    @property
    def id(self) -> int:
        """The id of the job."""
        return self.row.id

    @property
    def token(self) -> int:
        """The fencing token."""
        return self.row.lease_token

    @property
    def reports(self) -> ReportBuffers:
        """The buffers; made when they are first needed, as many runs report nothing."""
        made = self._reports
        if made is None:  # `setdefault` is atomic: every thread gets the same one
            made = self.__dict__.setdefault("_reports", ReportBuffers(self.context, self.claimed))
        return made

    @property
    def settled(self) -> bool:
        """Whether the run has ended, by one of its verbs or by a lost lease."""
        return self.tracker.status.over

    @property
    def gone(self) -> bool:
        """Whether the lease is gone according to the store."""
        return self.tracker.status.gone

    @property
    def lost(self) -> bool:
        """Whether the lease is gone, or has run out by the clock of this process."""
        status = self.tracker.status
        return status.gone or (not status.over and self.context.clock.monotonic() >= self.valid_until)

    # The claim.

    def open_claim(self) -> None:
        """Note that the claim was made inside an open transaction: every write then checks the claim first."""
        self.tracker.claim_open = True
        self.context.tentative_runs[self.lease] = self

    def claim_undone(self) -> None:
        """Note that the transaction of the claim was undone, and with it the lease."""
        self.tracker.move(LeaseEvent.CLAIM_UNDONE)

    def check_claim(self) -> None:
        """Where the claim may be undone, ask the store; LeaseLost if it was."""
        if not self.tracker.claim_open:
            return
        repository = self.context.repository
        if self.tracker.status is not LeaseStatus.UNDONE:
            undecided = repository.in_transaction()
            with repository.transaction():  # waits for the transaction of another thread, if it made the claim
                job = repository.jobs.find(self.id)
            if job is None or not is_undone(job, self.row):
                self.tracker.claim_open = undecided
                return
            self.claim_undone()
        raise LeaseLost(self.id, self.token)

    # Heartbeats, and who is notified.

    def notice(self, renewal: Renewal, valid_until: float | None) -> bool:
        """Take over the answer to a heartbeat, or to a read of the lease.

        Args:
            renewal: The answer.
            valid_until: When the lease runs out now; None: it was only read.

        Returns:
            False where the lease is gone while another thread writes for this run, perhaps its end: ask again.
        """
        if renewal.held:
            if valid_until is not None:
                self.valid_until = max(self.valid_until, valid_until)
            self.requests.update(renewal)
        else:
            if not self.writing.acquire(blocking=False):
                return False
            try:
                ending = self.tracker.status is LeaseStatus.ENDING
                if not ending:
                    self.tracker.move(LeaseEvent.LEASE_LOST)
            finally:
                self.writing.release()
            if ending:  # without the lock: a handler in a transaction may hold the store, and wait for the lock
                self._learn_of_end()
            if self.gone and self.report_loss():
                self.warn("job %d: its lease is lost; the handler has its place in the worker until it ends")
        self._notify()
        return True

    def notice_shutdown(self) -> None:
        """The worker is shutting down: ask the handler to end. The worker then hands the job back."""
        self.requests.shutdown = True
        self._notify()

    def on_noticed(self, call: Callable[[], None]) -> None:
        """Call this after every change that a handler can see: a stop, a shutdown, a lost lease, the end."""
        self._on_noticed = call

    def on_settled(self, call: Callable[[RunControl], None]) -> None:
        """Call this once when the run has ended."""
        self._on_settled = call

    def notify_settled(self) -> None:
        """Call who waits for the end of the run."""
        call, self._on_settled = self._on_settled, None
        if call is not None:
            call(self)
        self._notify()

    def _notify(self) -> None:
        if self._on_noticed is not None:
            self._on_noticed()

    def report_loss(self) -> bool:
        """Report to the observers, once, that the lease is lost, unless this run has just ended it.

        Observers never heard of a claim that was undone. While another thread writes for the run, or a transaction is
        open, nobody knows yet how the run ended: the loss is reported later then.

        Returns:
            Whether the loss was reported now.
        """
        if self._loss_reported or self.tracker.status is LeaseStatus.UNDONE or not self.writing.acquire(blocking=False):
            return False
        try:
            lost = self.tracker.status is LeaseStatus.LOST
            if self._loss_reported or not lost or self.context.repository.in_transaction():
                return False
            self._loss_reported = True
        finally:
            self.writing.release()
        if self.context.dispatcher is not None:
            self.context.dispatcher.deliver_unordered(LeaseLoss(self.job, self.context.clock.now()))
        return True

    def warn(self, message: str, *arguments: object, exc_info: BaseException | None = None) -> None:
        """Log a warning; its first `%d` is the id of the job."""
        logger.warning(message, self.id, *arguments, exc_info=exc_info, extra=bound(self.row))

    # Writes.

    def flush(self) -> None:
        """Write the reports. Raises LeaseLost."""
        with self.writing:
            if self._reports is None or not self._reports.dirty:
                return
            taken = self._take()
            if taken is NOTHING:
                return
            try:
                self.context.repository.reports.record(self.lease, taken)
            except BaseException as error:
                self._failed(error, taken)
                raise
            if taken is not NOTHING:
                self.reports.written(taken)

    def flush_if_free(self) -> None:
        """Write the reports on the heartbeat thread, which waits for the store first, and never for the handler.

        A handler inside a transaction holds the store and may want to write its progress; waiting for both in the
        other order would be a deadlock.
        """
        if self._reports is None or not self._reports.dirty:
            return
        taken, writing = NOTHING, False
        try:
            with self.context.repository.transaction(relaxed=True):
                writing = self.writing.acquire(blocking=False)
                if writing:
                    taken = self._take(sure=True)
                    if taken is not NOTHING:
                        self.context.repository.reports.record(self.lease, taken)
        except BaseException as error:
            self._failed(error, taken)
            raise
        finally:
            if writing:  # only after the commit: until then no thread may take the report for written
                self.writing.release()

    def write(self, write: Callable[[Report, int], T], *, reports: bool = True) -> T:
        """Write something under the lease, with the reports so far and the time; LeaseLost where the lease is gone.

        Args:
            write: The call of the store.
            reports: Whether to write the reports with it.
        """
        with self.writing:
            if not reports:
                self.check_claim()
            taken = self._take() if reports else NOTHING
            try:
                result = write(taken, self.context.clock.now())
            except BaseException as error:
                self._failed(error, taken)
                raise
            if taken is not NOTHING:
                self.reports.written(taken)
            return result

    def change(self, decide: Callable[[JobRow, int], Decision]) -> Decision:
        """Change the job under the lease; `decide` gets the row and the time."""
        leases = self.context.repository.leases
        return self.write(lambda taken, now: leases.change(self.lease, lambda job: decide(job, now), taken))

    def end(self, decide: Callable[[JobRow, int], Decision]) -> Job:
        """Change the job under the lease; the run has then ended."""
        with self.writing:
            decision = self.change(decide)
            self.note_end()
        return Job(decision.job)

    def heartbeat(self) -> Stop | None:
        """Renew the lease; see `Run.heartbeat`."""
        self.check_claim()
        context = self.context
        began = context.clock.monotonic()
        expiry = context.expiry_policy(str(self.row.worker_id), self.lease_seconds)
        lease = round(self.lease_seconds * 1_000_000)
        (renewal,) = context.repository.leases.renew([self.lease], lease, context.clock.now(), expiry)
        self.notice(renewal, began + self.lease_seconds)
        if not renewal.held:
            raise LeaseLost(self.id, self.token)
        return self.requests.stop

    # The verbs that end a run; `Run` documents them.

    def complete(self) -> None:
        """Complete the job."""
        with self.writing:
            self.write_completion()
            self.note_end()

    def fail(self, failure: Failure) -> Job:
        """Fail the run, after an entry in the log."""
        if failure != self._failure_noted:  # a busy store has this repeated
            self._failure_noted = failure
            self.reports.note(LogLevel.ERROR, failure.message, details=failure.traceback)
        chance = self.context.chance()
        return self.end(lambda job, now: rules.fail(job, self.token, failure, chance, now, self.actor))

    def release(self, delay_us: int = 0) -> Job:
        """Hand the job back, uncharged."""
        return self.end(lambda job, now: rules.release(job, self.token, now + delay_us, now, self.actor))

    def finish_stop(self) -> Job:
        """End a stop."""
        return self.end(lambda job, now: rules.finish_stop(job, self.token, now, self.actor))

    def hand_back(self) -> bool:
        """Release the job unless the run has ended, also by a write of another thread; whether it was released."""
        with self.writing:
            if self.settled:
                return False
            self.release()
            return True

    def confirm_end(self) -> None:
        """Ask the store whether an end in a transaction was kept or undone; LeaseLost where the lease is gone too."""
        if self.tracker.status is not LeaseStatus.ENDING:
            return
        self.check_claim()
        (renewal,) = self.context.repository.leases.look([self.lease])
        if renewal.held:
            self.tracker.move(LeaseEvent.END_UNDONE)
            return
        self._learn_of_end()
        if self.gone:
            raise LeaseLost(self.id, self.token)

    def lose(self) -> None:
        """A verb was refused: the lease is lost, unless the run had ended."""
        self.tracker.move(LeaseEvent.LEASE_LOST)

    def end_for_good(self) -> None:
        """The end was kept: nothing can undo it."""
        self.tracker.move(LeaseEvent.END_KEPT)
        if self._on_settled is not None or self._on_noticed is not None:
            self.notify_settled()

    def write_completion(self) -> None:
        """Complete the job; the caller holds `writing`, as it also notes the end."""
        taken = NOTHING if self._reports is None and not self.tracker.claim_open else self._take()
        leases = self.context.repository.leases
        now = self.context.clock.now()
        try:
            if taken is not NOTHING or leases.complete([self.lease], now, self.actor):
                leases.change(self.lease, lambda job: rules.complete(job, self.token, now, self.actor), taken)
        except BaseException as error:
            self._failed(error, taken)
            raise
        if taken is not NOTHING:
            self.reports.written(taken)

    def note_end(self) -> None:
        """A verb ended the job: for good, or as far as the open transaction goes."""
        if self.context.repository.in_transaction():
            self.tracker.move(LeaseEvent.END_PENDING)
        else:
            self.end_for_good()

    @classmethod
    def complete_many(cls, context: Context, controls: Sequence[Self]) -> list[Self]:
        """Complete these runs in one transaction; return those that could not be completed."""
        lost, ended_before = [], []
        with ExitStack() as until_decided:
            for control in controls:
                until_decided.enter_context(control.writing)
            with context.repository.transaction():
                for control in controls:
                    try:
                        control.write_completion()
                    except LeaseLost:
                        lost.append(control)
                    except TransitionNotAllowed:
                        ended_before.append(control)
            for control in controls:
                if control in lost:
                    control.lose()
                    control.report_loss()
                else:
                    control.note_end()
        return [control for control in controls if control in lost or control in ended_before]

    # The block, as observers want it to be entered and left, in one context.

    def enter_observed(self) -> None:
        """Enter the context managers of the observers."""
        if self.context.dispatcher is not None:
            self._observed = self.context.dispatcher.within(self.job)
            self._observed.__enter__()

    def leave_observed(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the context managers of the observers."""
        observed, self._observed = self._observed, None
        if observed is not None:
            observed.__exit__(kind, error, trace)

    def _take(self, *, sure: bool | None = None) -> Report:
        """Take the reports, after a check of the claim; LeaseLost if the claim was undone."""
        if self.tracker.claim_open:
            self.check_claim()
        return NOTHING if self._reports is None else self._reports.take(sure=sure)

    def _failed(self, error: BaseException, taken: Report) -> None:
        """Requeue the reports of a write that failed; a refusal says how the lease is."""
        if taken is not NOTHING:
            self.reports.put_back(taken)
        if not isinstance(error, LeaseLost):
            return
        if self.tracker.status is LeaseStatus.ENDING:
            self._learn_of_end()
        else:
            self.tracker.move(LeaseEvent.LEASE_LOST)
        if self.gone:
            self.report_loss()

    def _learn_of_end(self) -> None:
        """The lease is gone: by the end in a transaction that was kept, or, where that was undone, as a lost one."""
        if self._ended_itself():
            self.end_for_good()
        else:
            self.tracker.move(LeaseEvent.LEASE_LOST)

    def _ended_itself(self) -> bool:
        """Whether the history names this run as the end; a job that was removed had ended, nobody knows how."""
        events = self.context.repository.history.events(self.id)
        of_this_run = (event for event in events if event.attempt == self.row.attempt and event.from_state in LEASED)
        end = next((event for event in of_this_run if event.to_state not in LEASED), None)
        return not events or (end is not None and end.actor == self.actor.name)


def failure_of(error: BaseException, kind: FailureKind, domain: str | None = None) -> Failure:
    """The failure that an exception describes, with its traceback."""
    trace = "".join(traceback.format_exception(error))
    return Failure(_message_of(error), kind, domain or type(error).__qualname__, trace)


def _message_of(error: BaseException) -> str:
    """The text of an exception; the name of its type where the text is empty, or cannot be read."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  (whatever a stranger's __str__ raises, the job must not stay Running)
        return f"{type(error).__name__} (its message cannot be read)"
