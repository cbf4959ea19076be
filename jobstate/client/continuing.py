"""Restarting and rescaling through a server."""

from __future__ import annotations

from jobstate.client.part import ClientPart, run_path
from jobstate.client.queries import RECORD
from jobstate.core import arguments
from jobstate.core.arguments import CheckpointRef, JobRef
from jobstate.domain.job import Job
from jobstate.wire import records


class Continuing(ClientPart):
    """What lets a job go on in another way."""

    def restart(
        self,
        job: JobRef,
        checkpoint_id: CheckpointRef | None = None,
        *,
        parallelism: int | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Job:
        """Go on with a job that failed or was stopped, as a new job; see `JobStore.restart`.

        Args:
            job: The old job.
            checkpoint_id: Any completed checkpoint of the old job or of those that it restarts; None: the newest of the
                old job, or from nothing where it has none.
            parallelism: Another number of tasks; None: as before.
            actor: Who restarts it.
            reason: Why.

        Returns:
            The new job, Scheduled.

        Raises:
            JobNotFound: There is no such job.
            CheckpointNotFound: There is no such checkpoint, or it is another lineage's.
            RestartNotAllowed: The job is live, or completed, or a live job restarts it already, or the checkpoint was
                not completed.
            DuplicateJob: Another live job holds the key by now.
        """
        wish = {
            "checkpoint_id": None if checkpoint_id is None else arguments.checkpoint_number(checkpoint_id),
            "parallelism": None if parallelism is None else arguments.tasks("parallelism", parallelism),
        }
        path, by = f"{run_path(job)}/restart", self._acting(actor, reason)
        return self._connection.read(self._connection.ask("POST", path, RECORD, by=by, body=wish), records.job_of)

    def rescale(self, job: JobRef, parallelism: int, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Ask for another number of tasks; see `JobStore.rescale`.

        Returns:
            The job; unchanged when it has that parallelism already.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It is stopping, or has ended.
        """
        wish = {"parallelism": arguments.tasks("parallelism", parallelism)}
        path, by = f"{run_path(job)}/rescale", self._acting(actor, reason)
        return self._connection.read(self._connection.ask("POST", path, RECORD, by=by, body=wish), records.job_of)
