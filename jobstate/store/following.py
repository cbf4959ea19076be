"""Waiting for a job, and watching all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jobstate.core import arguments
from jobstate.core.arguments import Duration, JobRef, LevelFilter, StateFilter
from jobstate.core.watch import Idle, log_steps, run_steps, wait_steps, watch_steps
from jobstate.domain import validation
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL
from jobstate.domain.logs import LogEntry
from jobstate.store.looking import Looking


class Following(Looking):
    """What returns when something happens."""

    def wait(self, job: JobRef, *, until: StateFilter = TERMINAL, timeout: Duration | None = None) -> Job:
        """Wait until the job is in one of these states; wakes within milliseconds of it, across processes.

        Settles the job when it is overdue, so that a stop ends though nobody else looks. With a clock that is turned by
        hand, waiting turns it.

        Args:
            job: The job.
            until: A state, a filter word such as `terminal`, or several of them.
            timeout: How long at most; None: for ever.

        Returns:
            The job, in one of the states.

        Raises:
            JobNotFound: There is no such job, or it was removed meanwhile.
            WaitTimeout: It did not get there in time, or has ended elsewhere (also a `TimeoutError`).
        """
        return next(run_steps(self._context, self._wait_steps(job, until=until, timeout=timeout)))

    def watch(
        self, *, after: int | None = 0, job: JobRef | None = None, timeout: Duration | None = None
    ) -> Iterator[Event]:
        """What happens, as it happens: every history entry after `after`, in order, then each new one.

        Resumable: pass the `id` of the last event seen. Entries of jobs that were removed are gone.

        Args:
            after: The id of an event; 0: from the beginning; None: only what happens from now on.
            job: Only the events of this job.
            timeout: End after so long without a new event; None: never.
        """
        return run_steps(self._context, self._watch_steps(after=after, job=job, timeout=timeout))

    def follow_logs(
        self,
        job: JobRef,
        *,
        level: LevelFilter = None,
        operator_id: str | None = None,
        task_index: int | None = None,
        after: int = 0,
    ) -> Iterator[LogEntry]:
        """What the job says, as it says it: every kept entry after that number, oldest first, then each new one.

        A worker writes its entries about once a second. Ends when the job has ended and all was read, or was removed;
        settles the job when it is overdue.

        Args:
            job: The job.
            level: Only entries of this level (`info`, `warn`, `error`), or of several.
            operator_id: Only what this operator says.
            task_index: Only what this task says.
            after: The number of an entry; 0: from the oldest.

        Raises:
            JobNotFound: There is no such job.
        """
        steps = self._log_steps(job, level=level, operator_id=operator_id, task_index=task_index, after=after)
        return run_steps(self._context, steps)

    # The steps of each, for `jobstate.aio`, which awaits the time between them.

    def _wait_steps(
        self, job: JobRef, *, until: StateFilter = TERMINAL, timeout: Duration | None = None
    ) -> Iterator[Sequence[Job] | Idle]:
        limit = None if timeout is None else validation.seconds_of("timeout", timeout)
        return wait_steps(self._context, arguments.job_id(job), arguments.states("until", until), limit, self._by)

    def _watch_steps(
        self, *, after: int | None = 0, job: JobRef | None = None, timeout: Duration | None = None
    ) -> Iterator[Sequence[Event] | Idle]:
        after = self.newest_event() if after is None else validation.integer("after", after, 0, validation.MAX_ID)
        only = None if job is None else arguments.job_id(job)
        limit = None if timeout is None else validation.seconds_of("timeout", timeout)
        return watch_steps(self._context, after, only, limit)

    def _log_steps(
        self,
        job: JobRef,
        *,
        level: LevelFilter = None,
        operator_id: str | None = None,
        task_index: int | None = None,
        after: int = 0,
    ) -> Iterator[Sequence[LogEntry] | Idle]:
        wanted = arguments.log_filter(level, operator_id, task_index)
        validation.integer("after", after, 0, validation.MAX_ID)
        return log_steps(self._context, self.get(job).id, wanted, after, self._by)
