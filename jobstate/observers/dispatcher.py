"""Calls the observers of a store in order, and logs what they raise."""

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
        self._queue = DeliveryQueue()
        self._closed = False

    def take_ticket(self) -> int:
        """A ticket for `deliver`, taken under the write lock; `cancel` it when the commit fails."""
        return self._queue.take_ticket()

    def cancel(self, ticket: int) -> None:
        """Let later tickets pass: nothing is delivered with this one."""
        self._queue.cancel(ticket)

    def deliver(self, ticket: int, notices: Sequence[Notice]) -> None:
        """Call the observers for what was committed, in the turn of the ticket; what they cause comes after it."""
        self._queue.deliver(ticket, partial(self._call_observers, notices))

    def deliver_unordered(self, notice: Notice) -> None:
        """Call the observers for something outside the order of commits, without waiting; another thread may do it."""
        self._queue.deliver_unordered(partial(self._call_observers, [notice]))

    def within(self, job: Job) -> ObserverBlock:
        """The context managers of the observers for the block of a run."""
        return ObserverBlock(self._observers, job)

    def close(self) -> None:
        """Call `closed` of each observer, once."""
        if not self._closed:
            self._closed = True
            self._queue.deliver_unordered(self._call_closed)

    def _call_observers(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            call = _CALLS[type(notice)]
            for observer in self._observers:
                try:
                    getattr(observer, call)(notice)
                except Exception:  # noqa: BLE001  (a stranger's; it must not harm the job, nor be hidden)
                    _log_failure(observer, call)

    def _call_closed(self) -> None:
        for observer in self._observers:
            try:
                observer.closed()
            except Exception:  # noqa: BLE001  (as above)
                _log_failure(observer, "closed")


class ObserverBlock:
    """The context managers of all observers around the block of one run; entering and leaving never fails."""

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
