"""A Hypothesis state machine that runs the handlers of a project through every event of the lifecycle."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, ClassVar, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobstate.domain.lifecycle import State
from jobstate.testing.assertions import assert_none_live
from jobstate.testing.commands import BY_OPERATORS, Command, Life
from jobstate.testing.faults import crash_at_moment
from jobstate.testing.runner import Handlers, drain, run_one
from jobstate.testing.staged_store import staged
from jobstate.testing.strategies import commands, jobs

_SECONDS: Final = st.sampled_from([1, 30, 31, 300, 3600])
_MOMENTS: Final = st.integers(1, 12)
_NUMBERS: Final = st.integers(0, 1000)


class JobMachine(RuleBasedStateMachine):
    """Submits, runs, stops, rescales, fails and restarts jobs, crashes workers at any write, and advances the clock.

    Give a subclass `handlers`, invariants as `@invariant()` methods that read `self.jobs`, and further rules if you
    need them. `Subclass.TestCase` is then the test. The machine also checks the store: its audit finds nothing, and
    all jobs end once no more events disturb them.

    Attributes:
        handlers: By kind.
        jobs: The store.
        clock: Its clock.
    """

    handlers: ClassVar[Handlers] = {}

    def submissions(self) -> st.SearchStrategy[dict[str, Any]]:
        """The arguments of `submit`; override it if your handlers need certain descriptors."""
        return jobs(sorted(self.handlers))

    @initialize()
    def open_a_store(self) -> None:
        """Open an empty store."""
        self._stack = ExitStack()
        self._stage = self._stack.enter_context(staged())
        self.jobs = self._stage.store
        self.clock = self._stage.manual_clock

    def teardown(self) -> None:
        """Close the store."""
        if hasattr(self, "_stack"):
            self._stack.close()

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        """Submit a job."""
        self.jobs.submit(**data.draw(self.submissions()))

    @rule()
    def run_the_next(self) -> None:
        """A worker runs the next job."""
        run_one(self.handlers, store=self.jobs)

    @rule(moment=_MOMENTS)
    def crash_a_worker(self, moment: int) -> None:
        """A worker crashes at a write, or ends before it makes that many."""
        with crash_at_moment(moment, store=self.jobs):
            run_one(self.handlers, store=self.jobs)

    @precondition(lambda self: bool(self.jobs.list("all").jobs))
    @rule(number=_NUMBERS, command=commands(tuple(BY_OPERATORS)))
    def operate(self, number: int, command: Command) -> None:
        """An operator tries a verb on one of the newest jobs."""
        found = self.jobs.list("all").jobs
        command.carry_out(Life(self._stage, found[number % len(found)].id))

    @rule(seconds=_SECONDS)
    def pass_time(self, seconds: int) -> None:
        """Advance the clock."""
        self.clock.advance(seconds)

    @rule()
    def let_all_end(self) -> None:
        """Schedule held jobs and run workers without disturbance: every job ends."""
        for job in list(self.jobs.iterate(State.CREATED)):
            self.jobs.schedule(job)
        drain(self.handlers, turn_clock=True, store=self.jobs)
        assert_none_live(store=self.jobs)

    @invariant()
    def the_store_is_sound(self) -> None:
        """The audit finds nothing."""
        report = self.jobs.audit()
        assert report.ok, report.findings
