"""One run of a job, from its claim to its end, as the worker that holds the lease sees it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType

from jobstate.domain import leases as rules
from jobstate.domain import rescale_requests, validation
from jobstate.domain.checkpoints import Checkpoint, OperatorState, point
from jobstate.domain.errors import JobStopping, LeaseLost
from jobstate.domain.failure import MAX_SUMMARY, Failure, FailureKind
from jobstate.domain.job import Job
from jobstate.domain.job_row import Lease
from jobstate.domain.logs import LogLevel
from jobstate.domain.metrics import Counters, OperatorWord
from jobstate.domain.progress import TableProgress
from jobstate.domain.stop import Stop
from jobstate.domain.validation import Json
from jobstate.worker.conclusion import conclude
from jobstate.worker.pending_requests import SHUTDOWN
from jobstate.worker.run_control import RunControl, failure_of
from jobstate.worker.run_log import RunLog, enter, leave


class Run:
    """A claimed job in the hands of its worker.

    Use it as a context manager: leaving the block completes the job, an exception fails it (and is logged, not
    raised), a stop that the handler has seen ends it as stopped. Or call the verbs; each names the lease, so that a
    run whose lease is lost raises `LeaseLost` and changes nothing.

    `JobStore.claim` and `JobStore.worker` make it. Several threads may report progress; one thread calls the verbs.
    """

    _log: RunLog | None = None

    def __init__(self, control: RunControl) -> None:
        self._control = control

    def __repr__(self) -> str:
        return f"<Run of {self.job!r}, token {self.token}>"

    def __enter__(self) -> Run:
        enter(self)
        self._control.enter_observed()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settle the job as the block ended; True for exceptions that have thereby been dealt with."""
        leave(self)
        self._control.leave_observed(kind, error, trace)
        return conclude(self._control, error)

    # The claim.

    @property
    def job(self) -> Job:
        """The job as it was claimed."""
        return self._control.job

    @property
    def id(self) -> int:
        """The id of the job."""
        return self._control.row.id

    @property
    def token(self) -> int:
        """The fencing token of this lease. Pass it to whatever the job writes outside: a later one is larger."""
        return self._control.row.lease_token

    @property
    def lease(self) -> Lease:
        """The lease that every write of this run names."""
        return self._control.lease

    @property
    def restored(self) -> Checkpoint | None:
        """The newest completed checkpoint, which the run starts from; None before any."""
        return self._control.claimed.restored

    @property
    def parallelism(self) -> int:
        """How many tasks the job runs with: as it was claimed, or as the last `rescaled` set it."""
        rescaled = self._control.requests.parallelism
        return self._control.row.parallelism if rescaled is None else rescaled

    # Requests and status: read from memory, for free.

    @property
    def rescale_to(self) -> int | None:
        """How many tasks the job is asked to run with instead, or None. Answer with `rescaled`, or `release` it.

        `rescaled` answers what was read last: read it once, and run with that.
        """
        requests = self._control.requests
        requests.rescale_read = requests.rescale_to
        return requests.rescale_read

    @property
    def stop(self) -> Stop | None:
        """The stop that was requested, with mode, deadline and reason, or None. Reading it counts as having seen it."""
        return self._control.requests.read_stop()

    @property
    def stopping(self) -> bool:
        """Whether the handler should end: a stop, a shutdown of the worker, or a lost lease."""
        requests = self._control.requests
        if requests.pending:
            requests.seen = True
        return requests.seen or self._control.lost

    @property
    def lost(self) -> bool:
        """Whether the lease is gone, or has run out by the clock of this process."""
        return self._control.lost

    @property
    def settled(self) -> bool:
        """Whether this run has ended, by one of its verbs or by a lost lease."""
        return self._control.settled

    def raise_if_stopping(self) -> None:
        """Raise if the handler should end. It reads memory only: cheap enough for every round of a loop.

        Raises:
            LeaseLost: Another worker may have the job by now; nothing more can be written.
            JobStopping: A stop was requested, or the worker is shutting down. Let it pass through the handler.
        """
        control = self._control
        if control.lost:
            raise LeaseLost(self.id, self.token)
        requests = control.requests
        if requests.shutdown or requests.stop is not None:
            stop, requests.seen = requests.stop, True
            if stop is not None:
                raise JobStopping(self.id, stop.mode.value, stop.reason)
            raise JobStopping(self.id, SHUTDOWN)

    # Reports: gathered in memory, written about once a second and before every change of state.

    @property
    def progress(self) -> dict[str, TableProgress]:
        """The progress by table, as this run has gathered it so far, from the restored checkpoint on."""
        return self._control.reports.progress.current()

    def add_range(self, table: str, first: int, last: int, *, files: int = 0, size_bytes: int = 0) -> None:
        """Add the blocks `first`..`last` (inclusive) of a table, and the files and bytes that hold them."""
        self._control.reports.progress.change(table, lambda progress: progress.added(first, last, files, size_bytes))

    def add_files(self, table: str, *, files: int = 1, size_bytes: int = 0) -> None:
        """Add files of a table that hold no block."""
        self._control.reports.progress.change(table, lambda progress: progress.counted(files, size_bytes))

    def set_progress(
        self,
        table: str,
        *,
        files_count: int | None = None,
        total_size_bytes: int | None = None,
        start_block: int | None = None,
        current_block: int | None = None,
    ) -> None:
        """Set the absolute progress of a table; what is not given stays as it is."""
        self._control.reports.progress.change(
            table, lambda progress: progress.replaced(files_count, total_size_bytes, start_block, current_block)
        )

    def metrics(
        self,
        operator_id: str,
        *,
        kind: OperatorWord | None = None,
        name: str | None = None,
        subtask: int = 0,
        records_in: int = 0,
        records_out: int = 0,
        bytes_in: int = 0,
        bytes_out: int = 0,
        errors: int = 0,
        warnings: int = 0,
        backpressure: float | None = None,
        idle: float | timedelta = 0,
        latency_ms: float | Iterable[float] = (),
    ) -> None:
        """Add to the counters of an operator of the job. In memory; call it as often as you like.

        The counters continue those of the checkpoint that the run starts from.

        Args:
            operator_id: The operator, 1..255 characters; at most 1,000 of them a job.
            kind: `source`, `transform` or `sink`; once is enough. `transform` until then.
            name: The operator's name for people; once is enough.
            subtask: Which of its parallel subtasks counted, from 0.
            records_in: How many records it read since the last call; the other counters likewise.
            records_out: How many records it wrote.
            bytes_in: How many bytes it read.
            bytes_out: How many bytes it wrote.
            errors: How many errors it met.
            warnings: How many warnings it gave.
            backpressure: Which part of its time the next operator holds it up, 0..1, as of now.
            idle: How long it had nothing to do since the last call.
            latency_ms: How long a record took, in milliseconds, or several of them.

        Raises:
            InvalidRequest: An argument is not as described; nothing was counted.
        """
        counted = Counters(records_in, records_out, bytes_in, bytes_out, errors, warnings)
        self._control.reports.metrics.count(
            operator_id,
            subtask,
            kind=kind,
            name=name,
            counted=counted,
            backpressure=backpressure,
            idle=idle,
            latency_ms=latency_ms,
        )

    @property
    def log(self) -> RunLog:
        """The log of the job, to be used like a logger of `logging`; see `RunLog`."""
        if self._log is None:
            self._log = RunLog(self)
        return self._log

    def note(
        self,
        level: LogLevel,
        message: str,
        *,
        operator_id: str | None = None,
        task_index: int | None = None,
        details: object = None,
        record: object = None,
    ) -> None:
        """Write to the log of the job; handlers use `log`. Text that is too long is cut, with a mark."""
        self._control.reports.note(
            level, message, operator_id=operator_id, task_index=task_index, details=details, record=record
        )

    def emit(self, operator_id: str, record: object) -> None:
        """Show a row that an operator writes, as a sample of its output; the newest 1,000 of each operator are kept.

        Args:
            operator_id: The operator, 1..255 characters.
            record: The row, as JSON; of one larger than 64 KiB only the beginning is kept.

        Raises:
            InvalidRequest: An argument is not as described.
        """
        self._control.reports.emit(operator_id, record)

    def flush(self) -> None:
        """Write the reports so far. Raises LeaseLost."""
        self._control.flush()

    # Checkpoints: written at once, or begun and then completed or failed.

    def checkpoint(
        self,
        state: Json = None,
        *,
        size_bytes: int | None = None,
        backend: str | None = None,
        location: str | None = None,
        operators: Iterable[OperatorState] = (),
    ) -> Checkpoint:
        """Write a completed checkpoint, from which the next run of the job starts: acknowledged means durable.

        Args:
            state: What the handler needs to continue from here, as JSON; None where it keeps that elsewhere.
            size_bytes: How large it is; by default the JSON and the states of the operators together.
            backend: What keeps the state, where that is not the store itself.
            location: Where the backend keeps it.
            operators: What each operator keeps in it.

        Returns:
            The checkpoint, with the progress reported so far as its snapshot.

        Raises:
            LeaseLost: The lease is gone; nothing was written.
        """
        control = self._control
        context, store = control.context, control.context.repository.reports
        details = point(context.descriptor_limit, state, size_bytes, backend, location, operators)
        keep = context.keep_checkpoints
        return control.write(lambda taken, now: store.checkpoint(control.lease, taken, details, keep, now))

    def begin_checkpoint(self, *, backend: str | None = None, location: str | None = None) -> Checkpoint:
        """Begin a checkpoint that takes its time: it covers the progress reported so far, and nothing later.

        Returns:
            The checkpoint, in progress. Pass it to `complete_checkpoint` or `fail_checkpoint`; one that is still in
            progress when the lease ends has failed.

        Raises:
            LeaseLost: The lease is gone; nothing was written.
        """
        control = self._control
        context, store = control.context, control.context.repository.reports
        details = point(context.descriptor_limit, backend=backend, location=location)
        return control.write(lambda taken, now: store.begin_checkpoint(control.lease, taken, details, now))

    def complete_checkpoint(
        self,
        checkpoint: Checkpoint,
        state: Json = None,
        *,
        size_bytes: int | None = None,
        backend: str | None = None,
        location: str | None = None,
        operators: Iterable[OperatorState] = (),
    ) -> Checkpoint:
        """Complete a checkpoint: the next run of the job starts from it. The arguments are those of `checkpoint`.

        Repeating it changes nothing.

        Raises:
            LeaseLost: The lease is gone, and the checkpoint failed.
            InvalidRequest: The checkpoint failed, or is another run's.
        """
        number = validation.instance("checkpoint", checkpoint, Checkpoint).number
        control = self._control
        context, store = control.context, control.context.repository.reports
        details = point(context.descriptor_limit, state, size_bytes, backend, location, operators)
        keep = context.keep_checkpoints
        return control.write(
            lambda taken, now: store.complete_checkpoint(control.lease, taken, number, details, keep, now)
        )

    def fail_checkpoint(self, checkpoint: Checkpoint, failure: str) -> Checkpoint:
        """Fail a checkpoint; the job continues, and a recovery starts from the checkpoint before.

        Repeating it changes nothing.

        Raises:
            LeaseLost: The lease is gone, and the checkpoint failed.
            InvalidRequest: The checkpoint was completed, or is another run's.
        """
        number = validation.instance("checkpoint", checkpoint, Checkpoint).number
        message = validation.storable(validation.message("failure", failure), MAX_SUMMARY)
        control = self._control
        keep, store = control.context.keep_checkpoints, control.context.repository.reports
        return control.write(
            lambda _, now: store.fail_checkpoint(control.lease, number, message, keep, now), reports=False
        )

    # The verbs: each names the lease; where the lease is lost, the verb raises `LeaseLost` and changes nothing.

    def heartbeat(self) -> Stop | None:
        """Renew the lease by its length from now. A `worker` does it on a thread of its own.

        Returns:
            The stop that was requested, or None.

        Raises:
            LeaseLost: The lease is gone, or its stop is past its deadline.
        """
        return self._control.heartbeat()

    def complete(self) -> None:
        """Complete the job. It overrides a pending stop. Repeating it with the same token changes nothing."""
        self._control.complete()

    def fail(self, failure: str | BaseException, *, retryable: bool = True, domain: str | None = None) -> Job:
        """Fail the run: the job is tried again later, or has failed for good when its attempts are spent.

        Args:
            failure: What went wrong: a message, or the exception, whose traceback is kept.
            retryable: False fails the job for good.
            domain: The origin of the failure; by default the type of the exception.

        Returns:
            The job: Recovering, Failed, or Stopped when a stop was pending.
        """
        if domain is not None:
            validation.instance("domain", domain, str)
        kind = FailureKind.ERROR if retryable else FailureKind.FATAL
        if isinstance(failure, BaseException):
            return self._control.fail(failure_of(failure, kind, domain))
        return self._control.fail(Failure(validation.message("failure", failure), kind, domain))

    def release(self, delay: float | timedelta = 0.0) -> Job:
        """Hand the job back, uncharged, to be claimed again after `delay`; Stopped when a stop was pending."""
        return self._control.release(validation.duration_us("delay", delay))

    def begin_stop(self) -> Job:
        """Accept the stop: the job is Stopping. A last checkpoint may follow."""
        control = self._control
        job = control.change(lambda job, now: rules.begin_stop(job, self.token, now, control.actor)).job
        control.requests.stop, control.requests.seen = job.stop, True
        return Job(job)

    def finish_stop(self) -> Job:
        """End the stop: the work has stopped, and the job is Stopped."""
        return self._control.finish_stop()

    def rescaled(self) -> Stop | None:
        """Report that the job now runs with the number of tasks that `rescale_to` returned last, its new `parallelism`.

        Where another number was requested since, the job stays Rescaling, and `rescale_to` returns that one next.

        Returns:
            The stop that came in between and dropped the request, or None.

        Raises:
            LeaseLost: The lease is gone.
        """
        control, requests = self._control, self._control.requests
        answer = self.parallelism if requests.rescale_read is None else requests.rescale_read
        job = control.change(lambda job, now: rescale_requests.resume(job, self.token, answer, now, control.actor)).job
        requests.parallelism, requests.rescale_to, requests.rescale_read = job.parallelism, job.rescale_to, None
        if job.stop is not None:
            requests.stop = job.stop
        return self.stop


def control_of(run: Run) -> RunControl:
    """The worker's side of a run, for the parts of jobstate that keep it alive and end it."""
    return run._control  # noqa: SLF001
