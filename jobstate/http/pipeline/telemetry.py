"""The routes of what jobs report while they run: metrics, logs, errors, output."""

# Annotations are values here: the framework reads them.

from typing import Final

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from jobstate.domain.metrics import JobMetrics
from jobstate.http.describing import answers
from jobstate.http.parameters import RECORD, Limit, Store, View
from jobstate.http.pipeline.parameters import ROOT, JobName, Offset
from jobstate.http.pipeline.reading import (
    AfterEntry,
    BeforeEntry,
    ErrorLevels,
    LogLevels,
    OnlyOperator,
    OnlyTask,
    OperatorName,
    OutputFormat,
    Since,
    Until,
    levels_of,
)
from jobstate.http.pipeline.reports import ErrorList, GroupsView, LogList, MetricsView, OperatorMetricsView, OutputView
from jobstate.ports.queries import LogPage, OutputPage
from jobstate.wire import logs, metrics, output, reports

_OF_JOB: Final = f"{ROOT}/jobs/{{job_id}}"
_CSV: Final = "text/csv"
_ROWS: Final = answers({200: OutputView | OutputPage}, 400, 404)
_ROWS[200]["content"] = {_CSV: {"schema": {"type": "string"}}}


def add_telemetry_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get(f"{_OF_JOB}/metrics", tags=["pipelines"], responses=answers({200: MetricsView | JobMetrics}, 400, 404))
    def get_job_metrics(store: Store, job_id: JobName, view: View = "document") -> Response:
        """See what a job has counted, and each of its operators."""
        counted = store.metrics(job_id)
        return JSONResponse(reports.record_of(counted) if view == RECORD else metrics.metrics_document(counted))

    @app.get(
        f"{_OF_JOB}/operators/{{operator_id}}/metrics",
        tags=["pipelines"],
        responses=answers({200: OperatorMetricsView}, 400, 404),
    )
    def get_operator_metrics(store: Store, job_id: JobName, operator_id: OperatorName) -> Response:
        """See what one operator of a job has counted, and each of its subtasks."""
        return JSONResponse(metrics.operator_document(store.operator_metrics(job_id, operator_id)))

    @app.get(f"{_OF_JOB}/metric-groups", tags=["pipelines"], responses=answers({200: GroupsView}, 400, 404))
    def get_metric_groups(store: Store, job_id: JobName) -> Response:
        """See what the sources, the sinks and the transforms of a job have counted together."""
        return JSONResponse(metrics.groups_document(store.metrics(job_id)))

    @app.get(f"{_OF_JOB}/logs", tags=["pipelines"], responses=answers({200: LogList | LogPage}, 400, 404))
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
        """See what a job says, newest first; oldest first behind `after`."""
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
        return JSONResponse(reports.record_of(page) if view == RECORD else logs.logs_document(page))

    @app.get(f"{_OF_JOB}/errors", tags=["pipelines"], responses=answers({200: ErrorList | LogPage}, 400, 404))
    def get_errors(
        store: Store,
        job_id: JobName,
        level: ErrorLevels = None,
        operator_id: OnlyOperator = None,
        limit: Limit = 50,
        before: BeforeEntry = None,
        view: View = "document",
    ) -> Response:
        """See the warnings and errors of a job, newest first, tracebacks of failed runs among them."""
        page = store.errors(job_id, level=levels_of(level), operator_id=operator_id, limit=limit, before=before)
        return JSONResponse(reports.record_of(page) if view == RECORD else logs.errors_document(page))

    @app.get(f"{_OF_JOB}/output", tags=["pipelines"], responses=_ROWS)
    def get_output(
        store: Store,
        job_id: JobName,
        operator_id: OnlyOperator = None,
        limit: Limit = 50,
        offset: Offset = 0,
        shape: OutputFormat = "json",
        view: View = "document",
    ) -> Response:
        """See rows that a job writes, in the order in which it does; the newest of each operator are kept."""
        page = store.output(job_id, operator_id=operator_id, limit=limit, offset=offset)
        if shape == "csv":
            saved_as = f'attachment; filename="job_{job_id}.csv"'
            return Response(output.output_csv(page), media_type=_CSV, headers={"Content-Disposition": saved_as})
        document = reports.record_of(page) if view == RECORD else output.output_document(page, operator_id)
        return JSONResponse(document)
