"""The routes of jobs in the Amp dialects: list, get, submit, stop, schedule, fail, delete, prune."""

# Annotations are values here: the framework reads them, and some are made for the dialect.

from typing import Annotated, Final, cast
from urllib.parse import unquote

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from jobstate.core.arguments import PruneFilter
from jobstate.domain.errors import StoreUnavailable
from jobstate.domain.job import Job
from jobstate.domain.stop import StopMode
from jobstate.http.dependencies import ActingStore, Store, changes_of
from jobstate.http.documents import JobRecord, ProgressRecord, Views
from jobstate.http.openapi import answers
from jobstate.http.parameters import (
    RECORD,
    Age,
    Cursor,
    Flag,
    JobId,
    Kind,
    Label,
    Limit,
    Node,
    Pipeline,
    PruneWord,
    RequiredReason,
    StopSeconds,
    View,
    states_parameter,
)
from jobstate.http.requests import Submission
from jobstate.wire import documents, records
from jobstate.wire.formats import parse_age, parse_labels
from jobstate.wire.states import Dialect, selected

DELETION: Final = answers({204: None}, 400, 409, headers={"X-Deleted-Count": "1; 0 where there was no such job."})


def job_answer(job: Job, dialect: Dialect, view: str, status: int = 200) -> JSONResponse:
    """A job, as document or record."""
    return JSONResponse(records.job_record(job) if view == RECORD else documents.job_document(job, dialect), status)


def submitted_status(job: Job) -> int:
    """201; 200 when the answer is the live job that already holds the key."""
    return 200 if job.deduplicated else 201


def deletion_answer(removed: bool) -> Response:
    """The answer to the deletion of one job."""
    return Response(status_code=204, headers={"X-Deleted-Count": str(int(removed))})


def add_job_routes(app: FastAPI, dialect: Dialect, views: Views) -> None:
    """Add the routes, with states as the dialect spells them."""
    a_job = views.job | JobRecord
    states = Annotated[str, states_parameter(dialect, "States, with commas; case, `-` and `_` are ignored.")]

    @app.get("/jobs", tags=["jobs"], responses=answers({200: views.page | views.record_page}, 400))
    def list_jobs(
        store: Store,
        limit: Limit = 50,
        last_job_id: Cursor = None,
        status: states = "active",
        kind: Kind = None,
        node_id: Node = None,
        pipeline_id: Pipeline = None,
        label: Label = None,
        view: View = "document",
    ) -> Response:
        """List jobs, newest first."""
        page = store.list(
            selected(status, dialect),
            limit=limit,
            after=last_job_id,
            kind=kind,
            node_id=node_id,
            pipeline_id=pipeline_id,
            labels=None if label is None else parse_labels("label", label),
        )
        if view == RECORD:
            found = [records.job_record(job) for job in page.jobs]
            return JSONResponse({"jobs": found, "next_cursor": page.next_cursor})
        return JSONResponse(documents.page_document(page.jobs, page.next_cursor, dialect))

    @app.post("/jobs", tags=["jobs"], status_code=201, responses=answers({201: a_job, 200: a_job}, 400, 409, 413, 415))
    def submit_job(store: ActingStore, submission: Submission, view: View = "document") -> Response:
        """Submit a job. When a live job holds its key and is the same job, that one is the answer, with 200."""
        job = store.submit(**submission.arguments())
        answer = job_answer(job, dialect, view, submitted_status(job))
        answer.headers["Location"] = f"/jobs/{job.id}"
        return answer

    @app.delete(
        "/jobs",
        tags=["jobs"],
        status_code=204,
        responses=answers({204: None}, 400, headers={"X-Deleted-Count": "How many jobs were removed, or would be."}),
    )
    def prune_jobs(
        request: Request,
        store: ActingStore,
        status: PruneWord,
        older_than: Age = None,
        dry_run: Flag = False,
    ) -> Response:
        """Delete jobs that have ended: all of them, or those in one state."""
        age = None if older_than is None else parse_age("older_than", older_than)
        changes = changes_of(request)

        def unless_server_stops(done: int, total: int) -> None:
            if changes.stopping and done < total:
                raise StoreUnavailable(
                    store.path, "the server is stopping; repeat the call, it continues where it stopped"
                )

        removed = store.prune(
            cast("PruneFilter", status), older_than=age, dry_run=dry_run, progress=unless_server_stops
        )
        return Response(status_code=204, headers={"X-Deleted-Count": str(removed)})

    @app.get("/jobs/{job_id}", tags=["jobs"], responses=answers({200: a_job}, 400, 404))
    def get_job(store: Store, job_id: JobId, view: View = "document") -> Response:
        """Get one job."""
        return job_answer(store.get(job_id), dialect, view)

    @app.delete(
        "/jobs/{job_id}",
        tags=["jobs"],
        status_code=204,
        responses=DELETION,
    )
    def delete_job(store: ActingStore, job_id: JobId) -> Response:
        """Delete a job that has ended; a missing job is not an error."""
        return deletion_answer(store.delete(job_id))

    @app.get(
        "/jobs/{job_id}/progress", tags=["jobs"], responses=answers({200: views.progress | ProgressRecord}, 400, 404)
    )
    def get_progress(store: Store, job_id: JobId, view: View = "document") -> Response:
        """Get the progress of a job, by table."""
        if view == RECORD:
            return JSONResponse(records.progress_record(store.progress(job_id)))
        job = store.get(job_id)
        return JSONResponse(documents.progress_document(job, store.progress(job), dialect))

    @app.put("/jobs/{job_id}/stop", tags=["jobs"], response_class=Response, responses=answers({200: None}, 400, 404))
    def stop_job(
        store: ActingStore,
        job_id: JobId,
        mode: Annotated[StopMode, Query(description="How the worker stops.")] = StopMode.CHECKPOINT,
        timeout_seconds: StopSeconds = None,
        view: View = "document",
    ) -> Response:
        """Request a stop; the answer is empty. A job that is stopping or has ended does not change."""
        result = store.stop(job_id, mode=mode, timeout=timeout_seconds)
        return JSONResponse(records.stop_record(result)) if view == RECORD else Response()

    @app.put("/jobs/{job_id}/schedule", tags=["jobs"], responses=answers({200: a_job}, 400, 404, 409))
    def schedule_job(store: ActingStore, job_id: JobId, view: View = "document") -> Response:
        """Schedule a held job."""
        return job_answer(store.schedule(job_id), dialect, view)

    @app.put("/jobs/{job_id}/fail", tags=["jobs"], responses=answers({200: a_job}, 400, 404, 409))
    def fail_job(
        store: ActingStore,
        job_id: JobId,
        reason: RequiredReason,
        view: View = "document",
    ) -> Response:
        """Fail a job for good, and fence its worker. The reason is required."""
        return job_answer(store.fail(job_id, unquote(reason)), dialect, view)
