"""The routes by which an operator changes a job: stop, restart, rescale."""

# Annotations are values here: the framework reads them.

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from jobstate.http.describing import answers
from jobstate.http.parameters import RECORD, ActingStore, View
from jobstate.http.pipeline.parameters import ROOT, JobName
from jobstate.http.pipeline.schemas import (
    RescaleAnswer,
    RescaleWish,
    RestartAnswer,
    RestartWish,
    StopAnswer,
    StopWish,
)
from jobstate.http.schemas import JobRecord
from jobstate.wire import pipeline, records

_OF_JOB = f"{ROOT}/jobs/{{job_id}}"


def add_verb_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.post(f"{_OF_JOB}/stop", tags=["pipelines"], responses=answers({200: StopAnswer}, 400, 404))
    def stop_pipeline_job(store: ActingStore, job_id: JobName, wish: StopWish | None = None) -> Response:
        """Ask a job to stop, and hear when it is stopped at the latest. One that has ended stays as it is."""
        chosen = wish or StopWish()
        result = store.stop(job_id, mode=chosen.mode, timeout=chosen.timeout_seconds)
        return JSONResponse(pipeline.stop_document(result))

    @app.post(
        f"{_OF_JOB}/restart", tags=["pipelines"], responses=answers({200: RestartAnswer | JobRecord}, 400, 404, 409)
    )
    def restart_pipeline_job(
        store: ActingStore, job_id: JobName, wish: RestartWish | None = None, view: View = "document"
    ) -> Response:
        """Go on with a job that failed or was stopped, as a new job."""
        chosen = wish or RestartWish()
        restarted = store.restart(job_id, chosen.checkpoint_id, parallelism=chosen.parallelism)
        return JSONResponse(records.job_record(restarted) if view == RECORD else pipeline.restart_document(restarted))

    @app.post(
        f"{_OF_JOB}/rescale", tags=["pipelines"], responses=answers({200: RescaleAnswer | JobRecord}, 400, 404, 409)
    )
    def rescale_pipeline_job(
        store: ActingStore, job_id: JobName, wish: RescaleWish, view: View = "document"
    ) -> Response:
        """Ask for another number of tasks; a job that nobody runs gets it at once."""
        job = store.rescale(job_id, wish.parallelism)
        return JSONResponse(records.job_record(job) if view == RECORD else pipeline.rescale_document(job))
