"""`Context`: what a store passes to its workers and runs."""

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
SILENT_AFTER: Final = 3 * DEFAULT_LEASE
"""Seconds after its last heartbeat for which a worker counts as alive."""
_TOLERATED_JUMP: Final = 2.0
_TOLERATED_DRIFT: Final = 0.001


class JumpGuard:
    """Compares both clocks from one call to the next, to notice that the wall clock jumped forward."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watch = ClockWatch(clock.now(), clock.monotonic())

    def in_grace(self, lease: float) -> bool:
        """Whether the clock jumped forward less than one lease (seconds) ago."""
        monotonic = self._clock.monotonic()
        tolerated = _TOLERATED_JUMP + _TOLERATED_DRIFT * (monotonic - self._watch.monotonic)
        self._watch = self._watch.observed(self._clock.now(), monotonic, tolerated, lease)
        return self._watch.in_grace


class _MakeExpiryPolicy(Protocol):
    def __call__(self, name: str, lease: float = DEFAULT_LEASE, limit: int = 100) -> ExpiryPolicy: ...


class TentativeRun(Protocol):
    """A run that was claimed inside a transaction which may still be undone."""

    def claim_undone(self) -> None:
        """Treat the lease as lost: the transaction was undone."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a store shares with its workers and runs."""

    repository: Repository
    clock: Clock
    chance: Callable[[], float]
    real_sleep: Callable[[float], None]
    """Sleep by the clock of the machine, for threads that wait for others; a `ManualClock` does not shorten it."""
    descriptor_limit: int
    stop_timeout_us: int
    """How long a stop may take, unless the request says otherwise."""
    keep_checkpoints: int = KEEP_CHECKPOINTS
    bounds: Bounds = DEFAULT_BOUNDS
    """How much of the logs, errors and output of a job is kept."""
    dispatcher: Dispatcher | None = None
    """Calls the observers; None without any."""
    tentative_runs: WeakValueDictionary[Lease, TentativeRun] = field(default_factory=WeakValueDictionary)
    """Runs claimed inside transactions. When the same lease is claimed again, the first claim was undone."""
    jump_guard: JumpGuard = field(init=False)

    expiry_policy: _MakeExpiryPolicy = field(init=False)
    """The policy of a sweeper of that name, for leases of that length; cached, because every claim asks for it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "jump_guard", JumpGuard(self.clock))
        object.__setattr__(self, "expiry_policy", lru_cache(maxsize=64)(self._make_expiry_policy))

    def _make_expiry_policy(self, name: str, lease: float = DEFAULT_LEASE, limit: int = 100) -> ExpiryPolicy:
        actor = Actor(f"{SWEEPER}{name}")
        return ExpiryPolicy(actor, self.chance, limit, partial(self.jump_guard.in_grace, lease))
