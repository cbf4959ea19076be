"""`Operations`: the verbs that a store and a client of its server share, each with its signature, text and checks."""

from __future__ import annotations

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from jobstate.core import arguments
from jobstate.core.arguments import (
    MAX_OFFSET,
    MAX_PAGE,
    CheckpointRef,
    Duration,
    JobRef,
    LevelFilter,
    ModeWord,
    PruneFilter,
    StateFilter,
)
from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import InvalidRequest, OperatorNotFound, WorkerNotFound
from jobstate.domain.event import Actor, Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL
from jobstate.domain.logs import TROUBLE, LogEntry
from jobstate.domain.metrics import JobMetrics, OperatorMetrics
from jobstate.domain.operator_actions import prunable
from jobstate.domain.progress import TableProgress
from jobstate.domain.restart_requests import RestartRequest
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.domain.stop import StopMode
from jobstate.domain.stop_requests import StopResult
from jobstate.operations import requests
from jobstate.operations.requests import Request
from jobstate.ports.queries import Filter, LogPage, LogRange, OutputPage, Page, Slice
from jobstate.ports.repository import WorkerInfo

T = TypeVar("T")


class Operations(ABC):
    """What an operator does with jobs, in a store of this process or through a server.

    Each verb validates its arguments, builds a request (`jobstate.operations.requests`) and performs it. `JobStore`
    performs it on its repository, `JobClient` sends it.

    Args:
        by: Who acts, and why, unless a call says otherwise.
        descriptor_limit: The largest descriptor, in bytes of JSON.
    """

    def __init__(self, by: Actor, descriptor_limit: int = validation.DEFAULT_DESCRIPTOR_LIMIT) -> None:
        self._by = by
        self._descriptor_limit = descriptor_limit

    @abstractmethod
    def _perform(self, request: Request[T]) -> T:
        """Perform a request, and return its result."""

    @property
    @abstractmethod
    def path(self) -> str:
        """Where the jobs are: the path of the store's file, or the URL of the server."""

    @abstractmethod
    def close(self) -> None:
        """Close the store, or the connections to the server; later calls raise `StoreClosed`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def acting(self, actor: str, reason: str | None = None) -> Self:
        """The same jobs, with another default for who acts and why."""
        other = copy.copy(self)
        other._by = Actor(validation.text("actor", actor), validation.reason(reason))  # noqa: SLF001  (its own copy)
        return other

    def _acting(self, actor: str | None, reason: str | None) -> Actor:
        return self._by if actor is None and reason is None else self._by.overridden(actor, reason)

    # Submitting.

    def submit(
        self,
        kind: str,
        descriptor: Mapping[str, Any] | None = None,
        *,
        node_id: str = "",
        key: str | None = None,
        pipeline_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        priority: int = 0,
        available_at: datetime | None = None,
        hold: bool = False,
        parallelism: int = 1,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        retry: RetryPolicy = DEFAULT_RETRY,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Job:
        """Add a job to the queue. With a `key` the call is safe to repeat.

        Args:
            kind: The sort of work; workers choose jobs by it. One printable line, 1..255 characters.
            descriptor: What the job does: a JSON object of at most 1 MiB.
            node_id: Only this worker may claim the job; empty: any.
            key: Unique among live jobs. Submitting it again while its job lives returns that job, with
                `deduplicated` set, when kind and descriptor are equal as JSON, except for the context of a trace
                (`descriptor["otel"]`); the other arguments are then not used.
            pipeline_id: The pipeline that the job is a run of; the store numbers its runs (`run_id`).
            labels: Free names for filters, at most 64 texts.
            priority: Lower runs first; jobs of one priority run in the order of `available_at`, then id.
            available_at: When the job becomes due; None: at once.
            hold: Keep it out of the queue (Created) until `schedule`.
            parallelism: How many tasks the job runs with; >= 1.
            max_attempts: How many charged runs it may have; >= 1. A run that is handed back is not charged.
            retry: How long to wait between them.
            actor: Who submits it.
            reason: Why.

        Returns:
            The new job, or the live one with that key.

        Raises:
            DuplicateJob: A live job holds the key and is another job, or is being stopped.
            InvalidRequest: An argument is not as described; the error names it.
        """
        new = arguments.new_job(
            self._descriptor_limit,
            kind=kind,
            descriptor=descriptor,
            node_id=node_id,
            key=key,
            pipeline_id=pipeline_id,
            labels=labels,
            priority=priority,
            available_at=available_at,
            hold=hold,
            parallelism=parallelism,
            max_attempts=max_attempts,
            retry=retry,
        )
        return self._perform(requests.SubmitCommand(new, self._acting(actor, reason)))

    def schedule(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Let a held job into the queue; a job that is in the queue already does not change.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It has been claimed, or has ended.
        """
        return self._perform(requests.ScheduleCommand(arguments.job_id(job), self._acting(actor, reason)))

    # Changing.

    def stop(
        self,
        job: JobRef,
        *,
        mode: ModeWord = StopMode.CHECKPOINT,
        timeout: Duration | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> StopResult:
        """Ask a job to stop. It never fails for a job that exists, and may be repeated.

        Args:
            job: The job.
            mode: `checkpoint` (the worker writes its last checkpoint), `immediate` (without one) or `force` (at
                once, the worker is fenced). Repeating a stop only ever makes it harder.
            timeout: How long the worker may take; after that the next claim, sweep, heartbeat or `wait` ends the job.
                None: the `stop_timeout` of the store.
            actor: Who asks.
            reason: Why; the first requester's is kept.

        Returns:
            Whether anything changed, the job, and when it is stopped at the latest.

        Raises:
            JobNotFound: There is no such job.
        """
        chosen = arguments.stop_mode(mode)
        timeout_us = None if timeout is None else validation.duration_us("timeout", timeout)
        command = requests.StopCommand(arguments.job_id(job), chosen, timeout_us, self._acting(actor, reason))
        return self._perform(command)

    def rescale(self, job: JobRef, parallelism: int, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Ask for another number of tasks.

        The worker that holds the job reads it from `run.rescale_to`; the job is Rescaling until the worker answers with
        `run.rescaled()` or hands the job back; another request replaces the number. A job that no worker holds gets the
        number at once. A stop takes precedence: it drops the request.

        Returns:
            The job; unchanged when it has that parallelism already.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It is stopping, or has ended.
        """
        tasks = arguments.tasks("parallelism", parallelism)
        command = requests.RescaleCommand(arguments.job_id(job), tasks, self._acting(actor, reason))
        return self._perform(command)

    def fail(self, job: JobRef, reason: str, *, actor: str | None = None) -> Job:
        """Fail a job for good, as its operator, and fence its worker.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It has ended, or was never let into the queue.
        """
        message = validation.reason(reason)
        if message is None:
            raise InvalidRequest("reason", "must say why the job is given up")
        return self._perform(requests.FailCommand(arguments.job_id(job), message, self._acting(actor, message)))

    def restart(
        self,
        job: JobRef,
        checkpoint_id: CheckpointRef | None = None,
        *,
        parallelism: int | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Job:
        """Continue a failed or stopped job as a new job; the old one keeps its history and checkpoints.

        The new job has the same specification, takes over the key, is the next run of the same pipeline, and names the
        old one in `restarted_from`. Its first run starts from the checkpoint, with the progress recorded there. Its
        tokens continue those of the lineage, so that a late write of an old worker differs from one of the new.

        Args:
            job: The old job.
            checkpoint_id: Any completed checkpoint of the lineage (the old job, those that it restarts, others that
                restart them); None: the newest of the old job, or from nothing where it has none.
            parallelism: Another number of tasks; None: as before.
            actor: Who restarts it.
            reason: Why.

        Returns:
            The new job, Scheduled.

        Raises:
            JobNotFound: There is no such job.
            CheckpointNotFound: There is no such checkpoint, or it belongs to another lineage.
            RestartNotAllowed: The job is live or completed, a live job restarts it already, or the checkpoint was
                not completed.
            DuplicateJob: Another live job holds the key by now.
        """
        restart = RestartRequest(
            None if checkpoint_id is None else arguments.checkpoint_number(checkpoint_id),
            None if parallelism is None else arguments.tasks("parallelism", parallelism),
        )
        command = requests.RestartCommand(arguments.job_id(job), restart, self._acting(actor, reason))
        return self._perform(command)

    def delete(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> bool:
        """Remove an ended job, with all that belongs to it; a short record of the deletion remains.

        Returns:
            True when it was removed, False when there was none.

        Raises:
            JobNotTerminal: It is live; nothing was changed.
        """
        return self._perform(requests.DeleteCommand(arguments.job_id(job), self._acting(actor, reason)))

    def prune(
        self,
        status: PruneFilter = "terminal",
        *,
        older_than: Duration | None = None,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Remove ended jobs. It settles overdue jobs first, so that a stop that has run out is among them.

        Up to 10,000 jobs go in one transaction; more go in batches, each of whole jobs.

        Args:
            status: `terminal`, `completed`, `stopped` or `error`.
            older_than: Only jobs that ended at least this long ago.
            dry_run: Only count those that have ended already, and settle nothing.
            progress: Called with how many are done and how many there were; by a client once, at the end.
            actor: Who removes them.
            reason: Why.

        Returns:
            How many were removed, or would be.
        """
        validation.callback("progress", progress)
        states = prunable(status)
        age_us = None if older_than is None else validation.duration_us("older_than", older_than)
        command = requests.PruneCommand(states, age_us, dry_run, progress, self._acting(actor, reason))
        return self._perform(command)

    # Jobs, history, workers.

    def get(self, job: JobRef) -> Job:
        """The job as it is now. Raises JobNotFound."""
        return self._perform(requests.JobQuery(arguments.job_id(job)))

    def list(
        self,
        status: StateFilter = "active",
        *,
        limit: int = 50,
        after: int | None = None,
        kind: str | None = None,
        node_id: str | None = None,
        pipeline_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Page:
        """A page of jobs, newest first.

        Args:
            status: `active` (live), `all`, `terminal`, `error`, a state, or several of them; case does not matter.
            limit: 1..1000.
            after: The `next_cursor` of the page before.
            kind: Only jobs of this kind.
            node_id: Only jobs that this worker holds or that are pinned to it; empty: those pinned to nobody.
            pipeline_id: Only runs of this pipeline.
            labels: Only jobs with all of these labels.

        Raises:
            InvalidRequest: An argument is not as described.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        if after is not None:
            validation.integer("after", after, 1, validation.MAX_ID)
        wanted = Filter(
            arguments.states("status", status),
            arguments.only("kind", kind),
            arguments.only("node_id", node_id, empty=True),
            arguments.only("pipeline_id", pipeline_id),
            json.loads(validation.labels_text(labels)),
        )
        return self._perform(requests.ListQuery(wanted, limit, after))

    def iterate(
        self,
        status: StateFilter = "active",
        *,
        limit: int = MAX_PAGE,
        after: int | None = None,
        kind: str | None = None,
        node_id: str | None = None,
        pipeline_id: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Job]:
        """Every job that `list` would show, newest first, read in pages of `limit`.

        It visits no job twice and no job that is submitted meanwhile. It may miss jobs that are removed or leave the
        filter meanwhile, and misses no other.
        """
        while True:
            page = self.list(
                status, limit=limit, after=after, kind=kind, node_id=node_id, pipeline_id=pipeline_id, labels=labels
            )
            yield from page.jobs
            after = page.next_cursor
            if after is None:
                return

    def events(self, job: JobRef) -> Sequence[Event]:
        """The whole history of the job, oldest first. Raises JobNotFound."""
        return self._perform(requests.EventsQuery(arguments.job_id(job)))

    def event(self, job: JobRef, event_id: int) -> Event:
        """One entry of the history of the job. Raises JobNotFound, EventNotFound."""
        validation.integer("event_id", event_id, 1, validation.MAX_ID)
        return self._perform(requests.EventQuery(arguments.job_id(job), event_id))

    def workers(self) -> Sequence[WorkerInfo]:
        """The registered workers, by name; one that was killed stays until its name is used again."""
        return self._perform(requests.WorkersQuery())

    def worker_info(self, node_id: str) -> WorkerInfo:
        """The worker of this name. Raises WorkerNotFound."""
        # Of all of them, as a name such as `..` cannot be part of a path.
        found = [worker for worker in self.workers() if worker.node_id == node_id]
        if not found:
            raise WorkerNotFound(node_id)
        return found[0]

    # Reports.

    def progress(self, job: JobRef) -> dict[str, TableProgress]:
        """The progress of the job, by the tables it writes; empty before its first report. Raises JobNotFound."""
        return self._perform(requests.ProgressQuery(arguments.job_id(job)))

    def checkpoints(self, job: JobRef, *, limit: int = 50) -> Sequence[Checkpoint]:
        """The checkpoints of the job, newest epoch first. Raises JobNotFound."""
        return self.checkpoint_slice(job, limit=limit).rows

    def checkpoint_slice(
        self, job: JobRef, *, limit: int = 50, offset: int = 0, completed: bool | None = None
    ) -> Slice[Checkpoint]:
        """Part of the checkpoints of the job, newest epoch first. Raises JobNotFound.

        Args:
            job: The job.
            limit: 1..1000.
            offset: How many to skip, 0..10,000.
            completed: True: only completed ones; False: only the others, failed or in progress.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, MAX_OFFSET)
        only = validation.flag("completed", completed)
        return self._perform(requests.CheckpointsQuery(arguments.job_id(job), limit, offset, only))

    def checkpoint(self, job: JobRef, checkpoint_id: CheckpointRef) -> Checkpoint:
        """One checkpoint of the job. Raises JobNotFound, CheckpointNotFound."""
        number = arguments.checkpoint_number(checkpoint_id)
        return self._perform(requests.CheckpointQuery(arguments.job_id(job), number))

    def metrics(self, job: JobRef) -> JobMetrics:
        """What the operators of the job have counted, over all its runs; empty before any did. Raises JobNotFound."""
        return self._perform(requests.MetricsQuery(arguments.job_id(job)))

    def operator_metrics(self, job: JobRef, operator_id: str) -> OperatorMetrics:
        """What one operator of the job has counted. Raises JobNotFound, OperatorNotFound."""
        # Of all of them, as a name such as `..` cannot be part of a path.
        found = [operator for operator in self.metrics(job).operators if operator.operator_id == operator_id]
        if not found:
            raise OperatorNotFound(arguments.job_id(job), operator_id)
        return found[0]

    def logs(
        self,
        job: JobRef,
        *,
        level: LevelFilter = None,
        operator_id: str | None = None,
        task_index: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        before: int | None = None,
        after: int | None = None,
    ) -> LogPage:
        """The log of the job, newest entry first.

        Args:
            job: The job.
            level: Only entries of this level (`info`, `warn`, `error`), or of several.
            operator_id: Only entries of this operator.
            task_index: Only entries of this task.
            since: Only entries written at that instant or later.
            until: Only entries written before that instant.
            limit: 1..1000.
            before: Only entries with smaller numbers: the next page of older ones.
            after: Only entries with larger numbers, oldest first: what has come since; up to `before`, where both are
                given.

        Returns:
            The entries, and how many the job has written in all. Of the older ones only some are kept.

        Raises:
            JobNotFound: There is no such job.
            InvalidRequest: An argument is not as described.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        wanted = arguments.log_filter(level, operator_id, task_index, since, until)
        place = LogRange(
            limit,
            None if before is None else validation.integer("before", before, 1, validation.MAX_ID),
            None if after is None else validation.integer("after", after, 0, validation.MAX_ID),
        )
        return self._perform(requests.LogsQuery(arguments.job_id(job), wanted, place))

    def errors(
        self,
        job: JobRef,
        *,
        level: LevelFilter = None,
        operator_id: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> LogPage:
        """The warnings and errors in the log of the job, newest first; the arguments are those of `logs`.

        The error that made a run fail is among them, with its traceback.
        """
        wanted = arguments.levels("level", level, TROUBLE)
        return self.logs(job, level=wanted, operator_id=operator_id, limit=limit, before=before)

    def output(self, job: JobRef, *, operator_id: str | None = None, limit: int = 50, offset: int = 0) -> OutputPage:
        """A sample of the rows that the job's operators emitted, in the order of emission.

        Args:
            job: The job.
            operator_id: Only rows of this operator.
            limit: 1..1000.
            offset: How many to skip, >= 0; a server skips 10,000 at most.

        Returns:
            The rows, and how many were emitted in all. Of each operator the newest are kept.

        Raises:
            JobNotFound: There is no such job.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, validation.MAX_ID)
        operator = arguments.only("operator_id", operator_id)
        return self._perform(requests.OutputQuery(arguments.job_id(job), operator, limit, offset))

    # Waiting.

    def wait(self, job: JobRef, *, until: StateFilter = TERMINAL, timeout: Duration | None = None) -> Job:
        """Wait until the job is in one of these states; it wakes within milliseconds of it, across processes.

        It settles the job when it is overdue, so that a stop ends though no other process sweeps. A clock that is
        advanced by hand, it advances. A client waits for a server that restarts meanwhile.

        Args:
            job: The job.
            until: A state, a filter word such as `terminal`, or several of them.
            timeout: How long at most; None: for ever.

        Returns:
            The job, in one of the states.

        Raises:
            JobNotFound: There is no such job, or it was removed meanwhile.
            WaitTimeout: It did not get there in time, or ended in another state (also a `TimeoutError`).
            ServerUnreachable: From a client: also when the server was away for a minute.
        """
        states = arguments.states("until", until)
        seconds = None if timeout is None else validation.seconds_of("timeout", timeout)
        return self._perform(requests.WaitQuery(arguments.job_id(job), states, seconds, self._by))

    def watch(
        self, *, after: int | None = 0, job: JobRef | None = None, timeout: Duration | None = None
    ) -> Iterator[Event]:
        """Every history entry after `after`, in order, then each new one as it is written.

        Resumable: pass the `id` of the last event seen. A client resumes by itself when the connection breaks or the
        server restarts. Entries of removed jobs are gone.

        Args:
            after: The id of an event; 0: from the beginning; None: only new events.
            job: Only the events of this job.
            timeout: End after this long without a new event; None: never.

        Raises:
            ServerUnreachable: From a client: also when the server was away for a minute, or the rest of `timeout`.
        """
        if after is not None:
            validation.integer("after", after, 0, validation.MAX_ID)
        only = None if job is None else arguments.job_id(job)
        seconds = None if timeout is None else validation.seconds_of("timeout", timeout)
        return self._perform(requests.WatchQuery(after, only, seconds))

    def follow_logs(
        self,
        job: JobRef,
        *,
        level: LevelFilter = None,
        operator_id: str | None = None,
        task_index: int | None = None,
        after: int = 0,
    ) -> Iterator[LogEntry]:
        """Every kept log entry of the job after number `after`, oldest first, then each new one.

        A worker writes its entries about once a second. Ends when the job has ended and all was read, or was removed;
        settles the job when it is overdue. A client asks once a second, and waits for a server that restarts meanwhile.

        Args:
            job: The job.
            level: Only entries of this level (`info`, `warn`, `error`), or of several.
            operator_id: Only entries of this operator.
            task_index: Only entries of this task.
            after: The number of an entry; 0: from the oldest.

        Raises:
            JobNotFound: There is no such job.
            ServerUnreachable: From a client: also when the server was away for a minute.
        """
        wanted = arguments.log_filter(level, operator_id, task_index)
        validation.integer("after", after, 0, validation.MAX_ID)
        return self._perform(requests.FollowLogsQuery(arguments.job_id(job), wanted, after, self._by))
