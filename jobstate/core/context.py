"""What a store's methods and its workers share: the repository, the clock, chance, and who acts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakValueDictionary

from jobstate.domain.checkpoints import KEEP_CHECKPOINTS
from jobstate.domain.event import SWEEPER, Actor
from jobstate.domain.job_row import Lease
from jobstate.domain.leases import ClockWatch
from jobstate.domain.report import DEFAULT_BOUNDS, Bounds
from jobstate.ports.repository import ExpiryPolicy, Repository
from jobstate.system import Clock

if TYPE_CHECKING:
    from jobstate.observers.dispatcher import Dispatcher

DEFAULT_LEASE: Final = 30.0
SHORTEST_PAUSE: Final = 0.004
LONGEST_PAUSE: Final = 0.04
_GROWTH: Final = 1.1
_TOLERATED_JUMP: Final = 2.0
_TOLERATED_DRIFT: Final = 0.001


class PollInterval:
    """Seconds between two looks at the change counter of a store.

    Short while things happen, so that the next one is noticed in milliseconds; longer when they do not, so that an
    idle process stays under 1 % of a core.
    """

    def __init__(self) -> None:
        self._next = SHORTEST_PAUSE

    def next(self) -> float:
        """How long to pause now."""
        pause = self._next
        self._next = min(LONGEST_PAUSE, pause * _GROWTH)
        return pause

    def restart(self) -> None:
        """Something happened."""
        self._next = SHORTEST_PAUSE


class JumpGuard:
    """Remembers both clocks from one settling to the next, to notice a jump."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watch = ClockWatch(clock.now(), clock.monotonic())

    def in_grace(self, lease: float) -> bool:
        """Whether the clock jumped forward less than one lease ago."""
        monotonic = self._clock.monotonic()
        tolerated = _TOLERATED_JUMP + _TOLERATED_DRIFT * (monotonic - self._watch.monotonic)
        self._watch = self._watch.observed(self._clock.now(), monotonic, tolerated, lease)
        return self._watch.in_grace


class _HowToSettle(Protocol):
    def __call__(self, who: str, lease: float = DEFAULT_LEASE, limit: int = 100) -> ExpiryPolicy: ...


class Tentative(Protocol):
    """A run that was claimed inside a transaction which may yet be undone."""

    def claim_undone(self) -> None:
        """It was: the lease is lost."""


@dataclass(frozen=True, slots=True)
class Context:
    """Passed from the store to its workers and runs."""

    repository: Repository
    clock: Clock
    chance: Callable[[], float]
    rest: Callable[[float], None]
    """Really sleep, also where the clock is turned by hand: for threads that wait for others."""
    descriptor_limit: int
    keep_checkpoints: int = KEEP_CHECKPOINTS
    bounds: Bounds = DEFAULT_BOUNDS
    """How much of what jobs say is kept."""
    dispatcher: Dispatcher | None = None
    """Who is told what happens; None: nobody."""
    tentative: WeakValueDictionary[Lease, Tentative] = field(default_factory=WeakValueDictionary)
    """The runs claimed inside transactions: where a lease is given out once more, the claim before was undone."""
    jumps: JumpGuard = field(init=False)

    settling: _HowToSettle = field(init=False)
    """How someone settles what is overdue; remembered, because every claim says it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "jumps", JumpGuard(self.clock))
        object.__setattr__(self, "settling", lru_cache(maxsize=64)(self._settling))

    def _settling(self, who: str, lease: float = DEFAULT_LEASE, limit: int = 100) -> ExpiryPolicy:
        return ExpiryPolicy(Actor(f"{SWEEPER}{who}"), self.chance, limit, partial(self.jumps.in_grace, lease))
