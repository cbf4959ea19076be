"""A worker: claims jobs one by one, or serves handlers with several at once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import ExitStack
from types import TracebackType

from jobstate.core.watch import PollInterval
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import row_of
from jobstate.worker.handlers import Handler, HandlerThreads, check_handler
from jobstate.worker.run import Run
from jobstate.worker.run_log import bound
from jobstate.worker.session import WorkerSession
from jobstate.worker.signals import shutdown_on_signal
from jobstate.worker.worker_control import BUSY_PAUSE, POLL_TIMEOUT, ShutdownTimer, WorkerControl

logger = logging.getLogger("jobstate.worker")


class Worker:
    """Claims jobs and keeps their leases alive. Made by `JobStore.worker`.

    Iterate over it inside its `with` block, and use each run as a context manager; or let `serve` call handlers.
    `shut_down`, SIGINT or SIGTERM end it: it claims no more, `run.raise_if_stopping` raises in its handlers, and after
    the shutdown timeout it hands back the jobs that they still hold, uncharged.
    """

    def __init__(self, control: WorkerControl) -> None:
        self._control = control
        self._poll_interval = PollInterval()
        self._session: WorkerSession | None = None
        self._exit_stack = ExitStack()

    @property
    def node_id(self) -> str:
        """Its name."""
        return self._control.node_id

    def __enter__(self) -> Worker:
        self._start(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def __iter__(self) -> Iterator[Run]:
        """Claim one job after the other; hand back a run that the loop leaves unsettled, with a warning."""
        session = self._open_session()
        while True:
            runs = self._claim(session, self._control.kinds, 1)
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
                    session.heartbeat.hand_back()

    def serve(self, handlers: Mapping[str, Handler], concurrency: int = 1) -> None:
        """Run jobs with the handler for their kind, `concurrency` at a time, each on a thread, until it is shut down.

        It returns after the last handler has ended and its job is settled. Only handlers that have not ended at the
        timeout of a shutdown are left at work.

        Args:
            handlers: By kind; called with the run. Returning completes the job, an exception fails it. Only these
                kinds are claimed.
            concurrency: 1..1000.
        """
        validation.integer("concurrency", concurrency, 1, 1000)
        kinds = self._control.kinds_for(handlers)
        for kind in kinds:
            check_handler(kind, handlers.get(kind))
        if self._session is not None:
            self._serve(self._session, kinds, handlers, concurrency)
            return
        session = self._start(concurrency)
        try:
            self._serve(session, kinds, handlers, concurrency)
        finally:
            self._stop()

    def shut_down(self) -> None:
        """Claim no more, ask the handlers to end, and hand back what they still hold after the shutdown timeout."""
        self._control.shutting_down = True

    def _start(self, concurrency: int) -> WorkerSession:
        if self._session is not None:
            raise InvalidRequest("worker", f"{self.node_id} is at work already; make another one")
        self._control.shutting_down = False
        with ExitStack() as stack:
            stack.enter_context(shutdown_on_signal(self.shut_down))
            session = self._control.sign_on(concurrency)
            self._exit_stack = stack.pop_all()
        self._session = session
        return session

    def _stop(self) -> None:
        session = self._open_session()
        try:
            session.sign_off()
        finally:
            self._session = None
            self._exit_stack.close()

    def _open_session(self) -> WorkerSession:
        if self._session is None:
            raise InvalidRequest("worker", "is used inside its `with` block, which starts the heartbeats")
        return self._session

    def _claim(
        self, session: WorkerSession, kinds: Sequence[str] | None, limit: int, handlers: Sized = ()
    ) -> list[Run]:
        """Claim up to `limit` runs; wait for the first. Empty when the worker shall end.

        Args:
            session: Claims the jobs.
            kinds: Only these.
            limit: The most runs to claim.
            handlers: Those that have not ended; an idle worker has none.
        """
        control = self._control
        while not control.shutting_down:
            busy = len(handlers) > 0
            attempt = session.attempt(kinds, limit)
            if attempt.runs:
                self._poll_interval.reset()
                return attempt.runs
            if attempt.idle and control.until_idle and not len(handlers):
                return []
            if attempt.seen is None:
                control.context.real_sleep(BUSY_PAUSE)
            else:
                self._wait_for_work(attempt.seen, handlers, busy=busy)
        return []

    def _wait_for_work(self, seen: int, handlers: Sized, *, busy: bool) -> None:
        """Wait for a write, the end of the last handler, a shutdown, or until a delay may have run out."""
        control, waited = self._control, 0.0
        while (
            waited < POLL_TIMEOUT
            and not control.shutting_down
            and (len(handlers) or not busy)
            and control.context.repository.version() == seen
        ):
            pause = self._poll_interval.next()
            control.context.real_sleep(pause)
            waited += pause

    def _serve(
        self, session: WorkerSession, kinds: Sequence[str], handlers: Mapping[str, Handler], concurrency: int
    ) -> None:
        heartbeat, timer = session.heartbeat, ShutdownTimer(self._control)
        threads = HandlerThreads(self._control.context, heartbeat)
        try:
            while not self._control.shutting_down:
                if len(threads) >= concurrency:
                    if heartbeat.error is not None:
                        raise heartbeat.error
                    heartbeat.wait_for_change(POLL_TIMEOUT)
                    continue
                runs = self._claim(session, kinds, concurrency - len(threads), threads)
                if not runs:
                    break
                threads.join_ended()
                for run in runs:
                    threads.start(run, handlers[run.job.kind])
            while len(threads) and heartbeat.error is None and not timer.expired(heartbeat.held()):
                heartbeat.wait_for_change(POLL_TIMEOUT)
        finally:
            threads.join_ended()


def worker_control_of(worker: Worker) -> WorkerControl:
    """What the worker shares with its awaited side."""
    return worker._control  # noqa: SLF001
