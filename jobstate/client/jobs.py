"""`JobClient`, what `jobstate.connect` returns: the verbs of a store, each one request to its server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final

from jobstate.client.continuing import Continuing
from jobstate.client.part import job_path
from jobstate.client.queries import RECORD
from jobstate.client.reporting import Reporting
from jobstate.client.waiting import wait
from jobstate.core import arguments
from jobstate.core.arguments import Duration, JobRef, StateFilter
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import Actor, Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import TERMINAL, State
from jobstate.domain.operator_actions import prunable
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.domain.stop import StopMode
from jobstate.domain.stop_requests import StopResult
from jobstate.wire import records

_PRUNE_TAKES: Final = 3600.0
"""Seconds that a server may take to remove millions of jobs."""


class JobClient(Reporting, Continuing):
    """The jobs of a store elsewhere, through the `jobstate serve` that has it. Safe to use from several threads.

    The verbs are those of `JobStore`, with the same arguments, values and errors; each is one request. What is not
    here takes a store: claiming and working, `batch` and `submit_many` (one commit cannot span requests), upkeep.

    Beside the errors of a store, every method may raise `ServerUnreachable` and `UnexpectedAnswer`. A request that
    may be carried out twice is repeated when its connection breaks or the store is busy: looking, stopping, deleting,
    submitting with a key. Another one whose connection broke may have been carried out, and the error says so.
    """

    def __enter__(self) -> JobClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobClient {self.path}>"

    @property
    def path(self) -> str:
        """Where the server is: its URL."""
        return self._connection.url

    def close(self) -> None:
        """Give back the connections; later calls raise `StoreClosed`."""
        self._connection.close()

    def acting(self, actor: str, reason: str | None = None) -> JobClient:
        """This client, with another default for who acts and why."""
        return JobClient(self._connection, Actor(validation.text("actor", actor), validation.reason(reason)))

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
        """Add a job to the queue; see `JobStore.submit`. With a `key` it is safe to repeat.

        Raises:
            DuplicateJob: A live job holds the key and is another job, or is being stopped.
            InvalidRequest: An argument is not as described there.
        """
        new = arguments.new_job(
            validation.DEFAULT_DESCRIPTOR_LIMIT,
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
        body = {
            "kind": new.kind,
            "descriptor": json.loads(new.descriptor_json),
            "node_id": new.node_id,
            "key": new.key,
            "pipeline_id": new.pipeline_id,
            "labels": json.loads(new.labels_json),
            "priority": new.priority,
            "available_at": None if new.available_us is None else validation.instant(new.available_us).isoformat(),
            "hold": bool(new.hold),
            "parallelism": new.parallelism,
            "max_attempts": new.max_attempts,
            "retry": None if new.retry_json is None else json.loads(new.retry_json),
        }
        by = self._acting(actor, reason)
        answer = self._connection.ask("POST", "/jobs", RECORD, by=by, body=body, safe=key is not None)
        return self._connection.read(answer, records.job_of)

    def schedule(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Let a held job into the queue; one that is there already stays as it is.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It is past that.
        """
        path, by = f"{job_path(job)}/schedule", self._acting(actor, reason)
        return self._connection.read(self._connection.ask("PUT", path, RECORD, by=by), records.job_of)

    # Changing.

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
            timeout: How long the worker may take; past it whoever looks next ends the job. None: the `stop_timeout`
                of the server's store.
            actor: Who asks.
            reason: Why; the first requester's is kept.

        Returns:
            Whether anything changed, the job, and when it is stopped at the latest.

        Raises:
            JobNotFound: There is no such job.
        """
        seconds = None if timeout is None else validation.seconds_of("timeout", timeout)
        query = {**RECORD, "mode": arguments.stop_mode(mode).value, "timeout_seconds": seconds}
        answer = self._connection.ask("PUT", f"{job_path(job)}/stop", query, by=self._acting(actor, reason), safe=True)
        return self._connection.read(answer, records.stop_of)

    def fail(self, job: JobRef, reason: str, *, actor: str | None = None) -> Job:
        """Fail a job for good, as its operator, and fence its worker.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It has ended, or was never let into the queue.
        """
        path, message = f"{job_path(job)}/fail", validation.reason(reason)
        if message is None:
            raise InvalidRequest("reason", "must say why the job is given up")
        answer = self._connection.ask("PUT", path, RECORD, by=self._acting(actor, message))
        return self._connection.read(answer, records.job_of)

    def delete(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> bool:
        """Remove a job that has ended, with all that belongs to it; a short record of the deletion remains.

        Returns:
            True when it was removed, False when there was none.

        Raises:
            JobNotTerminal: It is live; nothing was changed.
        """
        answer = self._connection.ask("DELETE", job_path(job), by=self._acting(actor, reason), safe=True)
        return self._connection.number(answer, "X-Deleted-Count") > 0

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
        """Remove jobs that have ended; see `JobStore.prune`. It may take as long as the server needs.

        Args:
            status: `terminal`, `completed`, `stopped` or `error`.
            older_than: Only jobs that ended at least so long ago.
            dry_run: Only count those that have ended already; nothing is settled first.
            progress: Called once, at the end: a server does not tell how far it is.
            actor: Who removes them.
            reason: Why.

        Returns:
            How many were removed, or would be.
        """
        states = prunable(status)
        query = {
            "status": "terminal" if states == TERMINAL else next(iter(states)).value,
            "older_than": None if older_than is None else f"{validation.seconds_of('older_than', older_than):.6f}s",
            "dry_run": "true" if dry_run else "false",
        }
        by = self._acting(actor, reason)
        # Repeated, it would count only what was left.
        answer = self._connection.ask("DELETE", "/jobs", query, by=by, safe=dry_run, lasting=_PRUNE_TAKES)
        removed = self._connection.number(answer, "X-Deleted-Count")
        if progress is not None and removed and not dry_run:
            progress(removed, removed)
        return removed

    # Waiting.

    def wait(self, job: JobRef, *, until: StateFilter = TERMINAL, timeout: Duration | None = None) -> Job:
        """Wait until the job is in one of these states. A server that starts again meanwhile is waited for.

        Args:
            job: The job.
            until: A state, a filter word such as `terminal`, or several of them.
            timeout: How long at most; None: for ever.

        Returns:
            The job, in one of the states.

        Raises:
            JobNotFound: There is no such job, or it was removed meanwhile.
            WaitTimeout: It did not get there in time, or has ended elsewhere (also a `TimeoutError`).
            ServerUnreachable: Also when the server was away for a minute.
        """
        limit = None if timeout is None else validation.seconds_of("timeout", timeout)
        return wait(self._connection, arguments.job_id(job), arguments.states("until", until), limit)

    def watch(
        self, *, after: int | None = 0, job: JobRef | None = None, timeout: Duration | None = None
    ) -> Iterator[Event]:
        """What happens, as it happens: every history entry after `after`, in order, then each new one.

        Resumable: pass the `id` of the last event seen. When the connection breaks or the server starts again, it goes
        on by itself where it was. Entries of jobs that were removed are gone.

        Args:
            after: The id of an event; 0: from the beginning; None: only what happens from now on.
            job: Only the events of this job.
            timeout: End after so long without a new event; None: never.

        Raises:
            ServerUnreachable: Also when the server was away for a minute, or for the rest of `timeout`.
        """
        from jobstate.client.stream import watch

        if after is not None:
            validation.integer("after", after, 0, validation.MAX_ID)
        only = None if job is None else arguments.job_id(job)
        limit = None if timeout is None else validation.seconds_of("timeout", timeout)
        return watch(self._connection, after, only, limit)
