"""What a server does unasked: it sweeps, and reads the history for its metrics."""

from __future__ import annotations

import logging
import threading
from itertools import islice
from typing import Final

from jobstate.domain.errors import StoreError
from jobstate.http.metrics import Observer, ServerMetrics
from jobstate.http.store_provider import StoreProvider
from jobstate.ports.repository import Repository
from jobstate.store.store import JobStore

_BATCH: Final = 500
_MOST_BATCHES: Final = 200
"""A history that grows faster than this a round is read on in the next."""
_PATIENCE: Final = 2.0
_log: Final = logging.getLogger(__name__)


class MaintenanceThread:
    """One thread, once a second. A store that is locked or away is tried again the next time."""

    def __init__(self, provider: StoreProvider, metrics: ServerMetrics, every: float) -> None:
        self._provider = provider
        self._metrics = metrics
        self._every = every
        self._observer = Observer(metrics)
        self._observed: Repository | None = None
        self._cursor = 0
        self._ending = threading.Event()
        self._well = True
        self._thread = threading.Thread(target=self._run, name="jobstate-maintenance", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End after the round that is under way; one that waits for a lock is left behind."""
        self._ending.set()
        self._thread.join(_PATIENCE)

    def round(self) -> None:
        """Sweep once, and count what happened since the last round."""
        store = self._provider.store()
        if self._observed is not store.repository:  # the first one, or another file
            self._cursor, self._observed = store.newest_event(), store.repository
            self._observer = Observer(self._metrics)
        try:
            settled = store.acting("server").sweep()
            self._metrics.swept.inc(len(settled))
            self._metrics.sweeps.labels("done").inc()
        finally:  # a store that cannot be swept may be read
            self._count(store)

    def _count(self, store: JobStore) -> None:
        for _ in range(_MOST_BATCHES):
            events = list(islice(store.watch(after=self._cursor, timeout=0), _BATCH))
            for event in events:
                self._observer.observe(store, event)
                self._cursor = event.id  # at each, so that none is counted twice when a later one fails
            if len(events) < _BATCH or self._ending.is_set():
                break

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.round()
            except Exception as error:  # noqa: BLE001  (it is logged, unless it is an ordinary one)
                # Also a defect does not end this thread: jobs whose workers died are settled by it.
                self._metrics.sweeps.labels("failed").inc()
                if self._well:
                    unknown = None if isinstance(error, StoreError) else error
                    _log.exception(
                        "the store cannot be swept, it is tried again every second: %s", error, exc_info=unknown
                    )
                self._well = False
            else:
                self._well = True
            self._ending.wait(self._every)
