"""What an operator does with a job: stop, rescale, fail, restart, delete, prune."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from jobstate.core import arguments
from jobstate.core.arguments import CheckpointRef, Duration, JobRef
from jobstate.domain import leases, rescale_requests, stop_requests, validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import State
from jobstate.domain.operator_actions import prunable
from jobstate.domain.restart_requests import RestartRequest
from jobstate.domain.stop import StopMode
from jobstate.domain.stop_requests import StopResult
from jobstate.store.base import StorePart

ATOMIC_PRUNE: Final = 10_000
PRUNE_BATCH: Final = 500
PRUNE_ENTRIES: Final = 50_000
"""A batch is smaller where its jobs have more log entries together: they go in the same transaction."""
DELETIONS_KEPT: Final = timedelta(days=90)
_SWEPT_AT_ONCE: Final = 1000


class Operating(StorePart):
    """What changes a job from outside."""

    def stop(
        self,
        job: JobRef,
        *,
        mode: str = StopMode.CHECKPOINT,
        timeout: Duration | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> StopResult:
        """Ask a job to stop. It never fails for a job that exists, and may be repeated.

        Args:
            mode: `checkpoint` (the worker writes its last checkpoint), `immediate` (without one) or `force` (at
                once, the worker is fenced). Repeating a stop only ever makes it harder.
            timeout: How long the worker may take; past it whoever looks next ends the job. None: the store's
                `stop_timeout`.
            actor: Who asks.
            reason: Why; the first requester's is kept.

        Returns:
            Whether anything changed, the job, and when it is stopped at the latest.

        Raises:
            JobNotFound: There is no such job.
        """
        chosen = arguments.stop_mode(mode)
        now = self._now()
        deadline = now + validation.duration_us("timeout", self._stop_timeout if timeout is None else timeout)
        by = self._acting(actor, reason)
        decision = self.repository.jobs.change(
            arguments.job_id(job),
            lambda found: stop_requests.stop(found, chosen, deadline, self._context.chance(), now, by),
        )
        expected = stop_requests.expected_finish_us(decision.job)
        return StopResult(
            bool(decision.steps), Job(decision.job), None if expected is None else validation.instant(expected)
        )

    def rescale(self, job: JobRef, parallelism: int, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Ask for another number of tasks.

        The worker that holds the job sees it as `run.rescale_to`; the job is Rescaling until the worker answers with
        `run.rescaled()` or hands the job back; asking again replaces the number. A job that nobody runs gets the number
        at once. A stop wins: it drops the request.

        Returns:
            The job; unchanged when it has that parallelism already.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It is stopping, or has ended.
        """
        wanted = arguments.tasks("parallelism", parallelism)
        by, now = self._acting(actor, reason), self._now()
        decision = self.repository.jobs.change(
            arguments.job_id(job),
            lambda found: rescale_requests.rescale(found, wanted, self._context.chance(), now, by),
        )
        return Job(decision.job)

    def fail(self, job: JobRef, reason: str, *, actor: str | None = None) -> Job:
        """Fail a job for good, as its operator, and fence its worker.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It has ended, or was never let into the queue.
        """
        message = validation.reason(reason)
        if message is None:
            raise InvalidRequest("reason", "must say why the job is given up")
        by, now = self._acting(actor, message), self._now()
        decision = self.repository.jobs.change(
            arguments.job_id(job), lambda found: leases.fail_by_operator(found, message, now, by)
        )
        return Job(decision.job)

    def restart(
        self,
        job: JobRef,
        checkpoint_id: CheckpointRef | None = None,
        *,
        parallelism: int | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Job:
        """Go on with a job that failed or was stopped, as a new job; the old one keeps its history and checkpoints.

        The new job is asked for the same, takes the key along, is the next run of the same pipeline, and names the old
        one in `restarted_from`. Its first run starts from the checkpoint, with the progress that it was taken at. Its
        tokens go on from those of the lineage, so that a late write of an old worker is told from one of the new.

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
            CheckpointNotFound: There is no such checkpoint, or it is another lineage's.
            RestartNotAllowed: The job is live, or completed, or a live job restarts it already, or the checkpoint was
                not completed.
            DuplicateJob: Another live job holds the key by now.
        """
        wish = RestartRequest(
            None if checkpoint_id is None else arguments.checkpoint_number(checkpoint_id),
            None if parallelism is None else arguments.tasks("parallelism", parallelism),
        )
        by = self._acting(actor, reason)
        expiry = self._context.expiry_policy(by.name, limit=1)
        return Job(self.repository.jobs.restart(arguments.job_id(job), wish, self._now(), expiry, by))

    def delete(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> bool:
        """Remove a job that has ended, with all that belongs to it; a short record of the deletion remains.

        Returns:
            True when it was removed, False when there was none.

        Raises:
            JobNotTerminal: It is live; nothing was changed.
        """
        return self.repository.jobs.delete(arguments.job_id(job), self._now(), self._acting(actor, reason))

    def prune(
        self,
        status: str | State = "terminal",
        *,
        older_than: Duration | None = None,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Remove jobs that have ended. What is overdue is settled first, so that a finished stop is among them.

        Up to 10,000 jobs go in one transaction; more go in batches, each of whole jobs.

        Args:
            status: `terminal`, `completed`, `stopped` or `error`.
            older_than: Only jobs that ended at least so long ago.
            dry_run: Only count those that have ended already; nothing is settled first.
            progress: Called with how many are done and how many there were.
            actor: Who removes them.
            reason: Why.

        Returns:
            How many were removed, or would be.
        """
        validation.callback("progress", progress)
        states = prunable(status)
        now = self._now()
        by = self._acting(actor, reason)
        before = None if older_than is None else now - validation.duration_us("older_than", older_than)
        jobs = self.repository.jobs
        if dry_run:
            return jobs.prunable(states, before)
        while self._settle(_SWEPT_AT_ONCE):
            pass
        total = jobs.prunable(states, before)
        batch, entries = (ATOMIC_PRUNE, None) if total <= ATOMIC_PRUNE else (PRUNE_BATCH, PRUNE_ENTRIES)
        removed = 0
        while removed < total:
            gone = jobs.prune(states, before, batch, now, by, entries)
            if gone == 0 and jobs.prunable(states, before) == 0:  # someone else may be pruning too
                break
            removed += gone
            if progress is not None:
                progress(removed, total)
        jobs.forget_deletions(now - validation.duration_us("deletions", DELETIONS_KEPT))
        return removed
