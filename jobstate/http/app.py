"""The application: the routes over one store, behind the security checks, with the threads beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool

from jobstate._version import __version__
from jobstate.core.change_notifier import ChangeNotifier
from jobstate.http.dependencies import WriteLimit, refuse_repeated
from jobstate.http.documents import Views
from jobstate.http.errors import add_error_handlers
from jobstate.http.maintenance import MaintenanceThread
from jobstate.http.metrics import RequestMetrics, ServerMetrics
from jobstate.http.openapi import describe
from jobstate.http.routes.history import add_history_routes
from jobstate.http.routes.jobs import add_job_routes
from jobstate.http.routes.pipeline import add_pipeline_routes
from jobstate.http.routes.reports import add_report_routes
from jobstate.http.routes.service import add_service_routes
from jobstate.http.security import SecurityChecks
from jobstate.http.settings import Settings
from jobstate.http.store_provider import StoreProvider
from jobstate.store.job_store import JobStore

_DEFAULTS: Final = Settings()


def create_app(
    store: JobStore, settings: Settings = _DEFAULTS, *, reopen: Callable[[], JobStore] | None = None
) -> FastAPI:
    """An ASGI application over an open store, which the caller closes afterwards.

    `wait`, streams, sweeps and metrics need its lifespan: an application that mounts it has to enter
    `app.router.lifespan_context(app)`.

    Args:
        store: The store. Requests run on threads, a SQLite connection each.
        settings: How the server behaves.
        reopen: Opens the store again after its file was replaced; None: the server keeps the open store.
    """
    provider = StoreProvider(store, reopen)
    metrics, changes = ServerMetrics(provider), ChangeNotifier(lambda: provider.store().repository)
    maintenance = MaintenanceThread(provider, metrics, settings.sweep_every)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        changes.start()
        maintenance.start()
        yield
        changes.stop()
        await run_in_threadpool(maintenance.end)
        await run_in_threadpool(changes.join)
        provider.close()

    app = FastAPI(
        title="jobstate",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # that page loads scripts from other hosts
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(refuse_repeated)],
    )
    app.state.provider, app.state.metrics, app.state.changes = provider, metrics, changes
    app.state.write_limit = WriteLimit()
    views = Views(settings.dialect)
    add_job_routes(app, settings.dialect, views)
    add_history_routes(app, settings, views)
    add_pipeline_routes(app)
    add_report_routes(app)
    add_service_routes(app)
    add_error_handlers(app)
    describe(app)
    app.add_middleware(SecurityChecks, settings=settings)
    app.add_middleware(RequestMetrics, metrics=metrics)  # the last one added is the outermost
    return app
