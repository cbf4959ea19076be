"""The maintenance thread of a server: it sweeps the store, and feeds the metrics from the history."""

from __future__ import annotations

import logging
import threading
from typing import Final

from jobstate.domain.errors import StoreError
from jobstate.domain.event import SWEEPER
from jobstate.http.history_feed import HistoryFeed
from jobstate.http.metrics import ServerMetrics
from jobstate.http.store_provider import StoreProvider
from jobstate.observers.observer import Sweep

_ACTOR: Final = "server"
_END_TIMEOUT: Final = 2.0
"""Seconds that `end` waits for the round in progress."""
_log: Final = logging.getLogger(__name__)


class MaintenanceThread:
    """One thread with a round every `every` seconds. A round that meets a locked or missing store is repeated."""

    def __init__(self, provider: StoreProvider, metrics: ServerMetrics, every: float) -> None:
        self._provider = provider
        self._metrics = metrics
        self._every = every
        self._feed = HistoryFeed(metrics)
        self._ending = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="jobstate-maintenance", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """End the thread after the round in progress; leave it behind if it waits for a lock."""
        self._ending.set()
        self._thread.join(_END_TIMEOUT)

    def round(self) -> None:
        """Sweep once, and count the events since the last round."""
        store = self._provider.store()
        self._feed.follow(store)
        try:
            settled = store.acting(_ACTOR).sweep()
            self._metrics.observer.swept(Sweep(f"{SWEEPER}{_ACTOR}", tuple(job.id for job in settled)))
        finally:  # a store that cannot be written may still be read
            self._feed.read(store, self._ending.is_set)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.round()
            except Exception as error:  # noqa: BLE001  (logged, with its traceback unless it is an ordinary error)
                # A defect does not end this thread either: it settles the jobs of dead workers.
                self._metrics.failed_sweeps.inc()
                if not self._failing:
                    defect = None if isinstance(error, StoreError) else error
                    _log.exception(
                        "the store cannot be swept; the server repeats it every %g s: %s",
                        self._every,
                        error,
                        exc_info=defect,
                    )
                self._failing = True
            else:
                self._failing = False
            self._ending.wait(self._every)
