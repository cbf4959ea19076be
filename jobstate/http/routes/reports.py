"""The routes of what workers report about a job: metrics, logs, errors, output, checkpoints."""

# Annotations are values here: the framework reads them.

from typing import Final

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.metrics import JobMetrics
from jobstate.http.dependencies import Store
from jobstate.http.openapi import answers
from jobstate.http.parameters import (
    RECORD,
    AfterEntry,
    BeforeEntry,
    CheckpointName,
    Completed,
    ErrorLevels,
    JobName,
    Limit,
    LogLevels,
    Offset,
    OnlyOperator,
    OnlyTask,
    OperatorName,
    OutputFormat,
    Since,
    Until,
    View,
    levels_of,
)
from jobstate.http.pipeline_documents import (
    CheckpointList,
    CheckpointRecords,
    CheckpointView,
    ErrorList,
    GroupsView,
    LogList,
    MetricsView,
    OperatorMetricsView,
    OutputView,
)
from jobstate.http.routes.pipeline import ROOT
from jobstate.ports.queries import LogPage, OutputPage
from jobstate.wire import pipeline, records, telemetry

_JOB: Final = f"{ROOT}/jobs/{{job_id}}"
_CHECKPOINTS: Final = f"{_JOB}/checkpoints"
_CSV: Final = "text/csv"
_OUTPUT: Final = answers({200: OutputView | OutputPage}, 400, 404)
_OUTPUT[200]["content"] = {_CSV: {"schema": {"type": "string"}}}


def add_report_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get(f"{_JOB}/metrics", tags=["pipelines"], responses=answers({200: MetricsView | JobMetrics}, 400, 404))
    def get_job_metrics(store: Store, job_id: JobName, view: View = "document") -> Response:
        """Get the metrics of a job, with those of each operator."""
        metrics = store.metrics(job_id)
        return JSONResponse(records.record_of(metrics) if view == RECORD else telemetry.metrics_document(metrics))

    @app.get(
        f"{_JOB}/operators/{{operator_id}}/metrics",
        tags=["pipelines"],
        responses=answers({200: OperatorMetricsView}, 400, 404),
    )
    def get_operator_metrics(store: Store, job_id: JobName, operator_id: OperatorName) -> Response:
        """Get the metrics of one operator of a job, with those of each subtask."""
        return JSONResponse(telemetry.operator_document(store.operator_metrics(job_id, operator_id)))

    @app.get(f"{_JOB}/metric-groups", tags=["pipelines"], responses=answers({200: GroupsView}, 400, 404))
    def get_metric_groups(store: Store, job_id: JobName) -> Response:
        """Get the metrics of the sources, the sinks and the transforms of a job, each together."""
        return JSONResponse(telemetry.groups_document(store.metrics(job_id)))

    @app.get(f"{_JOB}/logs", tags=["pipelines"], responses=answers({200: LogList | LogPage}, 400, 404))
    def get_logs(
        store: Store,
        job_id: JobName,
        level: LogLevels = None,
        operator_id: OnlyOperator = None,
        task_index: OnlyTask = None,
        since: Since = None,
        until: Until = None,
        limit: Limit = 50,
        before: BeforeEntry = None,
        after: AfterEntry = None,
        view: View = "document",
    ) -> Response:
        """Get log entries of a job, newest first; with `after`, oldest first."""
        page = store.logs(
            job_id,
            level=levels_of(level),
            operator_id=operator_id,
            task_index=task_index,
            since=since,
            until=until,
            limit=limit,
            before=before,
            after=after,
        )
        return JSONResponse(records.record_of(page) if view == RECORD else telemetry.logs_document(page))

    @app.get(f"{_JOB}/errors", tags=["pipelines"], responses=answers({200: ErrorList | LogPage}, 400, 404))
    def get_errors(
        store: Store,
        job_id: JobName,
        level: ErrorLevels = None,
        operator_id: OnlyOperator = None,
        limit: Limit = 50,
        before: BeforeEntry = None,
        view: View = "document",
    ) -> Response:
        """Get the warnings and errors of a job, newest first, with the tracebacks of failed runs."""
        page = store.errors(job_id, level=levels_of(level), operator_id=operator_id, limit=limit, before=before)
        return JSONResponse(records.record_of(page) if view == RECORD else telemetry.errors_document(page))

    @app.get(f"{_JOB}/output", tags=["pipelines"], responses=_OUTPUT)
    def get_output(
        store: Store,
        job_id: JobName,
        operator_id: OnlyOperator = None,
        limit: Limit = 50,
        offset: Offset = 0,
        shape: OutputFormat = "json",
        view: View = "document",
    ) -> Response:
        """Get output rows of a job in the order of writing; the store keeps the newest of each operator."""
        page = store.output(job_id, operator_id=operator_id, limit=limit, offset=offset)
        if shape == "csv":
            disposition = f'attachment; filename="job_{job_id}.csv"'
            return Response(telemetry.output_csv(page), media_type=_CSV, headers={"Content-Disposition": disposition})
        document = records.record_of(page) if view == RECORD else telemetry.output_document(page, operator_id)
        return JSONResponse(document)

    @app.get(_CHECKPOINTS, tags=["pipelines"], responses=answers({200: CheckpointList | CheckpointRecords}, 400, 404))
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
            records.checkpoints_record(found) if view == RECORD else pipeline.checkpoints_document(found)
        )

    @app.get(
        f"{_CHECKPOINTS}/{{checkpoint_id}}",
        tags=["pipelines"],
        responses=answers({200: CheckpointView | Checkpoint}, 400, 404),
    )
    def get_checkpoint(
        store: Store, job_id: JobName, checkpoint_id: CheckpointName, view: View = "document"
    ) -> Response:
        """Get one checkpoint: its location, and the size of the state of each subtask."""
        found = store.checkpoint(job_id, checkpoint_id)
        return JSONResponse(records.record_of(found) if view == RECORD else pipeline.checkpoint_document(found))
