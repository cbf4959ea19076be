"""The routes of jobs in the pipeline dialect: list, look, submit, delete."""

# Annotations are values here: the framework reads them.

from typing import Annotated

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from jobstate.domain.job import Job
from jobstate.http.describing import answers
from jobstate.http.jobs import DELETION, deletion_answer, submitted_status
from jobstate.http.parameters import ActingStore, Limit, Pipeline, Store, states_parameter
from jobstate.http.pipeline.parameters import ROOT, AfterJob, JobName, JobOffset, Running, Sort
from jobstate.http.pipeline.schemas import PipelineJob, PipelineJobs, PipelineSubmission
from jobstate.ports.queries import Slice
from jobstate.store.store import JobStore
from jobstate.wire import pipeline
from jobstate.wire.vocabulary import Dialect, selected, spelling

_DIALECT = Dialect.PIPELINE
_States = Annotated[str, states_parameter(_DIALECT, "Words for states, with commas; case, `-` and `_` do not matter.")]


def _answer(store: JobStore, job: Job, status: int = 200) -> JSONResponse:
    """A job with what it has counted."""
    return JSONResponse(pipeline.job_document(job, store.metrics(job).totals), status)


def add_pipeline_job_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get(f"{ROOT}/jobs", tags=["pipelines"], responses=answers({200: PipelineJobs}, 400))
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
            sort="-id" if sort is None else pipeline.sort_in(sort),
            limit=limit,
            offset=offset,
            after=after,
            pipeline_id=pipeline_id,
            spelling=spelling(_DIALECT),
        )
        return JSONResponse(pipeline.jobs_document(found))

    @app.post(
        f"{ROOT}/jobs",
        tags=["pipelines"],
        status_code=201,
        responses=answers({201: PipelineJob, 200: PipelineJob}, 400, 409, 413, 415),
    )
    def submit_pipeline_job(store: ActingStore, submission: PipelineSubmission) -> Response:
        """Add a job to the queue. The live job that holds its key, if it is the same one, is answered with 200."""
        job = store.submit(**submission.arguments())
        answer = _answer(store, job, submitted_status(job))
        answer.headers["Location"] = f"{ROOT}/jobs/{pipeline.named(job.id)}"
        return answer

    @app.get(f"{ROOT}/jobs/{{job_id}}", tags=["pipelines"], responses=answers({200: PipelineJob}, 400, 404))
    def get_pipeline_job(store: Store, job_id: JobName) -> Response:
        """Look at one job."""
        return _answer(store, store.get(job_id))

    @app.delete(f"{ROOT}/jobs/{{job_id}}", tags=["pipelines"], status_code=204, responses=DELETION)
    def delete_pipeline_job(store: ActingStore, job_id: JobName) -> Response:
        """Remove a job that has ended; one that is absent is no error."""
        return deletion_answer(store.delete(job_id))
