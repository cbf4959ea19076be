"""New jobs, and letting a held one into the queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from jobstate.core import arguments
from jobstate.core.arguments import JobRef
from jobstate.domain import leases, validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.store.base import StorePart


class Submitting(StorePart):
    """How jobs come in."""

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
        """Add a job to the queue.

        Args:
            kind: What sort of work it is; workers choose by it. One printable line, 1..255 characters.
            descriptor: What the job is to do: a JSON object of at most 1 MiB.
            node_id: Only this worker may claim it; empty: any.
            key: Unique among live jobs. Submitting it again while its job lives returns that job, with
                `deduplicated` set, when kind and descriptor are equal as JSON, but for the context of a trace
                (`descriptor["otel"]`); the other arguments are then not used.
            pipeline_id: The pipeline that this is a run of; the store numbers its runs (`run_id`).
            labels: Free names for filters, at most 64 texts.
            priority: Lower goes first; jobs of one priority go in the order of `available_at`, then id.
            available_at: Not to be claimed before; None: at once.
            hold: Keep it out of the queue (Created) until `schedule`.
            parallelism: How many tasks the job is to run with; >= 1.
            max_attempts: How many charged runs there may be; >= 1. A run that is handed back is not charged.
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
            self._context.descriptor_limit,
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
        by = self._by if actor is None and reason is None else self._acting(actor, reason)
        return Job(self.repository.jobs.submit([new], self._context.clock.now(), by)[0])

    def submit_many(
        self, jobs: Iterable[Mapping[str, Any]], *, actor: str | None = None, reason: str | None = None
    ) -> list[Job]:
        """Add all of these jobs or none, in one transaction.

        Args:
            jobs: Mappings of the arguments of `submit`, `kind` among them.
            actor: Who submits them.
            reason: Why.

        Returns:
            The jobs, in the order given.

        Raises:
            DuplicateJob: As for `submit`; nothing was added.
            InvalidRequest: An entry is not as described; the error names its place.
        """
        new = []
        for number, fields in enumerate(validation.several("jobs", jobs, "submissions")):
            try:
                new.append(arguments.new_job(self._context.descriptor_limit, **fields))
            except InvalidRequest as error:
                raise InvalidRequest(f"jobs[{number}].{error.field}", error.problem) from error
            except TypeError as error:
                raise InvalidRequest(f"jobs[{number}]", f"must hold the arguments of submit: {error}") from error
        rows = self.repository.jobs.submit(new, self._now(), self._acting(actor, reason)) if new else []
        return [Job(row) for row in rows]

    def schedule(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Let a held job into the queue; one that is there already stays as it is.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It is past that.
        """
        decide = partial(leases.schedule, now=self._now(), by=self._acting(actor, reason))
        return Job(self.repository.jobs.change(arguments.job_id(job), decide).job)
