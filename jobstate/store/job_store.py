"""`JobStore`, what `jobstate.open` returns: the shared operations, and those that need the store itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from jobstate.core import arguments
from jobstate.core.arguments import MAX_OFFSET, MAX_PAGE, Duration, SortWord, StateFilter
from jobstate.core.context import DEFAULT_LEASE, Context
from jobstate.domain import validation
from jobstate.domain.audit import AuditReport
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.event import SWEEPER, Actor
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import State
from jobstate.observers.observer import Sweep
from jobstate.operations.operations import Operations
from jobstate.operations.requests import Request
from jobstate.ports.queries import Filter, Slice
from jobstate.ports.repository import Repository
from jobstate.store.performers import PERFORMERS
from jobstate.worker.run import Run, control_of
from jobstate.worker.run_control import RunControl
from jobstate.worker.session import claim_runs
from jobstate.worker.worker import Worker
from jobstate.worker.worker_control import WorkerControl

T = TypeVar("T")


class JobStore(Operations):
    """The jobs of one store. Safe to use from several threads; a forked child opens its own.

    Every method that changes something takes `actor` and `reason`, which the history keeps; `acting` sets them for
    many calls. Instants that are passed in must have a time zone; durations are seconds or timedeltas. Every method
    may raise a `StoreError` (`StoreBusy`, `StoreFull`, …); then nothing was changed.
    """

    def __init__(self, context: Context, by: Actor) -> None:
        super().__init__(by, context.descriptor_limit)
        self._context = context
        self.repository: Repository = context.repository
        """The port below; for tools that build on it."""

    def _perform(self, request: Request[T]) -> T:
        result: T = PERFORMERS.functions[type(request)](self._context, request)
        return result

    @property
    def path(self) -> str:
        """Where the store is: the path of its file."""
        return self.repository.path

    @property
    def schema_version(self) -> int:
        """The version of the schema in the store."""
        return self.repository.schema_version()

    def close(self) -> None:
        """Close the store; later calls raise `StoreClosed`. A database of the caller's own stays open."""
        self.repository.close()
        if self._context.dispatcher is not None:
            self._context.dispatcher.close()

    def batch(self) -> AbstractContextManager[Any]:
        """Many changes, one commit: an error that leaves the block undoes all of them."""
        return self.repository.transaction()

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
                new.append(arguments.new_job(self._descriptor_limit, **fields))
            except InvalidRequest as error:
                raise InvalidRequest(f"jobs[{number}].{error.field}", error.problem) from error
            except TypeError as error:
                raise InvalidRequest(f"jobs[{number}]", f"must hold the arguments of submit: {error}") from error
        by = self._acting(actor, reason)
        rows = self.repository.jobs.submit(new, self._context.clock.now(), by) if new else []
        return [Job(row) for row in rows]

    # Queries that no server answers in this form.

    def ordered(
        self,
        status: StateFilter = "all",
        *,
        sort: SortWord = "-id",
        limit: int = 20,
        offset: int = 0,
        after: int | None = None,
        pipeline_id: str | None = None,
        spelling: Mapping[State, str] | None = None,
    ) -> Slice[Job]:
        """Jobs in an order of your choice; `list` is cheaper where newest first will do.

        Every call sorts all jobs of the filter again, except by id.

        Args:
            status: `all`, `active` (live), `terminal`, `error`, a state, or several of them; case does not matter.
            sort: `id`, `created_at`, `started_at`, `finished_at`, `state` or `run_id`; with `-` before it the largest
                come first. Ties go by id in the same direction; jobs without such a value come last in either.
            limit: 1..1000.
            offset: How many jobs to skip, 0..10,000.
            after: Only jobs with ids below this one: with `-id`, those behind it.
            pipeline_id: Only runs of this pipeline.
            spelling: The words that states are sorted by; None: their names.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, MAX_OFFSET)
        if after is not None:
            validation.integer("after", after, 1, validation.MAX_ID)
        wanted = Filter(arguments.states("status", status), pipeline_id=arguments.only("pipeline_id", pipeline_id))
        order = arguments.order("sort", sort, spelling)
        rows = self.repository.jobs.ordered(wanted, order, limit + 1, offset, after)
        return Slice([Job(row) for row in rows[:limit]], len(rows) > limit)

    def counts(self) -> dict[State, int]:
        """How many jobs are in each state, for every state."""
        return self.repository.jobs.counts()

    def newest_event(self) -> int:
        """The id of the newest history entry, to `watch` what comes after it; 0 before any."""
        return self.repository.history.newest()

    # Workers.

    def claim(
        self, node_id: str, *, kinds: Sequence[str] | None = None, lease: Duration = DEFAULT_LEASE, limit: int = 1
    ) -> Sequence[Run]:
        """Lease up to `limit` due jobs to `node_id`, without a thread that heartbeats.

        Atomic: a job goes to at most one caller. The claim settles overdue jobs first, so no other process has to.

        Args:
            node_id: The name of the worker, 1..255 characters.
            kinds: Only jobs of these kinds; None: any.
            lease: How long the lease lasts from now, > 0, stored to the microsecond.
            limit: Most jobs to claim, 1..1000.

        Returns:
            Runs ordered by (priority, available_at, id); empty when nothing is due.
        """
        validation.text("node_id", node_id)
        validation.integer("limit", limit, 1, MAX_PAGE)
        seconds = lease if lease is DEFAULT_LEASE else validation.duration_us("lease", lease, positive=True) / 1_000_000
        return claim_runs(self._context, node_id, validation.kinds(kinds), seconds, limit)

    def complete_many(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Complete these runs, in one transaction.

        Returns:
            Those whose lease was lost: they were not completed.
        """
        held = [
            validation.instance(f"runs[{place}]", run, Run)
            for place, run in enumerate(validation.several("runs", runs, "runs"))
        ]
        refused = RunControl.complete_many(self._context, [control_of(run) for run in held])
        return [run for run in held if control_of(run) in refused]

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
            lease: How long a job waits for a worker that died, before another may claim it; > 0.
            shutdown_timeout: How long handlers may take to end at a shutdown, before the worker hands their jobs back.
            until_idle: End when no job is due, none is held and no handler is at work, instead of waiting for more.
        """
        control = WorkerControl(
            self._context,
            node_id,
            kinds=kinds,
            lease=lease,
            shutdown_timeout=shutdown_timeout,
            until_idle=until_idle,
        )
        return Worker(control)

    # Maintenance.

    def sweep(self, *, limit: int = 1000, actor: str | None = None) -> Sequence[Job]:
        """Settle up to `limit` overdue jobs: lost leases, passed deadlines, stops of jobs that no worker holds.

        Claims, heartbeats, `wait` and `prune` do it too; a sweep is for when none of them runs.

        Returns:
            The jobs that were settled, as they are now.
        """
        validation.integer("limit", limit, 1, 100_000)
        context, name = self._context, self._acting(actor, None).name
        settled = self.repository.leases.settle(context.clock.now(), context.expiry_policy(name, limit=limit))
        if not settled and context.dispatcher is not None:
            context.dispatcher.deliver_unordered(Sweep(f"{SWEEPER}{name}", ()))
        return [Job(row) for row in settled]

    def audit(self, *, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Check every job against its history, and the whole file against its invariants; reads only.

        Args:
            progress: Called with how many jobs are done and how many there are.
        """
        validation.callback("progress", progress)
        return self.repository.history.audit(progress)

    def backup(self, target: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the store to a new file, while it is in use. (A copy of the file alone would lack its write-ahead log.)

        Args:
            target: A file that does not exist yet.
            progress: Called with how many pages are copied and how many there are.
        """
        if not isinstance(target, str | os.PathLike):
            raise InvalidRequest("target", f"must be a path, not {target!r}")
        validation.callback("progress", progress)
        self.repository.backup(os.fspath(target), progress)
