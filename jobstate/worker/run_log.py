"""The log of a run, in the ways of `logging`: `run.log`, and a handler for loggers that exist already."""

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
"""What an entry may say beside its message."""
BOUND: Final = ("job_id", "kind", "attempt", "node", "token")
"""What tells a run from others in records of `logging`."""
_NAME: Final = "jobstate.run"
_NOTED: Final = "jobstate_noted"


class Logged(Protocol):
    """What entries are written to."""

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
        """Note an entry."""


def bound(job: JobRow) -> dict[str, object]:
    """What records of `logging` about a run of this job carry: `job_id`, `kind`, `attempt`, `node` and `token`."""
    return dict(zip(BOUND, (job.id, job.kind, job.attempt, job.worker_id, job.lease_token), strict=True))


_entered: ContextVar[tuple[Logged, ...]] = ContextVar("jobstate_runs", default=())
"""The runs whose blocks the thread is in, the innermost last."""


def enter(run: Logged) -> None:
    """From here on a `RunHandler` without a run of its own writes to this one."""
    _entered.set((*_entered.get(), run))


def leave(run: Logged) -> None:
    """Back to the innermost of the other runs, or none: leaving its block once ends a run, however it was entered."""
    _entered.set(tuple(entered for entered in _entered.get() if entered is not run))


def current() -> Logged | None:
    """The run whose `with` block the calling thread is in."""
    entered = _entered.get()
    return entered[-1] if entered else None


os.register_at_fork(after_in_child=lambda: _entered.set(()))


class RunHandler(logging.Handler):
    """Writes what is logged to the log of a job.

    Without a run, to that of the run whose `with` block the thread is in, and nowhere outside of one: install one on a
    logger when the program starts, and every job has what its own handler logged. With a run, all that it gets is
    written to that one, from every thread.

    `extra` may name `operator_id`, `task_index`, `details` and `record`. Below INFO nothing is kept, nor what a
    forked child logs in the block of its parent's run: it holds no lease.
    """

    def __init__(self, run: Logged | None = None, level: int = logging.INFO) -> None:
        super().__init__(max(level, logging.INFO))
        self._run = run
        self._process = pid()

    def emit(self, record: logging.LogRecord) -> None:
        """Note a record of `logging`."""
        run = current() if self._run is None else self._run
        if run is None or getattr(record, _NOTED, None) is run:
            return
        if run is self._run and self._process != pid():  # whose locks another thread may have held at the fork
            return
        setattr(record, _NOTED, run)  # it may come by again, through a logger above
        try:
            told = {name: getattr(record, name, None) for name in FIELDS}
            if told["details"] is None and record.exc_info and record.exc_info[0] is not None:
                told["details"] = "".join(traceback.format_exception(*record.exc_info))
            run.note(_level(record.levelno), record.getMessage(), **told)
        except Exception:  # noqa: BLE001  (as every handler of `logging` does: what is logged never fails a job)
            self.handleError(record)


class _PassingOn(logging.Handler):
    """Passes records on to the logger of that name, as far as its level, its filters and its handlers want them."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = logging.getLogger(_NAME)
        if logger.hasHandlers() and logger.isEnabledFor(record.levelno):
            logger.handle(record)


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """`run.log`: writes to the log of its job, and passes records on to the logger `jobstate.run`.

    Its methods are those of a logger, and take `operator_id`, `task_index`, `details` and `record` too:
    `run.log.error("cannot parse %s", name, operator_id="source_1", record=line)`.
    """

    def __init__(self, run: Logged) -> None:
        own = logging.Logger(_NAME, logging.INFO)
        own.addHandler(RunHandler(run))
        own.addHandler(_PassingOn())
        super().__init__(own)
        self._run = run

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move what an entry may say beside its message to where the handler finds it."""
        extra = {**bound(row_of(self._run.job)), **(kwargs.get("extra") or {})}
        extra.update({name: kwargs.pop(name) for name in FIELDS if name in kwargs})
        return msg, {**kwargs, "extra": extra}


def _level(number: int) -> LogLevel:
    if number >= logging.ERROR:
        return LogLevel.ERROR
    return LogLevel.WARN if number >= logging.WARNING else LogLevel.INFO
