"""What workers report about their jobs, as those who look read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from jobstate.core import arguments
from jobstate.core.arguments import MAX_OFFSET, MAX_PAGE, CheckpointRef, JobRef, LevelFilter
from jobstate.domain import validation
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import CheckpointNotFound, OperatorNotFound
from jobstate.domain.logs import TROUBLE
from jobstate.domain.metrics import JobMetrics, OperatorMetrics, job_metrics
from jobstate.domain.progress import TableProgress
from jobstate.ports.queries import LogPage, LogRange, OutputPage, Slice
from jobstate.store.looking import Looking


class Reports(Looking):
    """What was reported; reads only."""

    def progress(self, job: JobRef) -> dict[str, TableProgress]:
        """How far the job got, by the tables it writes; empty before it reported any. Raises JobNotFound."""
        found = self.repository.reports.progress(arguments.job_id(job))
        if not found:
            self.get(job)
        return found

    def checkpoints(self, job: JobRef, *, limit: int = 50) -> Sequence[Checkpoint]:
        """The checkpoints of the job, newest epoch first. Raises JobNotFound."""
        validation.integer("limit", limit, 1, MAX_PAGE)
        found = self.repository.reports.checkpoints(arguments.job_id(job), limit)
        if not found:
            self.get(job)
        return found

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
        only = validation.flag("completed", completed)
        found = self.repository.reports.checkpoints(arguments.job_id(job), limit + 1, offset, only)
        if not found:
            self.get(job)
        return Slice(found[:limit], len(found) > limit)

    def checkpoint(self, job: JobRef, checkpoint_id: CheckpointRef) -> Checkpoint:
        """One checkpoint of the job. Raises JobNotFound, CheckpointNotFound."""
        number = arguments.checkpoint_number(checkpoint_id)
        found = self.repository.reports.find_checkpoint(arguments.job_id(job), number)
        if found is None:
            raise CheckpointNotFound(self.get(job).id, f"chk_{number}")
        return found

    def metrics(self, job: JobRef) -> JobMetrics:
        """What the operators of the job have counted, over all its runs; empty before any did. Raises JobNotFound."""
        found = self.get(job)
        reported = self.repository.telemetry.metrics(found.id)
        running_at = self._now() if found.worker_id is not None else None
        return job_metrics(reported, running_at)

    def operator_metrics(self, job: JobRef, operator_id: str) -> OperatorMetrics:
        """What one operator of the job has counted. Raises JobNotFound, OperatorNotFound."""
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
        place = LogRange(
            limit + 1,
            None if before is None else validation.integer("before", before, 1, validation.MAX_ID),
            None if after is None else validation.integer("after", after, 0, validation.MAX_ID),
        )
        # The extent first: who asks for what comes after `total` is then told of all that came in between.
        extent = self.repository.telemetry.log_extent(arguments.job_id(job))
        found = self.repository.telemetry.logs(arguments.job_id(job), wanted, place)
        if not extent.total:
            self.get(job)
        return LogPage(found[:limit], len(found) > limit, *extent)

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
            offset: How many to step over, >= 0.

        Returns:
            The rows, and how many were emitted in all. Of each operator the newest are kept.

        Raises:
            JobNotFound: There is no such job.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, validation.MAX_ID)
        operator = arguments.only("operator_id", operator_id)
        telemetry, job_id = self.repository.telemetry, arguments.job_id(job)
        found = telemetry.output(job_id, operator, limit + 1, offset)
        extent = telemetry.output_extent(job_id, operator)
        if not extent.total:
            self.get(job)
        return OutputPage(found[:limit], len(found) > limit, *extent)
