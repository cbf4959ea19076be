"""Faults that strike a staged store at a chosen write.

Each is a context manager around the code that it strikes. The fault occurs when that code first reaches the point; a
block that never reaches it fails the test, which shows the writes that it did reach. Points are the triggers of the
lifecycle and the other writes: see `POINTS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest, StoreBusy, StoreError, StoreFull
from jobstate.domain.job import row_of
from jobstate.domain.stop import StopMode
from jobstate.store.job_store import JobStore
from jobstate.testing.fault_points import POINTS, Moment
from jobstate.testing.staged_store import Stage, stage_of

_CAUSE: Final = "injected by the test"


class Crash(BaseException):
    """The worker process died here. The store accepts no more writes from it; its lease lasts until it expires.

    The block of the fault ends with this exception and does not pass it on. It derives from BaseException, so that an
    `except Exception` in a handler does not catch it.
    """


class Fault(ABC):
    """A fault that strikes a staged store once.

    Attributes:
        arrived: Whether it has occurred.
    """

    must_arrive = True
    """Whether a block that does not reach the point fails the test."""

    def __init__(self, stage: Stage, text: str) -> None:
        self._stage = stage
        self._text = text
        self._passed: list[str] = []
        self.entered = False
        self.arrived = False

    def __repr__(self) -> str:
        return f"<{self._text}>"

    def __enter__(self) -> Fault:
        if self.entered:
            raise InvalidRequest("fault", f"{self._text} was used already; make another one")
        self.entered = True
        self._stage.hooks.append(self._on_write)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        self._stage.hooks.remove(self._on_write)
        crash = self._stage.crash
        if self.arrived and crash is not None:
            self._stage.crash = None
            return error is crash
        if error is None and self.must_arrive and not self.arrived:
            reached = ", ".join(self._passed) or "no write"
            raise AssertionError(f"{self._text} never occurred; the block reached {reached}")
        return False

    def _on_write(self, moment: Moment) -> None:
        self._passed.append(str(moment))
        if self._is_due(moment):
            if not self.arrived:
                self.arrived = True
                self._text = self._text if self._text.endswith(str(moment)) else f"{self._text}, {moment}"
                self._stage.fault_log.append(self._text)
            self._happen(moment)

    @abstractmethod
    def _is_due(self, moment: Moment) -> bool:
        """Whether this is the moment."""

    @abstractmethod
    def _happen(self, moment: Moment) -> None:
        """Strike."""


class _CrashAt(Fault):
    def __init__(self, stage: Stage, when: str, point: str) -> None:
        super().__init__(stage, f"a crash {when} {_point(point)}")
        self._when = when
        self._point = point

    def _is_due(self, moment: Moment) -> bool:
        return not self.arrived and moment.when == self._when and self._point in moment.points

    def _happen(self, moment: Moment) -> None:
        self._stage.crash = Crash(self._text)
        raise self._stage.crash


class _CrashAtMoment(Fault):
    must_arrive = False

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(stage, f"a crash at moment {number} of the block")
        self._number = number

    def _is_due(self, moment: Moment) -> bool:
        return not self.arrived and len(self._passed) == self._number

    def _happen(self, moment: Moment) -> None:
        self._stage.crash = Crash(self._text)
        raise self._stage.crash


class _Refusal(Fault):
    def __init__(self, stage: Stage, error: type[StoreError], at: str | None, times: int) -> None:
        text = "a busy store" if error is StoreBusy else "a full disk"
        super().__init__(stage, text if at is None else f"{text} at {_point(at)}")
        self._error = error
        self._at = at
        self._left = validation.integer("times", times, 1, 1_000_000)

    def _is_due(self, moment: Moment) -> bool:
        return self._left > 0 and moment.when == "before" and (self._at is None or self._at in moment.points)

    def _happen(self, moment: Moment) -> None:
        self._left -= 1
        raise self._error(self._stage.store.path, _CAUSE)


class _FromOutside(Fault):
    """Another process changes the job just before the point; just after it where only the answer names the job."""

    def __init__(self, stage: Stage, text: str, at: str | None) -> None:
        super().__init__(stage, text if at is None else f"{text} at {_point(at)}")
        self._at = at

    def _is_due(self, moment: Moment) -> bool:
        if self.arrived or not moment.job_ids:
            return False
        return self._at in moment.points if self._at is not None else moment.under_lease and moment.when == "before"


class _LostLease(_FromOutside):
    def _happen(self, moment: Moment) -> None:
        for job_id in moment.job_ids:
            expires = row_of(self._stage.direct.get(job_id)).lease_expires_us
            if expires is not None and expires > self._stage.clock.now():
                self._stage.manual_clock.set(validation.instant(expires))
        self._stage.direct.sweep()
        self._stage.notice_changes()


class _ArrivingStop(_FromOutside):
    def __init__(self, stage: Stage, at: str, mode: str, reason: str | None) -> None:
        super().__init__(stage, "a stop", at)
        self._mode = mode
        self._reason = reason

    def _happen(self, moment: Moment) -> None:
        for job_id in moment.job_ids:
            self._stage.direct.stop(job_id, mode=StopMode(self._mode), reason=self._reason)
        self._stage.notice_changes()


def crash_before(point: str, *, store: JobStore | None = None) -> Fault:
    """The process dies just before this write: the store does not have it."""
    return _CrashAt(stage_of(store), "before", point)


def crash_after(point: str, *, store: JobStore | None = None) -> Fault:
    """The process dies just after this write: the store has it, but the caller never gets the answer."""
    return _CrashAt(stage_of(store), "after", point)


def every_crash(*, store: JobStore | None = None) -> Iterator[Fault]:
    """A crash before and after each write of a block, one after the other; the last round has none.

    `for crash in every_crash():` repeats the test; inside, put `with crash:` around the code to crash.
    """
    stage = stage_of(store)
    number = 1
    while True:
        crash = _CrashAtMoment(stage, number)
        yield crash
        if not crash.entered:
            raise InvalidRequest("every_crash", "each crash needs its block: `with crash:` around the code to crash")
        if not crash.arrived:
            return
        number += 1


def crash_at_moment(number: int, *, store: JobStore | None = None) -> Fault:
    """The process dies before or after a write: `number` counts both, from 1. A shorter block runs to its end."""
    return _CrashAtMoment(stage_of(store), validation.integer("number", number, 1, 1_000_000))


def lose_lease(at: str | None = None, *, store: JobStore | None = None) -> Fault:
    """The worker stalls: before its next write the clock passes the end of its lease, and a sweep takes the job.

    Args:
        at: The point; None: the first write that names a lease.
        store: A staged store; default the one that was staged last.
    """
    return _LostLease(stage_of(store), "a lost lease", at)


def stop_arrives_at(
    point: str, *, mode: str = StopMode.CHECKPOINT, reason: str | None = None, store: JobStore | None = None
) -> Fault:
    """An operator asks for a stop just before this write; at `claim` and `submit`, just after."""
    return _ArrivingStop(stage_of(store), point, mode, reason)


def busy(at: str | None = None, *, times: int = 1, store: JobStore | None = None) -> Fault:
    """Other writers hold the lock: `times` writes, at this point or any, raise `StoreBusy`."""
    return _Refusal(stage_of(store), StoreBusy, at, times)


def disk_full(at: str | None = None, *, times: int = 1, store: JobStore | None = None) -> Fault:
    """The disk is full: `times` writes, at this point or any, raise `StoreFull`."""
    return _Refusal(stage_of(store), StoreFull, at, times)


def _point(name: str) -> str:
    if name not in POINTS:
        raise InvalidRequest("point", f"must be one of {', '.join(POINTS)}, not {name!r}")
    return name
