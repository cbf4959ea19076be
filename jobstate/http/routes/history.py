"""The routes of history: the events of a job, waiting for a state, and the stream of all events."""

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
from jobstate.http.dependencies import Store, changes_of, provider_of
from jobstate.http.documents import EventsView, EventView, JobRecord, Views
from jobstate.http.openapi import answers
from jobstate.http.parameters import (
    After,
    EventId,
    JobId,
    OnlyJob,
    View,
    states_parameter,
)
from jobstate.http.routes.jobs import job_answer
from jobstate.http.settings import Settings
from jobstate.http.store_provider import StoreProvider
from jobstate.ports.repository import Repository
from jobstate.store.job_store import JobStore
from jobstate.wire import documents
from jobstate.wire.states import selected

_BATCH: Final = 100
"""The most events that a stream holds in memory: readers may be slow, and many."""
_RETRY_AFTER: Final = 1.0
"""Seconds between two reads of a store that is locked or missing."""
_KEEP_ALIVE: Final = 15.0
"""Seconds without an event after which the server sends a comment: it keeps the connection open, and a reader that
went away is noticed."""
_EVENTS: Final = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "The id of the event, to continue after it."},
                "event": {"type": "string", "description": "The trigger."},
                "data": {"type": "string", "description": "The event as JSON, as in the history of its job."},
            },
        }
    }
}


class _Stream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


class _Start(NamedTuple):
    """Where a stream starts: after this event of this store."""

    repository: Repository
    seen: int


def _start(
    store: Store,
    after: After = None,
    last_event_id: Annotated[
        str | SkipJsonSchema[None],
        Header(alias="Last-Event-ID", description="The last event that an interrupted reader received."),
    ] = None,
) -> _Start:
    """Read before the answer begins, so that a missing store is an error and not an empty stream."""
    newest, seen = store.newest_event(), _event_id(last_event_id) or after
    return _Start(
        store.repository, newest if seen is None else min(seen, newest)
    )  # a larger id belongs to another file


def add_history_routes(app: FastAPI, settings: Settings, views: Views) -> None:
    """Add the routes, with states as the dialect of the settings spells them."""
    states = Annotated[str, states_parameter(settings.dialect, "The states to wait for, with commas.")]
    seconds = Annotated[
        float,
        Query(ge=0, le=settings.longest_wait, allow_inf_nan=False, description="The most seconds to wait."),
    ]

    @app.get("/jobs/{job_id}/events", tags=["history"], responses=answers({200: EventsView}, 400, 404))
    def list_events(store: Store, job_id: JobId) -> Response:
        """Get the whole history of a job, oldest first."""
        events = [documents.event_document(event) for event in store.events(job_id)]
        return JSONResponse({"job_id": job_id, "events": events})

    @app.get("/jobs/{job_id}/events/{event_id}", tags=["history"], responses=answers({200: EventView}, 400, 404))
    def get_event(store: Store, job_id: JobId, event_id: EventId) -> Response:
        """Get one event of the history of a job."""
        return JSONResponse(documents.event_document(store.event(job_id, event_id)))

    @app.get("/jobs/{job_id}/wait", tags=["history"], responses=answers({200: views.job | JobRecord}, 400, 404, 408))
    async def wait_for_job(
        request: Request,
        job_id: JobId,
        timeout: seconds = settings.longest_wait,
        until: states = "terminal",
        view: View = "document",
    ) -> Response:
        """Wait until a job has ended, or is in one of these states; 408 when it is not in time."""
        wanted = selected(until, settings.dialect, "until")
        provider, changes = provider_of(request), changes_of(request)
        began = time.monotonic()
        while True:
            change = changes.next_change()
            job = await run_in_threadpool(lambda: provider.store().get(job_id))
            if job.state in wanted:
                return job_answer(job, settings.dialect, view)
            waited = time.monotonic() - began
            if job.is_terminal or waited >= timeout:
                raise WaitTimeout(job_id, job.state, waited)
            if changes.stopping:
                raise StoreUnavailable(provider.path, "the server is stopping; repeat the call")
            await changes.wait(change, timeout - waited)

    @app.get("/events", tags=["history"], response_class=_Stream, responses=answers({200: _EVENTS}, 400))
    async def stream_events(
        request: Request, start: Annotated[_Start, Depends(_start)], job_id: OnlyJob = None
    ) -> Response:
        """Follow the events of jobs as they happen; an interrupted reader continues where it stopped."""
        parts = _parts(provider_of(request), changes_of(request), start, job_id, settings.stream_seconds)
        return _Stream(parts, headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


async def _parts(
    provider: StoreProvider, changes: ChangeNotifier, start: _Start, job_id: int | None, seconds: float
) -> AsyncIterator[str]:
    """The stream, one part for all events of a read: a part for each event would take most of the time."""
    seen, caught_up = start.seen, False
    yield ": connected\n\n"
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0 and not changes.stopping:
        change = changes.next_change()
        try:
            store = await run_in_threadpool(provider.store)
            if store.repository is not start.repository:  # another file has other ids
                return
            events = await run_in_threadpool(_read, store, seen, job_id)
        except StoreError:  # locked or missing: the reader does not need to know
            await changes.wait(change, min(left, _RETRY_AFTER))
            continue
        if events:
            seen = events[-1].id
            yield "".join(map(_part, events))
            continue
        if not caught_up:
            caught_up = True
            # The reader has every earlier event now, and may reconnect from here.
            yield f"id: {seen}\n\n"
        if not await changes.wait(change, min(left, _KEEP_ALIVE)):
            yield ": still here\n\n"


def _part(event: Event) -> str:
    document = json.dumps(documents.event_document(event), separators=(",", ":"))
    return f"event: {event.trigger}\ndata: {document}\nid: {event.id}\n\n"


def _read(store: JobStore, after: int, job_id: int | None) -> list[Event]:
    return list(islice(store.watch(after=after, job=job_id, timeout=0), _BATCH))


def _event_id(text: str | None) -> int | None:
    """The id that a reader sent back; None for a text that is not an id of ours."""
    known = text is not None and text.isascii() and text.isdigit() and 0 < int(text[:20]) <= MAX_ID
    return int(text) if text is not None and known else None
