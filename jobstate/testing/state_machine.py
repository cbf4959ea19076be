"""A Hypothesis state machine that leads jobs with handlers of a project through everything that can happen to them."""

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
    """Jobs are submitted, run, crashed at any write, stopped, rescaled, failed, restarted; time passes.

    Give a subclass `handlers`, and what must hold as `@invariant()` methods, which look at `self.jobs`; further rules
    where there is more that may happen. `Subclass.TestCase` is then the test. The store's own promises are held too:
    its audit finds nothing, and whenever nothing more gets in their way, all jobs end.

    Attributes:
        handlers: By kind.
        jobs: The store.
        clock: Its clock.
    """

    handlers: ClassVar[Handlers] = {}

    def submissions(self) -> st.SearchStrategy[dict[str, Any]]:
        """The arguments of `submit` for jobs; override it where handlers need descriptors of their own."""
        return jobs(sorted(self.handlers))

    @initialize()
    def open_a_store(self) -> None:
        """Begin with an empty one."""
        self._stack = ExitStack()
        self._stage = self._stack.enter_context(staged())
        self.jobs = self._stage.store
        self.clock = self._stage.turned_by_hand

    def teardown(self) -> None:
        """Close the store."""
        if hasattr(self, "_stack"):
            self._stack.close()

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        """A job comes in."""
        self.jobs.submit(**data.draw(self.submissions()))

    @rule()
    def run_the_next(self) -> None:
        """A worker runs the job that is next."""
        run_one(self.handlers, store=self.jobs)

    @rule(moment=_MOMENTS)
    def crash_a_worker(self, moment: int) -> None:
        """A worker dies at a write, or gets through before it comes to that."""
        with crash_at_moment(moment, store=self.jobs):
            run_one(self.handlers, store=self.jobs)

    @precondition(lambda self: bool(self.jobs.list("all").jobs))
    @rule(number=_NUMBERS, command=commands(tuple(BY_OPERATORS)))
    def operate(self, number: int, command: Command) -> None:
        """An operator does something to one of the newest jobs, or is refused."""
        found = self.jobs.list("all").jobs
        command.carry_out(Life(self._stage, found[number % len(found)].id))

    @rule(seconds=_SECONDS)
    def pass_time(self, seconds: int) -> None:
        """Nothing happens for a while."""
        self.clock.advance(seconds)

    @rule()
    def let_all_end(self) -> None:
        """Held jobs are scheduled, workers live, nobody stops anything: then every job ends."""
        for job in list(self.jobs.iterate(State.CREATED)):
            self.jobs.schedule(job)
        drain(self.handlers, turn_clock=True, store=self.jobs)
        assert_none_live(store=self.jobs)

    @invariant()
    def the_store_is_sound(self) -> None:
        """An audit finds nothing."""
        report = self.jobs.audit()
        assert report.ok, report.findings
