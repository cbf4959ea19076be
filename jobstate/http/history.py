"""The routes of what happens: the history of a job, waiting for it, and the stream of all events."""

# Annotations are values here: the framework reads them, and some are made for the dialect.

import json
import time
from collections.abc import AsyncIterator
from itertools import islice
from typing import Annotated, Final

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import format_sse_event
from pydantic.json_schema import SkipJsonSchema

from jobstate.domain.checked import MAX_ID
from jobstate.domain.errors import StoreUnavailable, WaitTimeout
from jobstate.domain.job import Event
from jobstate.http.describing import answers
from jobstate.http.following import Changes
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
from jobstate.wire import amp
from jobstate.wire.vocabulary import selected

_BATCH: Final = 500
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


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


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

    @app.get("/events", tags=["history"], response_class=EventStream, responses=answers({200: _EVENTS}, 400))
    def stream_events(
        request: Request,
        store: Store,
        after: After = None,
        job_id: OnlyJob = None,
        last_event_id: Annotated[
            str | SkipJsonSchema[None],
            Header(alias="Last-Event-ID", description="What an interrupted reader saw last."),
        ] = None,
    ) -> Response:
        """Follow what happens to jobs, as it happens; an interrupted reader goes on where it was."""
        begin = _event_id(last_event_id) or after
        changes, ends = _changes_of(request), time.monotonic() + settings.stream_seconds
        return EventStream(
            _followed(keeper_of(request), changes, store.newest_event() if begin is None else begin, job_id, ends),
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )


async def _followed(
    keeper: Keeper, changes: Changes, seen: int, job_id: int | None, ends: float
) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="connected")
    while (left := ends - time.monotonic()) > 0 and not changes.ended:
        mark = changes.mark()
        events = await run_in_threadpool(_read, keeper, seen, job_id)
        for event in events:
            seen = event.id
            document = json.dumps(amp.event_document(event))
            yield format_sse_event(id=str(event.id), event=event.trigger, data_str=document)
        if not events and not await changes.after(mark, min(left, _KEEP_ALIVE)):
            yield format_sse_event(comment="nothing new")


def _read(keeper: Keeper, after: int, job_id: int | None) -> list[Event]:
    return list(islice(keeper.store().watch(after=after, job=job_id, timeout=0), _BATCH))


def _event_id(said: str | None) -> int | None:
    """The id that a reader sent back; what is none of ours is not looked at."""
    known = said is not None and said.isascii() and said.isdigit() and 0 < int(said[:20]) <= MAX_ID
    return int(said) if said is not None and known else None


def _changes_of(request: Request) -> Changes:
    changes: Changes = request.app.state.changes
    return changes
