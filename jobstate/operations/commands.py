"""The verbs that change jobs, each with its signature, text and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jobstate.core import arguments
from jobstate.core.arguments import (
    CheckpointRef,
    Duration,
    JobRef,
    ModeWord,
    PruneFilter,
)
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.domain.operator_actions import prunable
from jobstate.domain.restart_requests import RestartRequest
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.domain.stop import StopMode
from jobstate.domain.stop_requests import StopResult
from jobstate.operations import requests
from jobstate.operations.requester import Requester


class Commands(Requester):
    """The verbs that change something."""

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
