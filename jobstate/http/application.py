"""The application: the routes over one store, behind the guard, with the threads that work beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool

from jobstate import __version__
from jobstate.core.change_notifier import ChangeNotifier
from jobstate.http.counting import Counting
from jobstate.http.describing import describe
from jobstate.http.guarding import Guard
from jobstate.http.history import add_history_routes
from jobstate.http.jobs import add_job_routes
from jobstate.http.keeper import Keeper
from jobstate.http.measuring import Meters
from jobstate.http.parameters import refuse_repeated
from jobstate.http.pipeline import add_pipeline_routes
from jobstate.http.problems import answer_problems
from jobstate.http.schemas import Views
from jobstate.http.service import add_service_routes
from jobstate.http.settings import Settings
from jobstate.http.upkeep import Upkeep
from jobstate.http.writing import Writers
from jobstate.store.store import JobStore

_DEFAULTS: Final = Settings()


def create_app(
    store: JobStore, settings: Settings = _DEFAULTS, *, reopen: Callable[[], JobStore] | None = None
) -> FastAPI:
    """An ASGI application over an open store, which the caller closes afterwards.

    Waiting, streams and upkeep need its lifespan: an application that mounts it has to enter
    `app.router.lifespan_context(app)`.

    Args:
        store: The store. Requests run on threads, a SQLite connection each.
        settings: How it behaves.
        reopen: Opens the store anew when its file was replaced; None: it stays as it is.
    """
    keeper = Keeper(store, reopen)
    meters, changes = Meters(keeper), ChangeNotifier(lambda: keeper.store().repository)
    upkeep = Upkeep(keeper, meters, settings.sweep_every)

    @asynccontextmanager
    async def beside(_: FastAPI) -> AsyncIterator[None]:
        changes.start()
        upkeep.start()
        yield
        changes.end()
        await run_in_threadpool(upkeep.end)
        await run_in_threadpool(changes.join)
        keeper.close()

    app = FastAPI(
        title="jobstate",
        version=__version__,
        lifespan=beside,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(refuse_repeated)],
    )
    app.state.keeper, app.state.meters, app.state.changes, app.state.writers = keeper, meters, changes, Writers()
    views = Views(settings.dialect)
    add_job_routes(app, settings.dialect, views)
    add_history_routes(app, settings, views)
    add_pipeline_routes(app)
    add_service_routes(app)
    answer_problems(app)
    describe(app)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Counting, meters=meters)  # the last one is the outermost
    return app
