"""Which jobs there are, what happened to them, and who works."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from jobstate.core import arguments
from jobstate.core.arguments import MAX_OFFSET, MAX_PAGE, JobRef, StateFilter
from jobstate.domain import validation
from jobstate.domain.errors import EventNotFound, JobNotFound, WorkerNotFound
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import State
from jobstate.ports.queries import Filter, Page, Slice
from jobstate.ports.repository import WorkerInfo
from jobstate.store.base import StorePart


class Looking(StorePart):
    """What is there; reads only."""

    def get(self, job: JobRef) -> Job:
        """The job as it stands now. Raises JobNotFound."""
        found = self.repository.jobs.find(arguments.job_id(job))
        if found is None:
            raise JobNotFound(arguments.job_id(job))
        return Job(found)

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
            node_id: Only jobs that this worker holds or that are pinned to it; empty: those pinned to nobody.
            pipeline_id: Only runs of this pipeline.
            labels: Only jobs with all of these labels.

        Raises:
            InvalidRequest: An argument is not as described.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        if after is not None:
            validation.integer("after", after, 1, validation.MAX_ID)
        wanted = Filter(
            arguments.states("status", status),
            arguments.only("kind", kind),
            arguments.only("node_id", node_id, empty=True),
            arguments.only("pipeline_id", pipeline_id),
            json.loads(validation.labels_text(labels)),
        )
        found = [Job(row) for row in self.repository.jobs.page(wanted, limit + 1, after)]
        more = len(found) > limit
        return Page(found[:limit], found[limit - 1].id if more else None)

    def ordered(
        self,
        status: StateFilter = "all",
        *,
        sort: str = "-id",
        limit: int = 20,
        offset: int = 0,
        after: int | None = None,
        pipeline_id: str | None = None,
        spelling: Mapping[State, str] | None = None,
    ) -> Slice[Job]:
        """Jobs in an order of your choice, from some place on; `list` is cheaper where newest first will do.

        What is sorted by anything but the id is sorted anew at each call, so it takes time for each job of the filter.

        Args:
            status: `all`, `active` (live), `terminal`, `error`, a state, or several of them; case does not matter.
            sort: `id`, `created_at`, `started_at`, `finished_at`, `state` or `run_id`; with `-` before it the largest
                come first. Ties go by id in the same direction; jobs without such a value come last in either.
            limit: 1..1000.
            offset: How many jobs to leave out, 0..10,000.
            after: Only jobs with ids below this one: with `-id`, those behind it.
            pipeline_id: Only runs of this pipeline.
            spelling: How states are spelled where they are sorted by; None: as they are stored.
        """
        validation.integer("limit", limit, 1, MAX_PAGE)
        validation.integer("offset", offset, 0, MAX_OFFSET)
        if after is not None:
            validation.integer("after", after, 1, validation.MAX_ID)
        wanted = Filter(arguments.states("status", status), pipeline_id=arguments.only("pipeline_id", pipeline_id))
        order = arguments.order("sort", sort, spelling)
        found = [Job(row) for row in self.repository.jobs.ordered(wanted, order, limit + 1, offset, after)]
        return Slice(found[:limit], len(found) > limit)

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

    def events(self, job: JobRef) -> Sequence[Event]:
        """The whole history of the job, oldest first. Raises JobNotFound."""
        found = self.repository.history.events(arguments.job_id(job))
        if not found:
            raise JobNotFound(arguments.job_id(job))
        return found

    def event(self, job: JobRef, event_id: int) -> Event:
        """One entry of the history of the job. Raises JobNotFound, EventNotFound."""
        validation.integer("event_id", event_id, 1, validation.MAX_ID)
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
