"""`JobStore`, what `jobstate.open` returns: one method per use case."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final

from jobstate import arguments
from jobstate.arguments import CheckpointRef, Duration, JobRef, StateFilter
from jobstate.context import DEFAULT_LEASE, Context
from jobstate.domain import checked, leases, rescaling, stopping
from jobstate.domain.audit import AuditReport
from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.errors import CheckpointNotFound, EventNotFound, InvalidRequest, JobNotFound, WorkerNotFound
from jobstate.domain.job import By, Event, Job, StopMode
from jobstate.domain.lifecycle import TERMINAL, State
from jobstate.domain.ranges import TableProgress
from jobstate.domain.removal import prunable
from jobstate.domain.restarting import Wish
from jobstate.domain.retry import DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY, RetryPolicy
from jobstate.domain.stopping import StopResult
from jobstate.repository import Filter, Page, Repository, WorkerInfo
from jobstate.waiting import wait, watch
from jobstate.worker.claiming import claim_runs
from jobstate.worker.run import Run
from jobstate.worker.worker import Worker

MAX_PAGE: Final = 1000
ATOMIC_PRUNE: Final = 10_000
PRUNE_BATCH: Final = 500
DELETIONS_KEPT: Final = timedelta(days=90)


class JobStore:
    """The truth about jobs, in one store. Safe to use from several threads; a forked child opens its own.

    Every method that changes something takes `actor` and `reason`, which the history keeps; `acting` sets them for
    many calls. Instants that are passed in must have a time zone; durations are seconds or timedeltas. Every method
    may raise a `StoreError` (`StoreBusy`, `StoreFull`, …); then nothing was changed.
    """

    def __init__(self, context: Context, by: By, stop_timeout: float) -> None:
        self._context = context
        self._by = by
        self._stop_timeout = stop_timeout
        self.repository: Repository = context.repository
        """The port below; for tools that build on it."""

    def __enter__(self) -> JobStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<JobStore {self.path}>"

    @property
    def path(self) -> str:
        """Where the store is."""
        return self.repository.path

    @property
    def schema_version(self) -> int:
        """The version of the schema in the store."""
        return self.repository.schema_version()

    def close(self) -> None:
        """Close the store; later calls raise `StoreClosed`. A database of the caller's own stays open."""
        self.repository.close()

    def acting(self, actor: str, reason: str | None = None) -> JobStore:
        """This store, with another default for who acts and why."""
        return JobStore(self._context, By(checked.text("actor", actor), checked.reason(reason)), self._stop_timeout)

    def batch(self) -> AbstractContextManager[Any]:
        """Many changes, one commit: an error that leaves the block undoes all of them."""
        return self.repository.transaction()

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
        """Add a job to the queue.

        Args:
            kind: What sort of work it is; workers choose by it. One printable line, 1..255 characters.
            descriptor: What the job is to do: a JSON object of at most 1 MiB.
            node_id: Only this worker may claim it; empty: any.
            key: Unique among live jobs. Submitting it again while its job lives returns that job, with
                `deduplicated` set, when kind and descriptor are equal as JSON; the other arguments are then not used.
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
        return self.repository.jobs.submit([new], self._context.clock.now(), by)[0]

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
        for number, fields in enumerate(jobs):
            try:
                new.append(arguments.new_job(self._context.descriptor_limit, **fields))
            except InvalidRequest as error:
                raise InvalidRequest(f"jobs[{number}].{error.field}", error.problem) from error
            except TypeError as error:
                raise InvalidRequest(f"jobs[{number}]", f"must hold the arguments of submit: {error}") from error
        return self.repository.jobs.submit(new, self._now(), self._acting(actor, reason)) if new else []

    def schedule(self, job: JobRef, *, actor: str | None = None, reason: str | None = None) -> Job:
        """Let a held job into the queue; one that is there already stays as it is.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It is past that.
        """
        decide = partial(leases.schedule, now=self._now(), by=self._acting(actor, reason))
        return self.repository.jobs.change(arguments.job_id(job), decide).job

    # Looking.

    def get(self, job: JobRef) -> Job:
        """The job as it stands now. Raises JobNotFound."""
        found = self.repository.jobs.find(arguments.job_id(job))
        if found is None:
            raise JobNotFound(arguments.job_id(job))
        return found

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
            node_id: Only jobs that this worker holds or that are pinned to it.
            pipeline_id: Only runs of this pipeline.
            labels: Only jobs with all of these labels.
        """
        checked.integer("limit", limit, 1, MAX_PAGE)
        if after is not None:
            checked.integer("after", after, 1, checked.MAX_ID)
        wanted = Filter(
            arguments.states("status", status), kind, node_id, pipeline_id, json.loads(checked.labels_text(labels))
        )
        found = self.repository.jobs.page(wanted, limit + 1, after)
        more = len(found) > limit
        return Page(found[:limit], found[limit - 1].id if more else None)

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

        Jobs that are submitted meanwhile are not visited; ones that are removed or leave the filter meanwhile may be
        missed, no other is, and none is visited twice.
        """
        while True:
            page = self.list(
                status, limit=limit, after=after, kind=kind, node_id=node_id, pipeline_id=pipeline_id, labels=labels
            )
            yield from page.jobs
            after = page.next_cursor
            if after is None:
                return

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state; every state is there."""
        return self.repository.jobs.counts()

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

    def checkpoint(self, job: JobRef, checkpoint_id: CheckpointRef) -> Checkpoint:
        """One checkpoint of the job. Raises JobNotFound, CheckpointNotFound."""
        number = arguments.checkpoint_number(checkpoint_id)
        found = self.repository.reports.find_checkpoint(arguments.job_id(job), number)
        if found is None:
            raise CheckpointNotFound(self.get(job).id, f"chk_{number}")
        return found

    def events(self, job: JobRef) -> Sequence[Event]:
        """The whole history of the job, oldest first. Raises JobNotFound."""
        found = self.repository.history.events(arguments.job_id(job))
        if not found:
            raise JobNotFound(arguments.job_id(job))
        return found

    def event(self, job: JobRef, event_id: int) -> Event:
        """One entry of the history of the job. Raises JobNotFound, EventNotFound."""
        checked.integer("event_id", event_id, 1, checked.MAX_ID)
        found = [event for event in self.events(job) if event.id == event_id]
        if not found:
            raise EventNotFound(arguments.job_id(job), event_id)
        return found[0]

    def workers(self) -> Sequence[WorkerInfo]:
        """The workers that said they are there, by name; one that was killed stays until its name is used again."""
        return self.repository.workers.listed()

    def worker_info(self, node_id: str) -> WorkerInfo:
        """The worker of this name. Raises WorkerNotFound."""
        found = [worker for worker in self.workers() if worker.node_id == node_id]
        if not found:
            raise WorkerNotFound(node_id)
        return found[0]

    def newest_event(self) -> int:
        """The id of the newest history entry, to `watch` what comes after it; 0 before any."""
        return self.repository.history.newest()

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
        deadline = now + checked.duration_us("timeout", self._stop_timeout if timeout is None else timeout)
        by = self._acting(actor, reason)
        decision = self.repository.jobs.change(
            arguments.job_id(job), lambda found: stopping.stop(found, chosen, deadline, self._context.chance(), now, by)
        )
        expected = stopping.expected_finish_us(decision.job)
        return StopResult(bool(decision.steps), decision.job, None if expected is None else checked.instant(expected))

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
        return self.repository.jobs.change(
            arguments.job_id(job), lambda found: rescaling.rescale(found, wanted, self._context.chance(), now, by)
        ).job

    def fail(self, job: JobRef, reason: str, *, actor: str | None = None) -> Job:
        """Fail a job for good, as its operator, and fence its worker.

        Raises:
            JobNotFound: There is no such job.
            TransitionNotAllowed: It has ended, or was never let into the queue.
        """
        message = checked.reason(reason)
        if message is None:
            raise InvalidRequest("reason", "must say why the job is given up")
        by, now = self._acting(actor, message), self._now()
        return self.repository.jobs.change(
            arguments.job_id(job), lambda found: leases.fail_by_operator(found, message, now, by)
        ).job

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
        one in `restarted_from`. Its first run starts from the checkpoint, with the progress that it was taken at.

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
        wish = Wish(
            None if checkpoint_id is None else arguments.checkpoint_number(checkpoint_id),
            None if parallelism is None else arguments.tasks("parallelism", parallelism),
        )
        by = self._acting(actor, reason)
        settling = self._context.settling(by.actor, limit=1)
        return self.repository.jobs.restart(arguments.job_id(job), wish, self._now(), settling, by)

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
        states = prunable(status)
        now = self._now()
        by = self._acting(actor, reason)
        before = None if older_than is None else now - checked.duration_us("older_than", older_than)
        jobs = self.repository.jobs
        if dry_run:
            return jobs.prunable(states, before)
        while self.sweep():
            pass
        total = jobs.prunable(states, before)
        batch = ATOMIC_PRUNE if total <= ATOMIC_PRUNE else PRUNE_BATCH
        removed = 0
        while removed < total:
            gone = jobs.prune(states, before, batch, now, by)
            if gone == 0 and jobs.prunable(states, before) == 0:  # someone else may be pruning too
                break
            removed += gone
            if progress is not None:
                progress(removed, total)
        jobs.forget_deletions(now - checked.duration_us("deletions", DELETIONS_KEPT))
        return removed

    # Working.

    def claim(
        self, node_id: str, *, kinds: Sequence[str] | None = None, lease: Duration = DEFAULT_LEASE, limit: int = 1
    ) -> Sequence[Run]:
        """Lease up to `limit` due jobs to `node_id`, without a thread that heartbeats.

        Atomic: a job goes to at most one caller. What is overdue is settled first, so no other process has to.

        Args:
            node_id: The name of the worker, 1..255 characters.
            kinds: Only jobs of these kinds; None: any.
            lease: How long the lease lasts from now, > 0, stored to the microsecond.
            limit: Most jobs to claim, 1..1000.

        Returns:
            Runs ordered by (priority, available_at, id); empty when nothing is due.
        """
        checked.text("node_id", node_id)
        checked.integer("limit", limit, 1, MAX_PAGE)
        seconds = lease if lease is DEFAULT_LEASE else checked.duration_us("lease", lease, positive=True) / 1_000_000
        return claim_runs(self._context, node_id, checked.kinds(kinds), seconds, limit)

    def complete_many(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Complete these runs, in one transaction.

        Returns:
            Those whose lease was lost: they were not completed.
        """
        return Run.complete_many(self._context, runs)

    def worker(
        self,
        node_id: str,
        *,
        kinds: Sequence[str] | None = None,
        lease: Duration = DEFAULT_LEASE,
        shutdown_timeout: Duration = 10.0,
        until_idle: bool = False,
    ) -> Worker:
        """A worker, which heartbeats on a thread of its own.

        Args:
            node_id: Its name. Two workers should not share one, though nothing breaks when they do.
            kinds: Only jobs of these kinds; None: any, or those that `serve` has handlers for.
            lease: How long a job waits for a worker that died, before another may have it; > 0.
            shutdown_timeout: How long handlers may take to end at a shutdown, before their jobs are handed back.
            until_idle: End when there is nothing to claim and nothing held, instead of waiting for more.
        """
        return Worker(
            self._context,
            node_id,
            kinds=kinds,
            lease=lease,
            shutdown_timeout=shutdown_timeout,
            until_idle=until_idle,
        )

    # Waiting.

    def wait(self, job: JobRef, *, until: StateFilter = TERMINAL, timeout: Duration | None = None) -> Job:
        """Wait until the job is in one of these states; wakes within milliseconds of it, across processes.

        Settles the job when it is overdue, so that a stop ends though nobody else looks. With a clock that is turned by
        hand, waiting turns it.

        Args:
            job: The job.
            until: A state, a filter word such as `terminal`, or several of them.
            timeout: How long at most; None: for ever.

        Returns:
            The job, in one of the states.

        Raises:
            JobNotFound: There is no such job, or it was removed meanwhile.
            WaitTimeout: It did not get there in time, or has ended elsewhere (also a `TimeoutError`).
        """
        limit = None if timeout is None else checked.seconds_of("timeout", timeout)
        return wait(self._context, arguments.job_id(job), arguments.states("until", until), limit, self._by)

    def watch(
        self, *, after: int | None = 0, job: JobRef | None = None, timeout: Duration | None = None
    ) -> Iterator[Event]:
        """What happens, as it happens: every history entry after `after`, in order, then each new one.

        Resumable: pass the `id` of the last event seen. Entries of jobs that were removed are gone.

        Args:
            after: The id of an event; 0: from the beginning; None: only what happens from now on.
            job: Only the events of this job.
            timeout: End after so long without a new event; None: never.
        """
        after = self.newest_event() if after is None else checked.integer("after", after, 0, checked.MAX_ID)
        only = None if job is None else arguments.job_id(job)
        limit = None if timeout is None else checked.seconds_of("timeout", timeout)
        return watch(self._context, after, only, limit)

    # Upkeep.

    def sweep(self, *, limit: int = 1000, actor: str | None = None) -> Sequence[Job]:
        """Settle up to `limit` overdue jobs: lost leases, passed deadlines, stops that wait for nobody.

        Claims, heartbeats, `wait` and `prune` do it too; a sweep is for when none of them comes along.

        Returns:
            The jobs that were settled, as they are now.
        """
        checked.integer("limit", limit, 1, 100_000)
        return self._settle(limit, actor)

    def audit(self, *, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Hold every job against its history, and the whole file against its invariants; reads only.

        Args:
            progress: Called with how many jobs are done and how many there are.
        """
        return self.repository.history.audit(progress)

    def backup(self, target: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the store to a new file, while it is in use. (Copying the file itself would lose what is in its log.)

        Args:
            target: A file that does not exist yet.
            progress: Called with how many pages are copied and how many there are.
        """
        self.repository.backup(os.fspath(target), progress)

    def _settle(self, limit: int, actor: str | None = None) -> Sequence[Job]:
        settling = self._context.settling(self._acting(actor, None).actor, limit=limit)
        return self.repository.leases.settle(self._now(), settling)

    def _now(self) -> int:
        return self._context.clock.now()

    def _acting(self, actor: str | None, reason: str | None) -> By:
        if actor is None and reason is None:
            return self._by
        return By(
            self._by.actor if actor is None else checked.text("actor", actor),
            self._by.reason if reason is None else checked.reason(reason),
        )
