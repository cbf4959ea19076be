"""Which jobs there are, what happened to them, and who works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobstate.client import queries
from jobstate.client.part import ClientPart, job_path
from jobstate.client.queries import RECORD
from jobstate.core import arguments
from jobstate.core.arguments import MAX_PAGE, JobRef, StateFilter
from jobstate.domain import validation
from jobstate.domain.errors import WorkerNotFound
from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.ports.queries import Page
from jobstate.ports.repository import WorkerInfo
from jobstate.wire import records


class Looking(ClientPart):
    """What is there; reads only."""

    def get(self, job: JobRef) -> Job:
        """The job as it stands now. Raises JobNotFound."""
        return self._look(job_path(job), records.job_of, RECORD)

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
        validation.integer("limit", limit, 1, MAX_PAGE)
        if after is not None:
            validation.integer("after", after, 1, validation.MAX_ID)
        wanted = arguments.states("status", status)
        status_words = queries.words(wanted)
        query = {
            **RECORD,
            "status": status_words.text,
            "limit": limit,
            "kind": arguments.only("kind", kind),
            "node_id": arguments.only("node_id", node_id, empty=True),
            "pipeline_id": arguments.only("pipeline_id", pipeline_id),
            "label": queries.labels(labels),
        }
        found: list[Job] = []
        while True:
            page = self._look("/jobs", _page_of, {**query, "last_job_id": after})
            if status_words.exact:
                return page
            found += [job for job in page.jobs if job.state in wanted]
            after = page.next_cursor
            if len(found) > limit:
                return Page(found[:limit], found[limit - 1].id)
            if after is None:
                return Page(found, None)

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

    def events(self, job: JobRef) -> Sequence[Event]:
        """The whole history of the job, oldest first. Raises JobNotFound."""
        return self._look(
            f"{job_path(job)}/events", lambda document: [records.event_of(event) for event in document["events"]]
        )

    def event(self, job: JobRef, event_id: int) -> Event:
        """One entry of the history of the job. Raises JobNotFound, EventNotFound."""
        validation.integer("event_id", event_id, 1, validation.MAX_ID)
        return self._look(f"{job_path(job)}/events/{event_id}", records.event_of)

    def workers(self) -> Sequence[WorkerInfo]:
        """The workers that said they are there, by name; one that was killed stays until its name is used again."""
        return self._look("/workers", lambda document: [records.worker_of(worker) for worker in document["workers"]])

    def worker_info(self, node_id: str) -> WorkerInfo:
        """The worker of this name. Raises WorkerNotFound."""
        # Not by a path of its own: not every name can stand in one, `..` for example.
        found = [worker for worker in self.workers() if worker.node_id == node_id]
        if not found:
            raise WorkerNotFound(node_id)
        return found[0]


def _page_of(document: Any) -> Page:
    return Page([records.job_of(record) for record in document["jobs"]], document["next_cursor"])
