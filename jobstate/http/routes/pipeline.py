"""The routes of jobs in the pipeline dialect: list, get, submit, delete, stop, restart, rescale."""

# Annotations are values here: the framework reads them.

from typing import Annotated

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from jobstate.domain.job import Job
from jobstate.http.dependencies import ActingStore, Store
from jobstate.http.documents import JobRecord
from jobstate.http.openapi import answers
from jobstate.http.parameters import (
    RECORD,
    AfterJob,
    JobName,
    JobOffset,
    Limit,
    Pipeline,
    Running,
    Sort,
    View,
    states_parameter,
)
from jobstate.http.pipeline_documents import PipelineJob, PipelineJobs, RescaleAnswer, RestartAnswer, StopAnswer
from jobstate.http.requests import PipelineSubmission, RescaleBody, RestartBody, StopBody
from jobstate.http.routes.jobs import DELETION, deletion_answer, submitted_status
from jobstate.ports.queries import Slice
from jobstate.store.job_store import JobStore
from jobstate.wire import pipeline, records
from jobstate.wire.job_fields import job_name
from jobstate.wire.states import Dialect, selected, spelling

ROOT = "/api/v1"
_JOBS = f"{ROOT}/jobs"
_JOB = f"{_JOBS}/{{job_id}}"
_DIALECT = Dialect.PIPELINE
_States = Annotated[str, states_parameter(_DIALECT, "States, with commas; case, `-` and `_` are ignored.")]


def _answer(store: JobStore, job: Job, status: int = 200) -> JSONResponse:
    """A job with its metrics."""
    return JSONResponse(pipeline.job_document(job, store.metrics(job).totals), status)


def add_pipeline_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get(_JOBS, tags=["pipelines"], responses=answers({200: PipelineJobs}, 400))
    def list_pipeline_jobs(
        store: Store,
        pipeline_id: Pipeline = None,
        state: _States = "all",
        running: Running = None,
        limit: Limit = 20,
        offset: JobOffset = 0,
        sort: Sort = None,
        after: AfterJob = None,
    ) -> Response:
        """List the jobs of a pipeline or of all, newest first or in another order."""
        states = selected(state, _DIALECT, "state")
        if running is not None:
            states &= pipeline.RUNNING if running else frozenset(spelling(_DIALECT)) - pipeline.RUNNING
        if not states:
            return JSONResponse(pipeline.jobs_document(Slice([], has_more=False)))
        found = store.ordered(
            states,
            sort="-id" if sort is None else pipeline.parse_sort(sort),
            limit=limit,
            offset=offset,
            after=after,
            pipeline_id=pipeline_id,
            spelling=spelling(_DIALECT),
        )
        return JSONResponse(pipeline.jobs_document(found))

    @app.post(
        _JOBS,
        tags=["pipelines"],
        status_code=201,
        responses=answers({201: PipelineJob, 200: PipelineJob}, 400, 409, 413, 415),
    )
    def submit_pipeline_job(store: ActingStore, submission: PipelineSubmission) -> Response:
        """Submit a job. When a live job holds its key and is the same job, that one is the answer, with 200."""
        job = store.submit(**submission.arguments())
        answer = _answer(store, job, submitted_status(job))
        answer.headers["Location"] = f"{ROOT}/jobs/{job_name(job.id)}"
        return answer

    @app.get(_JOB, tags=["pipelines"], responses=answers({200: PipelineJob}, 400, 404))
    def get_pipeline_job(store: Store, job_id: JobName) -> Response:
        """Get one job."""
        return _answer(store, store.get(job_id))

    @app.delete(_JOB, tags=["pipelines"], status_code=204, responses=DELETION)
    def delete_pipeline_job(store: ActingStore, job_id: JobName) -> Response:
        """Delete a job that has ended; a missing job is not an error."""
        return deletion_answer(store.delete(job_id))

    @app.post(f"{_JOB}/stop", tags=["pipelines"], responses=answers({200: StopAnswer}, 400, 404))
    def stop_pipeline_job(store: ActingStore, job_id: JobName, body: StopBody | None = None) -> Response:
        """Request a stop; the answer has the latest time of its end. A job that has ended does not change."""
        chosen = body or StopBody()
        result = store.stop(job_id, mode=chosen.mode, timeout=chosen.timeout_seconds)
        return JSONResponse(pipeline.stop_document(result))

    @app.post(f"{_JOB}/restart", tags=["pipelines"], responses=answers({200: RestartAnswer | JobRecord}, 400, 404, 409))
    def restart_pipeline_job(
        store: ActingStore, job_id: JobName, body: RestartBody | None = None, view: View = "document"
    ) -> Response:
        """Restart a job that failed or was stopped, as a new job."""
        chosen = body or RestartBody()
        restarted = store.restart(job_id, chosen.checkpoint_id, parallelism=chosen.parallelism)
        return JSONResponse(records.job_record(restarted) if view == RECORD else pipeline.restart_document(restarted))

    @app.post(f"{_JOB}/rescale", tags=["pipelines"], responses=answers({200: RescaleAnswer | JobRecord}, 400, 404, 409))
    def rescale_pipeline_job(
        store: ActingStore, job_id: JobName, body: RescaleBody, view: View = "document"
    ) -> Response:
        """Request another number of tasks; a job that no worker holds has it at once."""
        job = store.rescale(job_id, body.parallelism)
        return JSONResponse(records.job_record(job) if view == RECORD else pipeline.rescale_document(job))
