"""A store that a test plays on: real SQL, a clock that stands still, retries without chance, and room for faults.

The fixtures of the plugin open one for each test; `staged` does it anywhere else. What this package offers as functions
is about the store that was staged last, unless a call names another one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import jobstate
from jobstate.core.context import Context
from jobstate.domain.errors import InvalidRequest
from jobstate.storage import blank
from jobstate.store.store import JobStore
from jobstate.system import Clock
from jobstate.testing.clock import ManualClock
from jobstate.testing.fault_points import Moment, Watched
from jobstate.worker.run import Run, control_of

ACTOR: Final = "test"
_staged: Final[list[Stage]] = []


class Stage:
    """One staged store.

    Attributes:
        store: The store, for the test and the code that it tests.
        behind: The same store, where no fault reaches: for whoever looks at it or disturbs it.
        clock: The clock of both.
        hooks: Called at every moment of a write.
        death: What killed the process that the code under test runs in; None while it lives.
        journal: The faults that came, in words.
        in_hand: Runs that are stepped through.
    """

    def __init__(self, opened: JobStore, clock: Clock) -> None:
        self.clock = clock
        self.hooks: list[Callable[[Moment], None]] = []
        self.death: BaseException | None = None
        self.journal: list[str] = []
        self.in_hand: set[Run] = set()
        certain = replace(opened._context, chance=float)
        watched: Any = Watched(opened.repository, self._heard, self._check_alive)
        self.behind = JobStore(certain, opened._by)
        self.store = JobStore(replace(certain, repository=watched), opened._by)

    def __repr__(self) -> str:
        return f"<Stage of {self.store.path}>"

    @property
    def turned_by_hand(self) -> ManualClock:
        """The clock, where the test may turn it."""
        if isinstance(self.clock, ManualClock):
            return self.clock
        raise InvalidRequest(
            "clock", "is that of the machine here, which no test can turn; let this test start no process"
        )

    def context(self) -> Context:
        """What runs that are stepped through stand on: their pauses turn the clock."""
        return replace(self.store._context, real_sleep=self.clock.sleep)

    def look(self) -> None:
        """Let the runs in hand see a stop, a new parallelism or a lost lease, which heartbeats would show them."""
        runs = [run for run in self.in_hand if not run.settled]
        renewals = self.behind.repository.leases.look([run.lease for run in runs]) if runs else []
        for run, renewal in zip(runs, renewals, strict=True):
            control_of(run).notice(renewal, None)

    def _heard(self, moment: Moment) -> None:
        for hook in tuple(self.hooks):
            hook(moment)
        if moment.when == "after" and not moment.by_holder:
            self.look()

    def _check_alive(self) -> None:
        if self.death is not None:
            raise self.death


@contextmanager
def staged(target: Any = ":memory:", *, clock: Clock | None = None, **options: Any) -> Iterator[Stage]:
    """Open a store for a test, and close it afterwards.

    Args:
        target: What `jobstate.open` takes: a path, `:memory:`, a peewee database or a store of your own.
        clock: Where time comes from; default a `ManualClock`.
        options: Those of `jobstate.open`; `actor` is `test`, and the `durability` of a path is `normal`, unless they
            say otherwise.
    """
    chosen = ManualClock() if clock is None else clock
    usual: dict[str, Any] = {"actor": ACTOR}
    if isinstance(target, str | os.PathLike):
        usual["durability"] = "normal"
        if os.fspath(target) != ":memory:" and options.get("create", True):
            blank.write(target)
    with jobstate.open(target, clock=chosen, **{**usual, **options}) as opened:
        stage = Stage(opened, chosen)
        _staged.append(stage)
        try:
            yield stage
        finally:
            _staged.remove(stage)


def stage_of(store: JobStore | None) -> Stage:
    """The stage of this store; for None the one that was staged last.

    Raises:
        InvalidRequest: There is none.
    """
    for stage in reversed(_staged):
        if store is None or any(store._context is side._context for side in (stage.store, stage.behind)):
            return stage
    if store is None:
        raise InvalidRequest("store", "none is staged; use the fixture jobstate_store, or `with staged() as stage:`")
    raise InvalidRequest("store", "is not a staged one; take that of the fixture jobstate_store, or of `staged()`")
