"""What a server does unasked: it sweeps, and reads the history for its metrics."""

from __future__ import annotations

import logging
import threading
from itertools import islice
from typing import Final

from jobstate.domain.errors import StoreError
from jobstate.http.keeper import Keeper
from jobstate.http.measuring import Meters, Observer

_BATCH: Final = 500
_MOST_BATCHES: Final = 200
"""A history that grows faster than this a round is read on in the next."""
_log: Final = logging.getLogger(__name__)


class Upkeep:
    """One thread, once a second. A store that is locked or away is tried again the next time."""

    def __init__(self, keeper: Keeper, meters: Meters, every: float) -> None:
        self._keeper = keeper
        self._meters = meters
        self._every = every
        self._observer = Observer(meters)
        self._cursor: int | None = None
        self._ending = threading.Event()
        self._well = True
        self._thread = threading.Thread(target=self._run, name="jobstate-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """End after the round that is under way."""
        self._ending.set()
        self._thread.join()

    def round(self) -> None:
        """Sweep once, and count what happened since the last round."""
        store = self._keeper.store()
        if self._cursor is None:
            self._cursor = store.newest_event()
        settled = store.acting("server").sweep()
        self._meters.swept.inc(len(settled))
        self._meters.sweeps.labels("done").inc()
        for _ in range(_MOST_BATCHES):
            events = list(islice(store.watch(after=self._cursor, timeout=0), _BATCH))
            if not events:
                break
            self._observer.observe(store, events)
            self._cursor = events[-1].id

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self.round()
            except StoreError as error:
                self._meters.sweeps.labels("failed").inc()
                if self._well:
                    _log.warning("the store cannot be swept, it is tried again every second: %s", error)
                self._well = False
            else:
                self._well = True
            self._ending.wait(self._every)
