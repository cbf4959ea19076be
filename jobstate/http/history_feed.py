"""Feeds the metrics of a server from the history of its store, whichever process made the change.

The counts begin when the server does; runs that hold a lease then are in progress from the beginning. When a job is
removed within a second of its end, its last events may not be counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from jobstate.domain.event import Event
from jobstate.domain.job import Job
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import LEASED, STOP_PENDING, TERMINAL, State, Trigger
from jobstate.http.metrics import ServerMetrics
from jobstate.observers.observer import Claim, Transition
from jobstate.ports.queries import Filter
from jobstate.ports.repository import Repository
from jobstate.store.job_store import JobStore

T = TypeVar("T")
_BATCH: Final = 500
_MOST_BATCHES: Final = 200
"""A history that grows faster than this in a round is read further in the next one."""
_PAGE: Final = 1000
_REMEMBERED: Final = 20_000
"""Live jobs whose row the feed remembers; it reads the row of any other job again at each event."""
_SHORT_WAIT: Final = 10_000
"""Microseconds. A job claimed this soon after its last event was due then; for a longer wait, its row says when."""


class _Seen(NamedTuple):
    row: JobRow
    """Without descriptor and labels, which may be large."""
    last_us: int
    """When its last event happened."""


class HistoryFeed:
    """Reads the history as it grows. Each event is counted once, also when the store fails between two of them."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics = metrics
        self._repository: Repository | None = None
        self._cursor = 0
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._stops: OrderedDict[int, int] = OrderedDict()
        self._removals = False

    def follow(self, store: JobStore) -> None:
        """Follow this store from its newest event on, unless the feed does already: the first one, or another file."""
        if self._repository is store.repository:
            return
        self._metrics.observer.closed()
        self._seen.clear()
        self._stops.clear()
        self._cursor = store.newest_event()
        before: int | None = None
        while rows := store.repository.jobs.page(Filter(states=LEASED), _PAGE, before):
            for row in rows:
                self._metrics.observer.resumed(Job(row))
            before = rows[-1].id
        self._repository = store.repository

    def read(self, store: JobStore, ended: Callable[[], bool]) -> None:
        """Count the events since the last call, until there are no more or the server has ended."""
        for _ in range(_MOST_BATCHES):
            events = list(islice(store.watch(after=self._cursor, timeout=0), _BATCH))
            for event in events:
                self._count(store, event)
                # A missing id is an event that was removed with its job.
                self._removals = self._removals or event.id != self._cursor + 1
                self._cursor = event.id  # after each one, so that none is counted twice when a later one fails
            if len(events) < _BATCH or ended():
                break
        if self._removals:
            self._forget_removed(store)
            self._removals = False

    def _count(self, store: JobStore, event: Event) -> None:
        """Count one event. Everything that may fail comes first: then nothing of it was counted."""
        if event.is_note:
            return
        row = self._row(store, event)
        if row is None:
            self._removals = True
            return
        stopped_after = self._stopped_after(store, event)
        if stopped_after is not None:
            self._metrics.stop_latency.observe(stopped_after)
        job = Job(row)
        self._metrics.observer.transition(Transition(event, job))
        if event.trigger == Trigger.CLAIM:
            self._metrics.observer.claimed(Claim(event, job))
        if event.to_state in TERMINAL:
            self._seen.pop(event.job_id, None)
            self._stops.pop(event.job_id, None)
        else:
            _remember(self._seen, event.job_id, _Seen(row, event.at_us))
            if event.trigger == Trigger.REQUEST_STOP:
                _remember(self._stops, event.job_id, event.at_us)

    def _row(self, store: JobStore, event: Event) -> JobRow | None:
        """The job of an event; for a claim, with the time at which it was due. None when the job was removed."""
        seen = self._seen.get(event.job_id)
        since = None if seen is None else seen.last_us
        soon = since is not None and event.at_us - since <= _SHORT_WAIT
        if seen is None or (event.trigger == Trigger.CLAIM and not soon):
            found = store.repository.jobs.find(event.job_id)
            row = None if found is None else found._replace(descriptor_json="{}", labels_json="{}")
        else:
            row = seen.row
        if row is None or event.trigger != Trigger.CLAIM:
            return row
        due = since if soon else max(since or 0, 0 if row.available_us > event.at_us else row.available_us)
        return row._replace(available_us=due or event.at_us)  # the row may be due later by now, for its next run

    def _stopped_after(self, store: JobStore, event: Event) -> float | None:
        """Seconds from the request to stop to this event, if it ends a stop."""
        if event.to_state not in TERMINAL:
            return None
        since = self._stops.get(event.job_id)
        if since is None:
            if event.to_state is not State.STOPPED:
                return None
            since = event.at_us
            if event.from_state in STOP_PENDING:  # the request was before the feed began
                requests = [past.at_us for past in store.repository.history.events(event.job_id) if _is_request(past)]
                since = requests[-1] if requests else since
        return max(0, event.at_us - since) / 1_000_000

    def _forget_removed(self, store: JobStore) -> None:
        """End the runs of removed jobs, whose ends the history no longer has."""
        for job_id in self._metrics.observer.running():
            if store.repository.jobs.find(job_id) is None:
                self._metrics.observer.forget(job_id)


def _is_request(event: Event) -> bool:
    return event.trigger == Trigger.REQUEST_STOP and not event.is_note


def _remember(values: OrderedDict[int, T], job_id: int, value: T) -> None:
    values[job_id] = value
    values.move_to_end(job_id)
    if len(values) > _REMEMBERED:
        values.popitem(last=False)
