"""What workers report about their jobs, read through a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from jobstate.client.looking import Looking
from jobstate.client.part import job_path, run_path
from jobstate.client.queries import RECORD, log_query
from jobstate.core import arguments
from jobstate.core.arguments import MAX_OFFSET, MAX_PAGE, CheckpointRef, JobRef, LevelFilter
from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import OperatorNotFound
from jobstate.domain.logs import TROUBLE, LogEntry
from jobstate.domain.metrics import JobMetrics, OperatorMetrics
from jobstate.domain.progress import TableProgress
from jobstate.ports.queries import LogPage, OutputPage, Slice
from jobstate.wire import records


class Reporting(Looking):
    """What was reported; reads only."""

    def progress(self, job: JobRef) -> dict[str, TableProgress]:
        """How far the job got, by the tables it writes; empty before it reported any. Raises JobNotFound."""
        return self._look(f"{job_path(job)}/progress", records.progress_of, RECORD)

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
            offset: How many to leave out, 0..10,000.
            completed: True: only those that were completed; False: only the others, failed or in progress.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, MAX_OFFSET)
        only = None if validation.flag("completed", completed) is None else str(completed).lower()
        query = {**RECORD, "limit": limit, "offset": offset, "completed": only}
        return self._look(f"{run_path(job)}/checkpoints", records.checkpoints_of, query)

    def checkpoint(self, job: JobRef, checkpoint_id: CheckpointRef) -> Checkpoint:
        """One checkpoint of the job. Raises JobNotFound, CheckpointNotFound."""
        number = arguments.checkpoint_number(checkpoint_id)
        return self._look(f"{run_path(job)}/checkpoints/{number}", records.checkpoint_of, RECORD)

    def metrics(self, job: JobRef) -> JobMetrics:
        """What the operators of the job have counted, over all its runs; empty before any did. Raises JobNotFound."""
        return self._look(f"{run_path(job)}/metrics", records.metrics_of, RECORD)

    def operator_metrics(self, job: JobRef, operator_id: str) -> OperatorMetrics:
        """What one operator of the job has counted. Raises JobNotFound, OperatorNotFound."""
        # Not by a path of its own: not every name can stand in one, `..` for example.
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
        """What the job said, newest first.

        Args:
            job: The job.
            level: Only entries of this level (`info`, `warn`, `error`), or of several.
            operator_id: Only what this operator said.
            task_index: Only what this task said.
            since: Only what was said at that instant or later.
            until: Only what was said before that instant.
            limit: 1..1000.
            before: Only entries with smaller numbers: the next page of older ones.
            after: Only entries with larger numbers, and oldest first: what has come since; up to `before`, where both
                are given.

        Returns:
            The entries, and how many the job has written in all. Of the older ones only some are kept.

        Raises:
            JobNotFound: There is no such job.
            InvalidRequest: An argument is not as described.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        wanted = arguments.log_filter(level, operator_id, task_index, since, until)
        query = {
            **log_query(wanted),
            "limit": limit,
            "before": None if before is None else validation.integer("before", before, 1, validation.MAX_ID),
            "after": None if after is None else validation.integer("after", after, 0, validation.MAX_ID),
        }
        return self._look(f"{run_path(job)}/logs", records.logs_of, query)

    def errors(
        self,
        job: JobRef,
        *,
        level: LevelFilter = None,
        operator_id: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> LogPage:
        """The warnings and errors among what the job said, newest first; the arguments are those of `logs`.

        What made a run fail is among them, with its traceback.
        """
        wanted = arguments.levels("level", level, TROUBLE)
        return self.logs(job, level=wanted, operator_id=operator_id, limit=limit, before=before)

    def output(self, job: JobRef, *, operator_id: str | None = None, limit: int = 50, offset: int = 0) -> OutputPage:
        """Rows that the job's operators emitted, for a look at its work; in the order of emission.

        Args:
            job: The job.
            operator_id: Only those of this operator.
            limit: 1..1000.
            offset: How many to step over, 0..10,000: a server steps over no more.

        Returns:
            The rows, and how many were emitted in all. Of each operator the newest are kept.

        Raises:
            JobNotFound: There is no such job.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, validation.MAX_ID)
        query = {**RECORD, "operator_id": arguments.only("operator_id", operator_id), "limit": limit, "offset": offset}
        return self._look(f"{run_path(job)}/output", records.output_of, query)

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

        A worker writes its entries about once a second, and they are asked for once a second. Ends when the job has
        ended and all was read, or was removed. A server that starts again meanwhile is waited for.

        Args:
            job: The job.
            level: Only entries of this level (`info`, `warn`, `error`), or of several.
            operator_id: Only what this operator says.
            task_index: Only what this task says.
            after: The number of an entry; 0: from the oldest.

        Raises:
            JobNotFound: There is no such job.
            ServerUnreachable: Also when the server was away for a minute.
        """
        from jobstate.client.following import follow_logs

        wanted = arguments.log_filter(level, operator_id, task_index)
        validation.integer("after", after, 0, validation.MAX_ID)
        self._look(job_path(job), records.job_of, RECORD)
        return follow_logs(self._connection, arguments.job_id(job), log_query(wanted), after)
