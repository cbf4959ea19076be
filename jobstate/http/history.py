"""The routes of what happens: the history of a job, waiting for it, and the stream of all events."""

# Annotations are values here: the framework reads them, and some are made for the dialect.

import json
import time
from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Final, NamedTuple

from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic.json_schema import SkipJsonSchema

from jobstate.core.change_notifier import ChangeNotifier
from jobstate.domain.errors import StoreError, StoreUnavailable, WaitTimeout
from jobstate.domain.event import Event
from jobstate.domain.validation import MAX_ID
from jobstate.http.describing import answers
from jobstate.http.jobs import job_answer
from jobstate.http.keeper import Keeper
from jobstate.http.parameters import (
    After,
    EventId,
    JobId,
    OnlyJob,
    Store,
    View,
    keeper_of,
    states_parameter,
)
from jobstate.http.schemas import EventsView, EventView, JobRecord, Views
from jobstate.http.settings import Settings
from jobstate.ports.repository import Repository
from jobstate.store.store import JobStore
from jobstate.wire import amp
from jobstate.wire.vocabulary import selected

_BATCH: Final = 100
"""Events that a stream holds in memory; its reader may be slow, and one of many."""
_STORE_AWAY: Final = 1.0
_KEEP_ALIVE: Final = 15.0
"""Seconds without an event after which a comment keeps the connection, and finds readers that went away."""
_EVENTS: Final = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "The id of the event, to go on behind it."},
                "event": {"type": "string", "description": "What happened: the trigger."},
                "data": {"type": "string", "description": "The event as JSON, as in the history of its job."},
            },
        }
    }
}


class _Stream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


class _Start(NamedTuple):
    """Where a stream begins: behind this event of this store."""

    repository: Repository
    seen: int


def _start(
    store: Store,
    after: After = None,
    last_event_id: Annotated[
        str | SkipJsonSchema[None],
        Header(alias="Last-Event-ID", description="What an interrupted reader saw last."),
    ] = None,
) -> _Start:
    """Found before the answer begins, so that a store that is away is an error and no empty stream."""
    newest, seen = store.newest_event(), _event_id(last_event_id) or after
    return _Start(store.repository, newest if seen is None else min(seen, newest))  # an id beyond is another file's


def add_history_routes(app: FastAPI, settings: Settings, views: Views) -> None:
    """Add the routes, with states as the dialect of the settings spells them."""
    states = Annotated[str, states_parameter(settings.dialect, "The states to wait for, with commas.")]
    seconds = Annotated[
        float,
        Query(ge=0, le=settings.longest_wait, allow_inf_nan=False, description="How long to wait at most, in seconds."),
    ]

    @app.get("/jobs/{job_id}/events", tags=["history"], responses=answers({200: EventsView}, 400, 404))
    def list_events(store: Store, job_id: JobId) -> Response:
        """See the whole history of a job, oldest first."""
        events = [amp.event_document(event) for event in store.events(job_id)]
        return JSONResponse({"job_id": job_id, "events": events})

    @app.get("/jobs/{job_id}/events/{event_id}", tags=["history"], responses=answers({200: EventView}, 400, 404))
    def get_event(store: Store, job_id: JobId, event_id: EventId) -> Response:
        """See one entry of the history of a job."""
        return JSONResponse(amp.event_document(store.event(job_id, event_id)))

    @app.get("/jobs/{job_id}/wait", tags=["history"], responses=answers({200: views.job | JobRecord}, 400, 404, 408))
    async def wait_for_job(
        request: Request,
        job_id: JobId,
        timeout: seconds = settings.longest_wait,
        until: states = "terminal",
        view: View = "document",
    ) -> Response:
        """Wait until a job has ended, or is in another state; 408 when it is not in time."""
        wanted = selected(until, settings.dialect, "until")
        keeper, changes = keeper_of(request), _changes_of(request)
        began = time.monotonic()
        while True:
            mark = changes.mark()
            job = await run_in_threadpool(lambda: keeper.store().get(job_id))
            if job.state in wanted:
                return job_answer(job, settings.dialect, view)
            waited = time.monotonic() - began
            if job.is_terminal or waited >= timeout:
                raise WaitTimeout(job_id, job.state, waited)
            if changes.ended:
                raise StoreUnavailable(keeper.path, "the server is about to end; ask again")
            await changes.after(mark, timeout - waited)

    @app.get("/events", tags=["history"], response_class=_Stream, responses=answers({200: _EVENTS}, 400))
    async def stream_events(
        request: Request, start: Annotated[_Start, Depends(_start)], job_id: OnlyJob = None
    ) -> Response:
        """Follow what happens to jobs, as it happens; an interrupted reader goes on where it was."""
        told = _told(keeper_of(request), _changes_of(request), start, job_id, settings.stream_seconds)
        return _Stream(told, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


async def _told(
    keeper: Keeper, changes: ChangeNotifier, start: _Start, job_id: int | None, seconds: float
) -> AsyncIterator[str]:
    """The stream: a part for all events of a look, as a part for each would cost most of the time."""
    seen, caught_up = start.seen, False
    yield ": connected\n\n"
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0 and not changes.ended:
        mark = changes.mark()
        try:
            store = await run_in_threadpool(keeper.store)
            if store.repository is not start.repository:  # another file: its ids are others
                return
            events = await run_in_threadpool(_read, store, seen, job_id)
        except StoreError:  # locked or away, which the reader need not know
            await changes.after(mark, min(left, _STORE_AWAY))
            continue
        if events:
            seen = events[-1].id
            yield "".join(map(_shown, events))
            continue
        if not caught_up:
            caught_up = True
            # A reader may ask again from here, and knows that nothing that happened before is still to come.
            yield f"id: {seen}\n\n"
        if not await changes.after(mark, min(left, _KEEP_ALIVE)):
            yield ": still here\n\n"


def _shown(event: Event) -> str:
    document = json.dumps(amp.event_document(event), separators=(",", ":"))
    return f"event: {event.trigger}\ndata: {document}\nid: {event.id}\n\n"


def _read(store: JobStore, after: int, job_id: int | None) -> list[Event]:
    return list(islice(store.watch(after=after, job=job_id, timeout=0), _BATCH))


def _event_id(said: str | None) -> int | None:
    """The id that a reader sent back; what is none of ours is not looked at."""
    known = said is not None and said.isascii() and said.isdigit() and 0 < int(said[:20]) <= MAX_ID
    return int(said) if said is not None and known else None


def _changes_of(request: Request) -> ChangeNotifier:
    changes: ChangeNotifier = request.app.state.changes
    return changes
