"""The reports of one run: progress, metrics, log and output, buffered until the run writes them under its lease.

The heartbeat thread flushes them about once a second; every change of state and every checkpoint writes them first.
"""

from __future__ import annotations

import threading
from typing import Final

from jobstate.core.context import Context
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.logs import MAX_DETAILS, MAX_MESSAGE, LogEntry, LogLevel, details_text, level_of, shortened
from jobstate.domain.output import OutputRow, record_text
from jobstate.domain.report import NOTHING, Report
from jobstate.ports.repository import Claimed
from jobstate.worker.entry_buffer import MAX_LOGS_WAITING, MAX_OUTPUT_WAITING, EntryBuffer
from jobstate.worker.metrics_buffer import MAX_OPERATORS, MetricsBuffer
from jobstate.worker.progress_buffer import ProgressBuffer

_LOG: Final = "log"


class ReportBuffers:
    """Owns the buffers of one run. Safe to use from several threads; the caller lets one thread at a time write."""

    # Each buffer is made when it is first needed: most runs end before.
    _progress: ProgressBuffer | None = None
    _metrics: MetricsBuffer | None = None
    _logs: EntryBuffer[LogEntry] | None = None
    _output: EntryBuffer[OutputRow] | None = None
    _operators: frozenset[str] = frozenset()

    def __init__(self, context: Context, claimed: Claimed) -> None:
        self._context = context
        self._claimed = claimed
        self._lock = threading.RLock()

    @property
    def progress(self) -> ProgressBuffer:
        """The progress by table."""
        with self._lock:
            if self._progress is None:
                self._progress = ProgressBuffer(self._claimed.progress)
            return self._progress

    @property
    def metrics(self) -> MetricsBuffer:
        """The counters by operator and subtask."""
        with self._lock:
            if self._metrics is None:
                self._metrics = MetricsBuffer(self._claimed.metrics, self._claimed.job.claimed_us or 0)
            return self._metrics

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
        """Add an entry to the log; see `Run.note`."""
        now = self._context.clock.now()
        checked_level = level_of(level)
        operator = None if operator_id is None else validation.text("operator_id", operator_id)
        task = None if task_index is None else validation.integer("task_index", task_index, 0, validation.MAX_ID)
        text, more = shortened(message, MAX_MESSAGE), details_text(details)
        about = None if record is None else shortened(record, MAX_DETAILS)
        self._log_buffer().add(LogEntry(0, now, checked_level, operator, task, text, more, about))

    def emit(self, operator_id: str, record: object) -> None:
        """Add a row of output; see `Run.emit`."""
        operator = validation.text("operator_id", operator_id)
        row = OutputRow(operator, 0, self._context.clock.now(), record_text(record))
        self._output_buffer(operator).add(row)

    @property
    def dirty(self) -> bool:
        """Whether a buffer holds something to write."""
        buffers = (self._progress, self._metrics, self._logs, self._output)
        return any(buffer is not None and buffer.dirty for buffer in buffers)

    def take(self, *, sure: bool | None = None) -> Report:
        """Take everything to write, or `NOTHING`; it counts as written until `put_back`.

        Args:
            sure: No transaction is open, so what is written stays written; None: ask the store.
        """
        if self._metrics is None and self._logs is None and self._output is None:
            progress = None if self._progress is None else self._progress.take()
            return Report(progress) if progress else NOTHING
        if sure is None:
            sure = not self._context.repository.in_transaction()
        taken = Report(bounds=self._context.bounds)
        try:
            if self._logs is not None:
                self._note_losses(self._logs)
                taken = taken._replace(logs=self._logs.take(sure=sure))
            if self._output is not None:
                taken = taken._replace(output=self._output.take(sure=sure))
        except BaseException:
            self.put_back(taken)
            raise
        if self._metrics is not None:
            taken = taken._replace(metrics=self._metrics.take(self._context.clock.now()))
        if self._progress is not None:
            taken = taken._replace(progress=self._progress.take())
        return taken or NOTHING

    def put_back(self, taken: Report) -> None:
        """Requeue a report whose write failed."""
        if self._progress is not None:
            self._progress.put_back(taken.progress)
        if self._metrics is not None:
            self._metrics.put_back(taken.metrics)
        if self._logs is not None:
            self._logs.put_back(taken.logs)
        if self._output is not None:
            self._output.put_back(taken.output)

    def written(self, taken: Report) -> None:
        """Keep what was written inside an open transaction, which may undo it, to write it again if it does."""
        if not self._context.repository.in_transaction():
            return
        self.put_back(Report(taken.progress, taken.metrics))  # absolute numbers: twice is once
        if self._logs is not None:
            self._logs.keep_unsure(taken.logs)
        if self._output is not None:
            self._output.keep_unsure(taken.output)

    def _log_buffer(self) -> EntryBuffer[LogEntry]:
        with self._lock:
            if self._logs is None:
                telemetry, job_id = self._context.repository.telemetry, self._claimed.job.id
                made: EntryBuffer[LogEntry] = EntryBuffer(
                    MAX_LOGS_WAITING,
                    lambda _: _LOG,
                    lambda: {_LOG: telemetry.newest_log(job_id)},
                    counts_lost=False,  # `_note_losses` writes an entry about them
                )
                self._logs = self._logs or made  # an entry may have come while it was made: see `EntryBuffer`
            return self._logs

    def _output_buffer(self, operator_id: str) -> EntryBuffer[OutputRow]:
        with self._lock:
            if self._output is None:
                telemetry, job_id = self._context.repository.telemetry, self._claimed.job.id
                self._output = EntryBuffer(
                    MAX_OUTPUT_WAITING,
                    lambda row: row.operator_id,
                    lambda: telemetry.emitted(job_id),
                    counts_lost=True,
                )
            if operator_id not in self._operators:
                if len(self._operators) >= MAX_OPERATORS:
                    raise InvalidRequest(
                        "operator_id", f"would be one of more than {MAX_OPERATORS} operators of one run"
                    )
                self._operators = self._operators | {operator_id}
            return self._output

    def _note_losses(self, logs: EntryBuffer[LogEntry]) -> None:
        lost = logs.lost()
        if lost:
            self.note(LogLevel.WARN, f"{lost} entries are lost: they came faster than they could be written")
