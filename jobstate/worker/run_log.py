"""The log of a run as a logger of `logging`: `run.log`, and a handler for loggers that exist already."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any, Final, Protocol

from jobstate.domain.job import Job, row_of
from jobstate.domain.job_row import JobRow
from jobstate.domain.logs import LogLevel
from jobstate.system import pid

FIELDS: Final = ("operator_id", "task_index", "details", "record")
"""The fields of an entry beside its message, by their names in `extra`."""
BOUND: Final = ("job_id", "kind", "attempt", "node", "token")
"""The attributes of a record that identify its run."""
_NAME: Final = "jobstate.run"
_NOTED: Final = "jobstate_noted"


class Logged(Protocol):
    """A run, as far as its log needs it."""

    @property
    def job(self) -> Job:
        """The job that entries are about."""

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
        """Add an entry to the log."""


def bound(job: JobRow) -> dict[str, object]:
    """The attributes that identify a run in records of `logging`: `job_id`, `kind`, `attempt`, `node` and `token`."""
    return dict(zip(BOUND, (job.id, job.kind, job.attempt, job.worker_id, job.lease_token), strict=True))


_entered: ContextVar[tuple[Logged, ...]] = ContextVar("jobstate_runs", default=())
"""The runs whose blocks the thread is in; the innermost is last."""


def enter(run: Logged) -> None:
    """Begin a block: from here on a `RunHandler` without a run of its own writes to this run."""
    _entered.set((*_entered.get(), run))


def leave(run: Logged) -> None:
    """End the block: the innermost of the other runs is current again, also where a run was entered twice."""
    _entered.set(tuple(entered for entered in _entered.get() if entered is not run))


def current() -> Logged | None:
    """The run whose `with` block the calling thread is in."""
    entered = _entered.get()
    return entered[-1] if entered else None


os.register_at_fork(after_in_child=lambda: _entered.set(()))


class RunHandler(logging.Handler):
    """Writes records of `logging` to the log of a job.

    Without a run, it writes to the run whose `with` block the thread is in, and nowhere outside of a block: add one to
    a logger when the program starts, and every job gets the records of its own handler. With a run, it writes every
    record to that run, from every thread.

    `extra` may name `operator_id`, `task_index`, `details` and `record`. It drops records below INFO, and those of a
    forked child in the block of its parent's run: the child holds no lease.
    """

    def __init__(self, run: Logged | None = None, level: int = logging.INFO) -> None:
        super().__init__(max(level, logging.INFO))
        self._run = run
        self._process = pid()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record to the log of its run."""
        run = current() if self._run is None else self._run
        if run is None or getattr(record, _NOTED, None) is run:
            return
        if run is self._run and self._process != pid():  # whose locks another thread may have held at the fork
            return
        setattr(record, _NOTED, run)  # it may come by again, through a logger above
        try:
            fields = {name: getattr(record, name, None) for name in FIELDS}
            if fields["details"] is None and record.exc_info and record.exc_info[0] is not None:
                fields["details"] = "".join(traceback.format_exception(*record.exc_info))
            run.note(_level(record.levelno), record.getMessage(), **fields)
        except Exception:  # noqa: BLE001  (as every handler of `logging` does: what is logged never fails a job)
            self.handleError(record)


class _Forwarder(logging.Handler):
    """Forwards records to the logger `jobstate.run`, which applies its level, filters and handlers."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(_NAME)
        if logger.hasHandlers() and logger.isEnabledFor(record.levelno):
            logger.handle(record)


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """`run.log`: writes to the log of its job, and forwards records to the logger `jobstate.run`.

    Its methods are those of a logger, and take `operator_id`, `task_index`, `details` and `record` too:
    `run.log.error("cannot parse %s", name, operator_id="source_1", record=line)`.
    """

    def __init__(self, run: Logged) -> None:
        own = logging.Logger(_NAME, logging.INFO)
        own.addHandler(RunHandler(run))
        own.addHandler(_Forwarder())
        super().__init__(own)
        self._run = run

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move the fields of the entry into `extra`, where the handler reads them."""
        extra = {**bound(row_of(self._run.job)), **(kwargs.get("extra") or {})}
        extra.update({name: kwargs.pop(name) for name in FIELDS if name in kwargs})
        return msg, {**kwargs, "extra": extra}


def _level(number: int) -> LogLevel:
    if number >= logging.ERROR:
        return LogLevel.ERROR
    return LogLevel.WARN if number >= logging.WARNING else LogLevel.INFO
