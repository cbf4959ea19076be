"""The verbs that read jobs, and those that wait for them, each with its signature, text and checks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from jobstate.core import arguments
from jobstate.core.arguments import (
    MAX_OFFSET,
    MAX_PAGE,
    CheckpointRef,
    Duration,
    JobRef,
    LevelFilter,
    StateFilter,
)
from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import OperatorNotFound, WorkerNotFound
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL
from jobstate.domain.logs import TROUBLE, LogEntry
from jobstate.domain.metrics import JobMetrics, OperatorMetrics
from jobstate.domain.progress import TableProgress
from jobstate.operations import requests
from jobstate.operations.requester import Requester
from jobstate.ports.queries import Filter, LogPage, LogRange, OutputPage, Page, Slice
from jobstate.ports.repository import WorkerInfo


class Queries(Requester):
    """The verbs that change nothing."""

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
