"""A store for one test: real SQL, a manual clock, retries without chance, and points where faults can strike.

The fixtures of the plugin open one for each test; `staged` opens one anywhere else. The functions of this package use
the store that was staged last, unless a call names another one.
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
from jobstate.store.job_store import JobStore
from jobstate.system import Clock
from jobstate.testing.clock import ManualClock
from jobstate.testing.fault_points import Moment, WatchedRepository
from jobstate.worker.run import Run, control_of

ACTOR: Final = "test"
_staged: Final[list[Stage]] = []


class Stage:
    """One staged store.

    Attributes:
        store: The store, for the test and the code under test.
        direct: The same store without faults: for assertions, and for faults that change a job.
        clock: The clock of both.
        hooks: Called before and after every write.
        crash: The crash of the process that the code under test runs in; None while it lives.
        fault_log: One line for each fault that occurred.
        stepped_runs: Runs that `run_one` and `drain` are executing.
    """

    def __init__(self, opened: JobStore, clock: Clock) -> None:
        self.clock = clock
        self.hooks: list[Callable[[Moment], None]] = []
        self.crash: BaseException | None = None
        self.fault_log: list[str] = []
        self.stepped_runs: set[Run] = set()
        certain = replace(opened._context, chance=float)
        watched: Any = WatchedRepository(opened.repository, self._on_write, self._check_alive)
        self.direct = JobStore(certain, opened._by)
        self.store = JobStore(replace(certain, repository=watched), opened._by)

    def __repr__(self) -> str:
        return f"<Stage of {self.store.path}>"

    @property
    def manual_clock(self) -> ManualClock:
        """The clock, if the test may advance it."""
        if isinstance(self.clock, ManualClock):
            return self.clock
        raise InvalidRequest(
            "clock", "is that of the machine here, which no test can advance; let this test start no process"
        )

    def context(self) -> Context:
        """The context of runs in this process: a pause advances the clock."""
        return replace(self.store._context, real_sleep=self.clock.sleep)

    def notice_changes(self) -> None:
        """Report a stop, a new parallelism or a lost lease to the stepped runs, as their heartbeats would."""
        runs = [run for run in self.stepped_runs if not run.settled]
        renewals = self.direct.repository.leases.look([run.lease for run in runs]) if runs else []
        for run, renewal in zip(runs, renewals, strict=True):
            control_of(run).notice(renewal, None)

    def _on_write(self, moment: Moment) -> None:
        for hook in tuple(self.hooks):
            hook(moment)
        if moment.when == "after" and not moment.under_lease:
            self.notice_changes()

    def _check_alive(self) -> None:
        if self.crash is not None:
            raise self.crash


@contextmanager
def staged(target: Any = ":memory:", *, clock: Clock | None = None, **options: Any) -> Iterator[Stage]:
    """Open a store for a test, and close it afterwards.

    Args:
        target: What `jobstate.open` takes: a path, `:memory:`, a peewee database or a store of your own.
        clock: The source of time; default a `ManualClock`.
        options: Those of `jobstate.open`; by default `actor` is `test`, and the `durability` of a path is `normal`.
    """
    chosen = ManualClock() if clock is None else clock
    usual: dict[str, Any] = {"actor": ACTOR}
    if isinstance(target, str | os.PathLike):
        usual["durability"] = "normal"
        if os.fspath(target) != ":memory:" and options.get("create", True):
            from jobstate.storage import blank  # collecting tests must not pay for peewee

            blank.write(target, options.get("durability", "normal"))
    with jobstate.open(target, clock=chosen, **{**usual, **options}) as opened:
        stage = Stage(opened, chosen)
        _staged.append(stage)
        try:
            yield stage
        finally:
            _staged.remove(stage)


def stage_of(store: JobStore | None) -> Stage:
    """The stage of this store; for None that of the store that was staged last.

    Raises:
        InvalidRequest: The store is not staged, or none is.
    """
    for stage in reversed(_staged):
        if store is None or any(store._context is side._context for side in (stage.store, stage.direct)):
            return stage
    if store is None:
        raise InvalidRequest("store", "none is staged; use the fixture jobstate_store, or `with staged() as stage:`")
    raise InvalidRequest("store", "is not staged; take the store of the fixture jobstate_store, or of `staged()`")
