"""Faults by name, which come at a chosen point of the work of a staged store.

Each is a context manager over the code that it is to meet. The fault comes where that code first gets to the point; a
block that never gets there fails the test, saying where it got. Points are the triggers of the lifecycle and the other
writes: see `POINTS`.
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
from jobstate.store.store import JobStore
from jobstate.testing.fault_points import POINTS, Moment
from jobstate.testing.staged_store import Stage, stage_of

_CAUSE: Final = "the test made it so"


class Crash(BaseException):
    """The process that works died here. The store takes nothing from it any more; its lease stays until it runs out.

    The block of the fault ends with it, and lets nobody else see it. It derives from BaseException, so that an
    `except Exception` in a handler cannot eat it.
    """


class Fault(ABC):
    """Something that happens to a staged store at a point of its work, once.

    Attributes:
        arrived: Whether it has happened.
    """

    must_arrive = True
    """Whether a block that does not get to the point fails the test."""

    def __init__(self, stage: Stage, told: str) -> None:
        self._stage = stage
        self._told = told
        self._passed: list[str] = []
        self.entered = False
        self.arrived = False

    def __repr__(self) -> str:
        return f"<{self._told}>"

    def __enter__(self) -> Fault:
        if self.entered:
            raise InvalidRequest("fault", f"{self._told} was used already; make another one")
        self.entered = True
        self._stage.hooks.append(self._heard)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        __tracebackhide__ = True
        self._stage.hooks.remove(self._heard)
        died = self._stage.death
        if self.arrived and died is not None:
            self._stage.death = None
            return error is died
        if error is None and self.must_arrive and not self.arrived:
            got = ", ".join(self._passed) or "nowhere"
            raise AssertionError(f"{self._told} never came; the block got {got}")
        return False

    def _heard(self, moment: Moment) -> None:
        self._passed.append(str(moment))
        if self._is_due(moment):
            if not self.arrived:
                self.arrived = True
                self._told = self._told if self._told.endswith(str(moment)) else f"{self._told}, {moment}"
                self._stage.journal.append(self._told)
            self._happen(moment)

    @abstractmethod
    def _is_due(self, moment: Moment) -> bool:
        """Whether this is the moment."""

    @abstractmethod
    def _happen(self, moment: Moment) -> None:
        """Let it happen."""


class _CrashAt(Fault):
    def __init__(self, stage: Stage, when: str, point: str) -> None:
        super().__init__(stage, f"a crash {when} {_point(point)}")
        self._when = when
        self._point = point

    def _is_due(self, moment: Moment) -> bool:
        return not self.arrived and moment.when == self._when and self._point in moment.points

    def _happen(self, moment: Moment) -> None:
        self._stage.death = Crash(self._told)
        raise self._stage.death


class _CrashAtMoment(Fault):
    must_arrive = False

    def __init__(self, stage: Stage, number: int) -> None:
        super().__init__(stage, f"a crash at moment {number} of the block")
        self._number = number

    def _is_due(self, moment: Moment) -> bool:
        return not self.arrived and len(self._passed) == self._number

    def _happen(self, moment: Moment) -> None:
        self._stage.death = Crash(self._told)
        raise self._stage.death


class _Refusal(Fault):
    def __init__(self, stage: Stage, error: type[StoreError], at: str | None, times: int) -> None:
        told = "a busy store" if error is StoreBusy else "a full disk"
        super().__init__(stage, told if at is None else f"{told} at {_point(at)}")
        self._error = error
        self._at = at
        self._left = validation.integer("times", times, 1, 1_000_000)

    def _is_due(self, moment: Moment) -> bool:
        return self._left > 0 and moment.when == "before" and (self._at is None or self._at in moment.points)

    def _happen(self, moment: Moment) -> None:
        self._left -= 1
        raise self._error(self._stage.store.path, _CAUSE)


class _FromOutside(Fault):
    """Somebody else does something to the job, just before the point; where only the answer names it, just after."""

    def __init__(self, stage: Stage, told: str, at: str | None) -> None:
        super().__init__(stage, told if at is None else f"{told} at {_point(at)}")
        self._at = at

    def _is_due(self, moment: Moment) -> bool:
        if self.arrived or not moment.job_ids:
            return False
        return self._at in moment.points if self._at is not None else moment.by_holder and moment.when == "before"


class _LostLease(_FromOutside):
    def _happen(self, moment: Moment) -> None:
        for job_id in moment.job_ids:
            expires = row_of(self._stage.behind.get(job_id)).lease_expires_us
            if expires is not None and expires > self._stage.clock.now():
                self._stage.turned_by_hand.set(validation.instant(expires))
        self._stage.behind.sweep()
        self._stage.look()


class _ArrivingStop(_FromOutside):
    def __init__(self, stage: Stage, at: str, mode: str, reason: str | None) -> None:
        super().__init__(stage, "a stop", at)
        self._mode = mode
        self._reason = reason

    def _happen(self, moment: Moment) -> None:
        for job_id in moment.job_ids:
            self._stage.behind.stop(job_id, mode=self._mode, reason=self._reason)
        self._stage.look()


def crash_before(point: str, *, store: JobStore | None = None) -> Fault:
    """The process dies on its way to this write: the store has nothing of it."""
    return _CrashAt(stage_of(store), "before", point)


def crash_after(point: str, *, store: JobStore | None = None) -> Fault:
    """The process dies right after this write: the store has it, and nobody got the answer."""
    return _CrashAt(stage_of(store), "after", point)


def every_crash(*, store: JobStore | None = None) -> Iterator[Fault]:
    """A crash before and after each write of a block, one after the other; at last none, when the block has no more.

    `for crash in every_crash():` repeats a scene; within, `with crash:` holds the part of it that is to be hit.
    """
    stage = stage_of(store)
    number = 1
    while True:
        crash = _CrashAtMoment(stage, number)
        yield crash
        if not crash.entered:
            raise InvalidRequest("every_crash", "each crash needs its block: `with crash:` around what it is to hit")
        if not crash.arrived:
            return
        number += 1


def crash_at_moment(number: int, *, store: JobStore | None = None) -> Fault:
    """The process dies at that moment of the block, from 1 on; a block that has fewer of them goes through."""
    return _CrashAtMoment(stage_of(store), validation.integer("number", number, 1, 1_000_000))


def lose_lease(at: str | None = None, *, store: JobStore | None = None) -> Fault:
    """The worker was held up: the clock passes its lease, and a sweep takes the job away, before its next write.

    Args:
        at: The point; None: the first write under a lease.
        store: Another than the one that was staged last.
    """
    return _LostLease(stage_of(store), "a lost lease", at)


def stop_arrives_at(
    point: str, *, mode: str = StopMode.CHECKPOINT, reason: str | None = None, store: JobStore | None = None
) -> Fault:
    """An operator asks the job to stop just before this write; at `claim` and `submit`, just after."""
    return _ArrivingStop(stage_of(store), point, mode, reason)


def busy(at: str | None = None, *, times: int = 1, store: JobStore | None = None) -> Fault:
    """Other writers hold the store: `StoreBusy`, for so many writes, of any sort or at this point."""
    return _Refusal(stage_of(store), StoreBusy, at, times)


def disk_full(at: str | None = None, *, times: int = 1, store: JobStore | None = None) -> Fault:
    """The disk is full: `StoreFull`, for so many writes, of any sort or at this point."""
    return _Refusal(stage_of(store), StoreFull, at, times)


def _point(name: str) -> str:
    if name not in POINTS:
        raise InvalidRequest("point", f"must be one of {', '.join(POINTS)}, not {name!r}")
    return name
