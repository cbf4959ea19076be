"""The routes of jobs: list, look, submit, stop, schedule, fail, delete, prune."""

# Annotations are values here: the framework reads them, and some are made for the dialect.

from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from jobstate.core.change_notifier import ChangeNotifier
from jobstate.domain.errors import StoreUnavailable
from jobstate.domain.job import Job
from jobstate.domain.stop import StopMode
from jobstate.http.describing import answers
from jobstate.http.parameters import (
    RECORD,
    ActingStore,
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
    Store,
    View,
    states_parameter,
)
from jobstate.http.schemas import JobRecord, ProgressRecord, Submission, Views
from jobstate.wire import amp, labels, records
from jobstate.wire.durations import age_in
from jobstate.wire.vocabulary import Dialect, selected

DELETION: Final = answers({204: None}, 400, 409, headers={"X-Deleted-Count": "1; 0 where it was absent."})


def job_answer(job: Job, dialect: Dialect, view: str, status: int = 200) -> JSONResponse:
    """A job, as its document or whole."""
    return JSONResponse(records.job_record(job) if view == RECORD else amp.job_document(job, dialect), status)


def submitted_status(job: Job) -> int:
    """200 where a live job stood in for the submission."""
    return 200 if job.deduplicated else 201


def deletion_answer(removed: bool) -> Response:
    """What the deletion of one job is answered with."""
    return Response(status_code=204, headers={"X-Deleted-Count": str(int(removed))})


def add_job_routes(app: FastAPI, dialect: Dialect, views: Views) -> None:
    """Add the routes, with states as the dialect spells them."""
    a_job = views.job | JobRecord
    states = Annotated[
        str, states_parameter(dialect, "Words for states, with commas; case, `-` and `_` do not matter.")
    ]

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
            labels=None if label is None else labels.read("label", label),
        )
        if view == RECORD:
            found = [records.job_record(job) for job in page.jobs]
            return JSONResponse({"jobs": found, "next_cursor": page.next_cursor})
        return JSONResponse(amp.page_document(page.jobs, page.next_cursor, dialect))

    @app.post("/jobs", tags=["jobs"], status_code=201, responses=answers({201: a_job, 200: a_job}, 400, 409, 413, 415))
    def submit_job(store: ActingStore, submission: Submission, view: View = "document") -> Response:
        """Add a job to the queue. The live job that holds its key, if it is the same one, is answered with 200."""
        job = store.submit(**submission.arguments())
        answer = job_answer(job, dialect, view, submitted_status(job))
        answer.headers["Location"] = f"/jobs/{job.id}"
        return answer

    @app.delete(
        "/jobs",
        tags=["jobs"],
        status_code=204,
        responses=answers({204: None}, 400, headers={"X-Deleted-Count": "How many were removed, or would be."}),
    )
    def prune_jobs(
        request: Request,
        store: ActingStore,
        status: PruneWord,
        older_than: Age = None,
        dry_run: Flag = False,
    ) -> Response:
        """Remove all jobs that have ended, or those of one sort."""
        age = None if older_than is None else age_in("older_than", older_than)
        changes: ChangeNotifier = request.app.state.changes

        def unless_ended(done: int, total: int) -> None:
            if changes.ended and done < total:
                raise StoreUnavailable(store.path, "the server is about to end; ask again, it goes on where it was")

        removed = store.prune(status, older_than=age, dry_run=dry_run, progress=unless_ended)
        return Response(status_code=204, headers={"X-Deleted-Count": str(removed)})

    @app.get("/jobs/{job_id}", tags=["jobs"], responses=answers({200: a_job}, 400, 404))
    def get_job(store: Store, job_id: JobId, view: View = "document") -> Response:
        """Look at one job."""
        return job_answer(store.get(job_id), dialect, view)

    @app.delete(
        "/jobs/{job_id}",
        tags=["jobs"],
        status_code=204,
        responses=DELETION,
    )
    def delete_job(store: ActingStore, job_id: JobId) -> Response:
        """Remove a job that has ended; one that is absent is no error."""
        return deletion_answer(store.delete(job_id))

    @app.get(
        "/jobs/{job_id}/progress", tags=["jobs"], responses=answers({200: views.progress | ProgressRecord}, 400, 404)
    )
    def get_progress(store: Store, job_id: JobId, view: View = "document") -> Response:
        """See how far a job got, per table that it writes."""
        if view == RECORD:
            return JSONResponse(records.progress_record(store.progress(job_id)))
        job = store.get(job_id)
        return JSONResponse(amp.progress_document(job, store.progress(job), dialect))

    @app.put("/jobs/{job_id}/stop", tags=["jobs"], response_class=Response, responses=answers({200: None}, 400, 404))
    def stop_job(
        store: ActingStore,
        job_id: JobId,
        mode: Annotated[StopMode, Query(description="How hard.")] = StopMode.CHECKPOINT,
        timeout_seconds: StopSeconds = None,
        view: View = "document",
    ) -> Response:
        """Ask a job to stop; the answer is empty. One that is stopping or has ended stays as it is."""
        result = store.stop(job_id, mode=mode, timeout=timeout_seconds)
        return JSONResponse(records.stop_record(result)) if view == RECORD else Response()

    @app.put("/jobs/{job_id}/schedule", tags=["jobs"], responses=answers({200: a_job}, 400, 404, 409))
    def schedule_job(store: ActingStore, job_id: JobId, view: View = "document") -> Response:
        """Let a held job into the queue."""
        return job_answer(store.schedule(job_id), dialect, view)

    @app.put("/jobs/{job_id}/fail", tags=["jobs"], responses=answers({200: a_job}, 400, 404, 409))
    def fail_job(
        store: ActingStore,
        job_id: JobId,
        reason: RequiredReason,
        view: View = "document",
    ) -> Response:
        """Fail a job for good, and fence the worker that has it. The reason is required here."""
        return job_answer(store.fail(job_id, unquote(reason)), dialect, view)
