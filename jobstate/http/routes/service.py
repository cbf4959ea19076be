"""The routes about workers and the server itself: workers, health, metrics."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from jobstate._version import __version__
from jobstate.http.dependencies import Store
from jobstate.http.documents import Health, WorkersView, WorkerView
from jobstate.http.metrics import ServerMetrics
from jobstate.http.openapi import answers
from jobstate.http.parameters import NodeId
from jobstate.wire import documents


def add_service_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get("/workers", tags=["service"], responses=answers({200: WorkersView}, 400))
    def list_workers(store: Store) -> Response:
        """List the workers."""
        return JSONResponse({"workers": [documents.worker_document(worker) for worker in store.workers()]})

    @app.get("/workers/{node_id:path}", tags=["service"], responses=answers({200: WorkerView}, 400, 404))
    def get_worker(store: Store, node_id: NodeId) -> Response:
        """Get one worker."""
        return JSONResponse(documents.worker_document(store.worker_info(node_id)))

    @app.get("/healthz", tags=["service"], responses=answers({200: Health}, 400))
    def get_health(store: Store) -> Response:
        """Check that the server and its store answer. Needs no token."""
        return JSONResponse({"status": "ok", "version": __version__, "schema_version": store.schema_version})

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse, responses=answers({200: None}, 400))
    def get_metrics(request: Request) -> Response:
        """Get the metrics that Prometheus scrapes."""
        metrics: ServerMetrics = request.app.state.metrics
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
