"""What a worker reports about the job that it holds, always under its lease: progress, counters, log, output.

It is gathered in memory, and written about once a second and before every change of state.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from datetime import timedelta

from jobstate.core.context import Context
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest, LeaseLost
from jobstate.domain.logs import MAX_DETAILS, MAX_MESSAGE, LogEntry, LogLevel, details_text, level_of, shortened
from jobstate.domain.metrics import Counters
from jobstate.domain.output import OutputRow, record_text
from jobstate.domain.progress import TableProgress
from jobstate.domain.report import NOTHING, Report
from jobstate.ports.repository import Claimed
from jobstate.worker.entry_buffer import MAX_LOGS_WAITING, MAX_OUTPUT_WAITING, EntryBuffer
from jobstate.worker.holding import Holding
from jobstate.worker.metrics_buffer import MAX_OPERATORS, MetricsBuffer
from jobstate.worker.progress_buffer import ProgressBuffer
from jobstate.worker.run_log import RunLog

_LOG = "log"


class Reporting(Holding):
    """What is reported about a claimed job."""

    # Made when they are first needed: most runs are over before.
    _logger: RunLog | None = None
    _progress: ProgressBuffer | None = None
    _metrics: MetricsBuffer | None = None
    _logs: EntryBuffer[LogEntry] | None = None
    _output: EntryBuffer[OutputRow] | None = None
    _emitting: frozenset[str] = frozenset()

    def __init__(self, context: Context, claimed: Claimed) -> None:
        super().__init__(context, claimed)
        self._writing = threading.RLock()
        """Held from taking what is to be written until that is decided."""
        self._making = threading.RLock()

    @property
    def progress(self) -> dict[str, TableProgress]:
        """The progress by table, as this run has gathered it so far, from the restored checkpoint on."""
        return self._progressing().current()

    def add_range(self, table: str, first: int, last: int, *, files: int = 0, size_bytes: int = 0) -> None:
        """Add the blocks `first`..`last` (inclusive) of a table, and the files and bytes that hold them."""
        self._progressing().change(table, lambda progress: progress.added(first, last, files, size_bytes))

    def add_files(self, table: str, *, files: int = 1, size_bytes: int = 0) -> None:
        """Add files of a table that hold no block."""
        self._progressing().change(table, lambda progress: progress.counted(files, size_bytes))

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
        self._progressing().change(
            table, lambda progress: progress.replaced(files_count, total_size_bytes, start_block, current_block)
        )

    def metrics(
        self,
        operator_id: str,
        *,
        kind: str | None = None,
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
        """Add to what an operator of the job has counted. In memory; call it as often as you like.

        The counters go on from those of the checkpoint that the run starts from.

        Args:
            operator_id: The operator, 1..255 characters; at most 1,000 of them a job.
            kind: `source`, `transform` or `sink`; said once. `transform` until then.
            name: What people call the operator; said once.
            subtask: Which of its parallel subtasks counted, from 0.
            records_in: How many records it read since the last call; so with the other counters.
            records_out: How many it wrote.
            bytes_in: How many bytes it read.
            bytes_out: How many bytes it wrote.
            errors: How many errors it met.
            warnings: How many warnings it gave.
            backpressure: How much of its time it is held up by what comes after it, 0..1, as of now.
            idle: How long it had nothing to do since the last call.
            latency_ms: How long a record took, in milliseconds, or several of them.

        Raises:
            InvalidRequest: An argument is not as described; nothing was counted.
        """
        counted = Counters(records_in, records_out, bytes_in, bytes_out, errors, warnings)
        self._metering().count(
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
        if self._logger is None:
            self._logger = RunLog(self)
        return self._logger

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
        """Write to the log of the job; `log` is what handlers use. What is too long is cut, with a mark."""
        now = self._context.clock.now()
        told = level_of(level)
        operator = None if operator_id is None else validation.text("operator_id", operator_id)
        task = None if task_index is None else validation.integer("task_index", task_index, 0, validation.MAX_ID)
        said, more = shortened(message, MAX_MESSAGE), details_text(details)
        about = None if record is None else shortened(record, MAX_DETAILS)
        self._log_journal().add(LogEntry(0, now, told, operator, task, said, more, about))

    def emit(self, operator_id: str, record: object) -> None:
        """Show a row of what an operator writes, for those who want to see it; the newest 1,000 of each are kept.

        Args:
            operator_id: The operator, 1..255 characters.
            record: The row, as JSON; one larger than 64 KiB is told by its beginning.

        Raises:
            InvalidRequest: An argument is not as described.
        """
        operator = validation.text("operator_id", operator_id)
        row = OutputRow(operator, 0, self._context.clock.now(), record_text(record))
        self._output_journal(operator).add(row)

    def flush(self) -> None:
        """Write what was reported so far. Raises LeaseLost."""
        with self._writing:
            if not self._dirty:
                return
            taken = self._take()
            if taken is NOTHING:
                return
            try:
                self._context.repository.reports.record(self.lease, taken)
            except BaseException as error:
                self._failed(error, taken)
                raise
            self._written(taken)

    def flush_if_free(self) -> None:
        """As `flush`, for the thread beside the handler: it waits for the store first, and never for the handler.

        A handler inside a transaction holds the store and may want to write its progress; waiting for both in the
        other order would be a deadlock.
        """
        if not self._dirty:
            return
        taken, writing = NOTHING, False
        try:
            with self._context.repository.transaction():
                writing = self._writing.acquire(blocking=False)
                if writing:
                    taken = self._take(sure=True)
                    if taken is not NOTHING:
                        self._context.repository.reports.record(self.lease, taken)
        except BaseException as error:
            self._failed(error, taken)
            raise
        finally:
            if writing:  # only now: until it is committed, nobody may take it for written
                self._writing.release()

    def _progressing(self) -> ProgressBuffer:
        with self._making:
            if self._progress is None:
                self._progress = ProgressBuffer(self._claimed.progress)
            return self._progress

    def _metering(self) -> MetricsBuffer:
        with self._making:
            if self._metrics is None:
                self._metrics = MetricsBuffer(self._claimed.metrics, self._row.claimed_us or 0)
            return self._metrics

    def _log_journal(self) -> EntryBuffer[LogEntry]:
        with self._making:
            if self._logs is None:
                telemetry = self._context.repository.telemetry
                made: EntryBuffer[LogEntry] = EntryBuffer(
                    MAX_LOGS_WAITING,
                    lambda _: _LOG,
                    lambda: {_LOG: telemetry.newest_log(self.id)},
                    counts_lost=False,  # an entry tells of them
                )
                self._logs = self._logs or made  # an entry may have come while it was made: see `Journal`
            return self._logs

    def _output_journal(self, operator_id: str) -> EntryBuffer[OutputRow]:
        with self._making:
            if self._output is None:
                telemetry = self._context.repository.telemetry
                self._output = EntryBuffer(
                    MAX_OUTPUT_WAITING,
                    lambda row: row.operator_id,
                    lambda: telemetry.emitted(self.id),
                    counts_lost=True,
                )
            if operator_id not in self._emitting:
                if len(self._emitting) >= MAX_OPERATORS:
                    raise InvalidRequest(
                        "operator_id", f"would be one of more than {MAX_OPERATORS} operators of one run"
                    )
                self._emitting = self._emitting | {operator_id}
            return self._output

    @property
    def _dirty(self) -> bool:
        parts = (self._progress, self._metrics, self._logs, self._output)
        return any(part is not None and part.dirty for part in parts)

    def _take(self, *, sure: bool | None = None) -> Report:
        """All that is to be written, or `NOTHING`; it counts as written until `_failed`. LeaseLost without a claim."""
        if self._tentative:
            self._check_claim()
        if self._metrics is None and self._logs is None and self._output is None:
            progress = None if self._progress is None else self._progress.take()
            return Report(progress) if progress else NOTHING
        if sure is None:
            sure = not self._context.repository.in_transaction()
        taken = Report(bounds=self._context.bounds)
        try:
            if self._logs is not None:
                self._tell_of_losses(self._logs)
                taken = taken._replace(logs=self._logs.take(sure=sure))
            if self._output is not None:
                taken = taken._replace(output=self._output.take(sure=sure))
        except BaseException:
            self._put_back(taken)
            raise
        if self._metrics is not None:
            taken = taken._replace(metrics=self._metrics.take(self._context.clock.now()))
        if self._progress is not None:
            taken = taken._replace(progress=self._progress.take())
        return taken or NOTHING

    def _tell_of_losses(self, logs: EntryBuffer[LogEntry]) -> None:
        lost = logs.lost()
        if lost:
            self.note(LogLevel.WARN, f"{lost} entries are lost: they came faster than they could be written")

    def _written(self, taken: Report) -> None:
        """Inside a transaction that may yet be undone, what was written may have to be written again."""
        if taken is NOTHING or not self._context.repository.in_transaction():
            return
        self._put_back(Report(taken.progress, taken.metrics))  # absolute numbers: twice is once
        if self._logs is not None:
            self._logs.doubt(taken.logs)
        if self._output is not None:
            self._output.doubt(taken.output)

    def _failed(self, error: BaseException, taken: Report) -> None:
        self._put_back(taken)
        if isinstance(error, LeaseLost):
            self._lost = True

    def _put_back(self, taken: Report) -> None:
        if self._progress is not None:
            self._progress.put_back(taken.progress)
        if self._metrics is not None:
            self._metrics.put_back(taken.metrics)
        if self._logs is not None:
            self._logs.put_back(taken.logs)
        if self._output is not None:
            self._output.put_back(taken.output)
