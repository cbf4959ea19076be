"""Handlers that a worker serves: what may be one, and the threads that call them."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable

from jobstate.core.context import Context
from jobstate.domain.errors import InvalidRequest, JobStateError
from jobstate.worker.heartbeat import HeartbeatThread
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_log import bound

Handler = Callable[[Run], None]
"""Does the work of one run. It returns nothing: so type checkers refuse an `async def`, which a call does not run."""

logger = logging.getLogger("jobstate.worker")


class HandlerThreads:
    """The threads of a worker that call handlers, one for each run.

    `len` is how many handlers have not ended; a handler ends when its job is settled and its connection closed.
    """

    def __init__(self, context: Context, heartbeat: HeartbeatThread) -> None:
        self._context = context
        self._heartbeat = heartbeat
        self._active: set[Run] = set()
        self._threads: dict[Run, threading.Thread] = {}

    def __len__(self) -> int:
        return len(self._active)

    def start(self, run: Run, handler: Handler) -> None:
        """Call the handler on a thread of its own."""
        self._active.add(run)
        thread = threading.Thread(target=self._handle, args=(run, handler), name=f"jobstate-{run.id}", daemon=True)
        self._threads[run] = thread
        thread.start()

    def join_ended(self) -> None:
        """Wait for the last lines of the threads whose handlers have ended, and forget these threads."""
        for run in [run for run in self._threads if run not in self._active]:
            self._threads.pop(run).join()

    def _handle(self, run: Run, handler: Handler) -> None:
        control = control_of(run)
        try:
            with run:
                call_handler(handler, run)
        except JobStateError:
            logger.exception("job %d could not be settled; its lease will run out", run.id, extra=bound(control.row))
        finally:
            self._context.repository.close_thread()
            self._active.discard(run)
            self._heartbeat.drop(control)


def check_handler(kind: str, handler: object, *, awaited: bool = False) -> None:
    """InvalidRequest unless a call with a run does the work, or where `awaited`, awaiting its result does."""
    if not callable(handler):
        raise InvalidRequest("handlers", f"has no callable for kind {kind!r}")
    generators = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    refused = generators if awaited else (inspect.iscoroutinefunction, *generators)
    if any(is_one(handler) for is_one in refused):
        hint = "" if awaited else "; jobstate.aio serves async ones"
        raise InvalidRequest(
            "handlers", f"has an async or generator function for kind {kind!r}, which a call only makes{hint}"
        )


def is_awaited(handler: object) -> bool:
    """Whether the handler is an `async def`, or an object whose `__call__` is one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def call_handler(handler: Callable[[Run], object], run: Run) -> object:
    """Call the handler; its `sys.exit` fails the job, as it cannot end the process from a thread."""
    try:
        return handler(run)
    except SystemExit as error:
        raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error
