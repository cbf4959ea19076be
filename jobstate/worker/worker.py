"""A worker: claims jobs one after the other, or serves handlers with several at once."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from types import TracebackType
from typing import Final

from jobstate.core.context import Context
from jobstate.core.watch import PollInterval
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest, JobStateError
from jobstate.domain.job import row_of
from jobstate.ports.repository import WorkerInfo
from jobstate.system import Clock, host, pid
from jobstate.worker.heartbeat import HeartbeatThread
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_log import bound
from jobstate.worker.session import WorkerSession
from jobstate.worker.signals import shutdown_on_signal

Handler = Callable[[Run], object]

LOOK_AGAIN: Final = 0.25
"""Seconds after which an idle worker looks for work that no write announced: a delay or a lease that ran out."""
BUSY_PAUSE: Final = 0.1
"""Seconds before another attempt, where the store or the heart was not well."""
LAST_PAUSE: Final = 2.0
"""Seconds beyond its patience that a worker which is to end waits for the store to take back its jobs."""

logger = logging.getLogger("jobstate.worker")


class Worker:
    """Claims jobs and keeps their leases alive. Made by `JobStore.worker`.

    Iterate over it inside its `with` block, and use each run as a context manager; or let `serve` call handlers. It
    ends when `shut_down` was called, or at SIGINT or SIGTERM: then no more is claimed, handlers see it through
    `run.raise_if_stopping`, and what is still held after the shutdown timeout is handed back, uncharged.
    """

    def __init__(
        self,
        context: Context,
        node_id: str,
        *,
        kinds: Sequence[str] | None,
        lease: float | timedelta,
        shutdown_timeout: float | timedelta,
        until_idle: bool,
    ) -> None:
        self.node_id = validation.text("node_id", node_id)
        self._kinds = validation.kinds(kinds)
        self._lease = validation.duration_us("lease", lease, positive=True) / 1_000_000
        self._patience = validation.seconds_of("shutdown_timeout", shutdown_timeout)
        self._until_idle = until_idle
        self._context = context
        self._pauses = PollInterval()
        self._ending = False  # only ever set, also by a signal handler, which must not take a lock
        self._shift: WorkerSession | None = None
        self._entered = ExitStack()

    def __enter__(self) -> Worker:
        self._begin(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __iter__(self) -> Iterator[Run]:
        """Claim one job after the other; a run that the loop leaves unsettled is handed back, with a warning."""
        shift = self._at_work()
        while True:
            runs = self._claim(shift, self._kinds, 1)
            if not runs:
                return
            (run,) = runs
            try:
                yield run
            finally:
                if not run.settled:
                    logger.warning(
                        "job %d was left unsettled and is handed back: use `with run:`",
                        run.id,
                        extra=bound(row_of(run.job)),
                    )
                    shift.heart.hand_back()

    def serve(self, handlers: Mapping[str, Handler], concurrency: int = 1) -> None:
        """Run jobs with the handler for their kind, `concurrency` at a time, each on a thread, until told to end.

        Args:
            handlers: Called with the run; returning completes the job, an exception fails it. Only these kinds are
                claimed.
            concurrency: 1..1000.
        """
        validation.integer("concurrency", concurrency, 1, 1000)
        kinds = self._kinds_of(handlers)
        for kind in kinds:
            check_handler(kind, handlers.get(kind))
        if self._shift is not None:
            self._serve(self._shift, kinds, handlers, concurrency)
            return
        shift = self._begin(concurrency)
        try:
            self._serve(shift, kinds, handlers, concurrency)
        finally:
            self._end()

    def shut_down(self) -> None:
        """End soon: claim no more, ask the handlers to end, hand back what they still hold after the timeout."""
        self._ending = True

    def _kinds_of(self, handlers: Mapping[str, object]) -> Sequence[str]:
        """The kinds to claim where these handlers serve."""
        if not handlers or not isinstance(handlers, Mapping):
            raise InvalidRequest("handlers", "must name at least one kind and its handler")
        return self._kinds or validation.kinds(list(handlers)) or []

    def _sign_on(self, concurrency: int) -> WorkerSession:
        now = self._context.clock.now()
        kinds = None if self._kinds is None else tuple(self._kinds)
        info = WorkerInfo(self.node_id, now, now, host(), pid(), kinds, concurrency)
        return WorkerSession(self._context, info, self._lease, lambda: self._ending, self._patience)

    def _begin(self, concurrency: int) -> WorkerSession:
        if self._shift is not None:
            raise InvalidRequest("worker", f"{self.node_id} is at work already; make another one")
        self._ending = False
        with ExitStack() as entered:
            entered.enter_context(shutdown_on_signal(self.shut_down))
            shift = self._sign_on(concurrency)
            self._entered = entered.pop_all()
        self._shift = shift
        return shift

    def _end(self) -> None:
        shift = self._at_work()
        try:
            shift.sign_off()
        finally:
            self._shift = None
            self._entered.close()

    def _at_work(self) -> WorkerSession:
        if self._shift is None:
            raise InvalidRequest("worker", "is used inside its `with` block, which starts the heartbeats")
        return self._shift

    def _claim(
        self, shift: WorkerSession, kinds: Sequence[str] | None, limit: int, active: Collection[Run] = ()
    ) -> list[Run]:
        """Claim up to `limit` runs; wait for the first. Empty when the worker shall end.

        Args:
            shift: What claims.
            kinds: Only these.
            limit: The most runs to claim.
            active: The runs whose handlers have not ended; an idle worker has none.
        """
        while not self._ending:
            busy = bool(active)
            attempt = shift.attempt(kinds, limit)
            if attempt.runs:
                self._pauses.reset()
                return attempt.runs
            if attempt.idle and self._until_idle and not active:
                return []
            if attempt.seen is None:
                self._context.real_sleep(BUSY_PAUSE)
            else:
                self._wait_for_work(attempt.seen, active, busy=busy)
        return []

    def _wait_for_work(self, seen: int, active: Collection[Run], *, busy: bool) -> None:
        """Until something was written, the last handler ended, a delay may have run out, or the worker shall end."""
        waited = 0.0
        while (
            waited < LOOK_AGAIN
            and not self._ending
            and (active or not busy)
            and self._context.repository.version() == seen
        ):
            pause = self._pauses.next()
            self._context.real_sleep(pause)
            waited += pause

    def _serve(
        self, shift: WorkerSession, kinds: Sequence[str], handlers: Mapping[str, Handler], concurrency: int
    ) -> None:
        heart = shift.heart
        active: set[Run] = set()
        threads: dict[Run, threading.Thread] = {}
        grace = Grace(self._context.clock, self._patience)
        try:
            while not self._ending:
                if len(active) >= concurrency:
                    if heart.error is not None:
                        raise heart.error
                    heart.wait_for_change(LOOK_AGAIN)
                    continue
                runs = self._claim(shift, kinds, concurrency - len(active), active)
                if not runs:
                    break
                _join_ended(threads, active)
                for run in runs:
                    active.add(run)
                    arguments = (run, handlers[run.job.kind], heart, active)
                    threads[run] = threading.Thread(
                        target=self._handle, args=arguments, name=f"jobstate-{run.id}", daemon=True
                    )
                    threads[run].start()
            while active and heart.error is None and not grace.over(ending=self._ending, held=heart.held()):
                heart.wait_for_change(LOOK_AGAIN)
        finally:
            _join_ended(threads, active)

    def _handle(self, run: Run, handler: Handler, heart: HeartbeatThread, active: set[Run]) -> None:
        try:
            with run:
                call(handler, run)
        except JobStateError:
            logger.exception(
                "job %d could not be settled; its lease will run out", run.id, extra=bound(row_of(run.job))
            )
        finally:
            self._context.repository.close_thread()
            active.discard(run)
            heart.drop(control_of(run))


class Grace:
    """How long a worker waits for its handlers once it shall end.

    Args:
        clock: What measures it.
        patience: Seconds that the handlers have; then their jobs are handed back, which the store may delay.
    """

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._until: float | None = None

    def over(self, *, ending: bool, held: int) -> bool:
        """Whether the worker leaves the handlers that are still at work; `held` of their runs have their lease."""
        if not ending:
            return False
        now = self._clock.monotonic()
        if self._until is None:
            self._until = now + self._patience
        return now >= self._until + (LAST_PAUSE if held else 0.0)


def _join_ended(threads: dict[Run, threading.Thread], active: Collection[Run]) -> None:
    """Wait for the last lines of the threads whose handlers have ended, and forget these threads."""
    for run in [run for run in threads if run not in active]:
        threads.pop(run).join()


def check_handler(kind: str, handler: object, *, awaited: bool = False) -> None:
    """InvalidRequest unless it can be called with a run, and then does the work, or once what it makes is awaited."""
    if not callable(handler):
        raise InvalidRequest("handlers", f"has no callable for kind {kind!r}")
    makes = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    if any(is_one(handler) for is_one in (makes if awaited else (inspect.iscoroutinefunction, *makes))):
        hint = "" if awaited else "; jobstate.aio serves async ones"
        raise InvalidRequest(
            "handlers", f"has an async or generator function for kind {kind!r}, which a call only makes{hint}"
        )


def is_awaited(handler: object) -> bool:
    """Whether it is an `async def`, or an object that is called like one."""
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def call(handler: Handler, run: Run) -> object:
    """Call the handler; its `sys.exit` is a failure of the job, as it cannot end the process from a thread."""
    try:
        return handler(run)
    except SystemExit as error:
        raise RuntimeError(f"the handler called sys.exit({error.code!r})") from error
