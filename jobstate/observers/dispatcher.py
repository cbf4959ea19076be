"""All observers of a store: told in turn, each guarded from the failures of the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Final

from jobstate.domain.errors import InvalidRequest
from jobstate.domain.job import Job
from jobstate.observers.delivery_queue import DeliveryQueue
from jobstate.observers.observer import Claim, Heartbeat, LeaseLoss, Observer, Sweep, Transition

Notice = Transition | Claim | Heartbeat | LeaseLoss | Sweep
_CALLS: Final[Mapping[type[Notice], str]] = {
    Transition: "transition",
    Claim: "claimed",
    Heartbeat: "heartbeat",
    LeaseLoss: "lease_lost",
    Sweep: "swept",
}
logger: Final = logging.getLogger("jobstate.observers")


class Dispatcher:
    """The observers of one store. Safe to use from several threads."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        for place, observer in enumerate(self._observers):
            if not isinstance(observer, Observer):
                raise InvalidRequest(f"observers[{place}]", f"must be an instance of Observer, not {observer!r}")
        self._turns = DeliveryQueue()
        self._closed = False

    def draw(self) -> int:
        """A number for `tell`, drawn under the write lock; for `give_up` when the commit fails."""
        return self._turns.draw()

    def give_up(self, number: int) -> None:
        """Nothing is told with this number."""
        self._turns.give_up(number)

    def tell(self, number: int, news: Sequence[Notice]) -> None:
        """Tell what was committed, when the turn of the number has come. What observers cause is told afterwards."""
        self._turns.speak(number, partial(self._deliver, news))

    def interject(self, news: Notice) -> None:
        """Tell what has no place in that order, without waiting: another thread may do it."""
        self._turns.interject(partial(self._deliver, [news]))

    def within(self, job: Job) -> Within:
        """What the observers want the block of a run to be within."""
        return Within(self._observers, job)

    def close(self) -> None:
        """Say that the store was closed; once."""
        if not self._closed:
            self._closed = True
            self._turns.interject(self._close)

    def _deliver(self, news: Sequence[Notice]) -> None:
        for one in news:
            call = _CALLS[type(one)]
            for observer in self._observers:
                try:
                    getattr(observer, call)(one)
                except Exception:  # noqa: BLE001  (a stranger's; it must not harm the job, nor be hidden)
                    _log_failure(observer, call)

    def _close(self) -> None:
        for observer in self._observers:
            try:
                observer.closed()
            except Exception:  # noqa: BLE001  (as above)
                _log_failure(observer, "closed")


class Within:
    """The context managers of all observers around one block; entering and leaving it never fails."""

    def __init__(self, observers: Sequence[Observer], job: Job) -> None:
        self._observers = observers
        self._job = job
        self._entered: list[tuple[Observer, AbstractContextManager[object]]] = []

    def __enter__(self) -> None:
        for observer in self._observers:
            try:
                manager = observer.within(self._job)
                manager.__enter__()
            except Exception:  # noqa: BLE001  (as above)
                _log_failure(observer, "within")
            else:
                self._entered.append((observer, manager))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._entered:
            observer, manager = self._entered.pop()
            try:
                manager.__exit__(kind, error, trace)
            except Exception as raised:  # noqa: BLE001  (as above)
                if raised is not error:
                    _log_failure(observer, "within")


def _log_failure(observer: Observer, call: str) -> None:
    logger.exception("the observer %s failed in %s", type(observer).__qualname__, call)
