"""The routes under `/api/v1`, which speak the pipeline dialect."""

from __future__ import annotations

from fastapi import FastAPI

from jobstate.http.pipeline.checkpoints import add_checkpoint_routes
from jobstate.http.pipeline.jobs import add_pipeline_job_routes
from jobstate.http.pipeline.telemetry import add_telemetry_routes
from jobstate.http.pipeline.verbs import add_verb_routes


def add_pipeline_routes(app: FastAPI) -> None:
    """Add all of them."""
    add_pipeline_job_routes(app)
    add_checkpoint_routes(app)
    add_telemetry_routes(app)
    add_verb_routes(app)
