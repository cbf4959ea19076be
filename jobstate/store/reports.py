"""What workers report about their jobs, as those who look read it."""

from __future__ import annotations

from collections.abc import Sequence

from jobstate import arguments
from jobstate.arguments import CheckpointRef, JobRef
from jobstate.domain import checked
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import CheckpointNotFound
from jobstate.domain.ranges import TableProgress
from jobstate.repository import Slice
from jobstate.store.base import MAX_OFFSET, MAX_PAGE
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
        checked.integer("limit", limit, 1, MAX_PAGE)
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
        checked.integer("limit", limit, 1, MAX_PAGE)
        checked.integer("offset", offset, 0, MAX_OFFSET)
        found = self.repository.reports.checkpoints(arguments.job_id(job), limit + 1, offset, completed)
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
