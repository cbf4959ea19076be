"""The routes of checkpoints."""

# Annotations are values here: the framework reads them.

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from jobstate.domain.checkpoints import Checkpoint
from jobstate.http.describing import answers
from jobstate.http.parameters import RECORD, Limit, Store, View
from jobstate.http.pipeline.parameters import ROOT, CheckpointName, Completed, JobName, Offset
from jobstate.http.pipeline.reports import CheckpointRecords
from jobstate.http.pipeline.schemas import CheckpointList, CheckpointView
from jobstate.wire import pipeline, reports

_OF_JOB = f"{ROOT}/jobs/{{job_id}}/checkpoints"


def add_checkpoint_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get(_OF_JOB, tags=["pipelines"], responses=answers({200: CheckpointList | CheckpointRecords}, 400, 404))
    def list_checkpoints(
        store: Store,
        job_id: JobName,
        limit: Limit = 50,
        offset: Offset = 0,
        completed: Completed = None,
        view: View = "document",
    ) -> Response:
        """List the checkpoints of a job, newest epoch first."""
        found = store.checkpoint_slice(job_id, limit=limit, offset=offset, completed=completed)
        return JSONResponse(
            reports.checkpoints_record(found) if view == RECORD else pipeline.checkpoints_document(found)
        )

    @app.get(
        f"{_OF_JOB}/{{checkpoint_id}}",
        tags=["pipelines"],
        responses=answers({200: CheckpointView | Checkpoint}, 400, 404),
    )
    def get_checkpoint(
        store: Store, job_id: JobName, checkpoint_id: CheckpointName, view: View = "document"
    ) -> Response:
        """Look at one checkpoint: where it is kept, and what each subtask keeps in it."""
        found = store.checkpoint(job_id, checkpoint_id)
        return JSONResponse(reports.record_of(found) if view == RECORD else pipeline.checkpoint_document(found))
