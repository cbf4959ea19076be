"""The routes about the server and its workers: who works, health, metrics."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from jobstate import __version__
from jobstate.http.describing import answers
from jobstate.http.measuring import Meters
from jobstate.http.parameters import NodeId, Store
from jobstate.http.schemas import Health, WorkersView, WorkerView
from jobstate.wire import amp


def add_service_routes(app: FastAPI) -> None:
    """Add the routes."""

    @app.get("/workers", tags=["service"], responses=answers({200: WorkersView}, 400))
    def list_workers(store: Store) -> Response:
        """See who works."""
        return JSONResponse({"workers": [amp.worker_document(worker) for worker in store.workers()]})

    @app.get("/workers/{node_id:path}", tags=["service"], responses=answers({200: WorkerView}, 400, 404))
    def get_worker(store: Store, node_id: NodeId) -> Response:
        """See one worker."""
        return JSONResponse(amp.worker_document(store.worker_info(node_id)))

    @app.get("/healthz", tags=["service"], responses=answers({200: Health}, 400))
    def get_health(store: Store) -> Response:
        """Whether the server and its store answer. Needs no token."""
        return JSONResponse({"status": "ok", "version": __version__, "schema_version": store.schema_version})

    @app.get("/metrics", tags=["service"], response_class=PlainTextResponse, responses=answers({200: None}, 400))
    def get_metrics(request: Request) -> Response:
        """What Prometheus scrapes."""
        meters: Meters = request.app.state.meters
        return Response(generate_latest(meters.registry), media_type=CONTENT_TYPE_LATEST)
