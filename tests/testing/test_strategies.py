"""What is drawn is what it says, and the machine holds handlers to what their project says of them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from jobstate import Run, State, Trigger
from jobstate.domain.audit import audit_job
from jobstate.domain.job import row_of
from jobstate.domain.lifecycle import EDGES
from jobstate.testing import JobMachine, staged
from jobstate.testing.commands import BY_OPERATORS, BY_WORKERS, Command, Life
from jobstate.testing.runner import Handlers
from jobstate.testing.strategies import History, commands, histories, jobs
from tests.testing.handlers import BLOCKS, count, refuse

TRIGGERS = {trigger.value for trigger in Trigger}
FEW = settings(max_examples=30, deadline=None, database=None, derandomize=True)


@FEW
@given(jobs())
def test_every_submission_is_taken_as_it_was_drawn(fields: dict[str, Any]) -> None:
    with staged() as stage:
        job = stage.store.submit(**fields)
        assert (job.kind, job.descriptor) == (fields["kind"], fields["descriptor"])
        assert job.state is (State.CREATED if fields.get("hold") else State.SCHEDULED)


@FEW
@given(histories())
def test_every_history_leads_to_its_job(history: History) -> None:
    assert list(audit_job(row_of(history.job), history.events)) == []


@pytest.mark.slow
def test_histories_lead_into_every_state_along_nearly_every_edge() -> None:
    states: set[State] = set()
    edges: set[tuple[State | None, str]] = set()

    @settings(FEW, max_examples=200)
    @given(histories())
    def gather(history: History) -> None:
        states.add(history.job.state)
        edges.update((event.from_state, event.trigger) for event in history.events if event.trigger in TRIGGERS)

    gather()
    assert states == set(State)
    assert len(edges) >= len(EDGES) - 4


@FEW
@given(commands(tuple(BY_OPERATORS)))
def test_commands_are_those_that_were_asked_for(command: Command) -> None:
    assert command.verb in BY_OPERATORS


@pytest.mark.parametrize("verb", [*BY_OPERATORS, *BY_WORKERS])
def test_a_command_is_refused_or_done_and_says_which(verb: str) -> None:
    with staged() as stage:
        life = Life(stage, stage.store.submit("extract").id)
        before = stage.store.newest_event()
        done = Command(verb, wait=2.0).carry_out(life)
        assert stage.clock.monotonic() == 2.0
        assert done or stage.store.newest_event() == before
        assert done == (verb not in {"restart", *BY_WORKERS} or verb == "claim")


class Counting(JobMachine):
    """Completed jobs have counted every block once, whatever happened to them."""

    handlers: ClassVar[Handlers] = {"count": count, "refuse": refuse}
    blocks: ClassVar[int] = BLOCKS

    @invariant()
    def no_block_is_lost_or_counted_twice(self) -> None:
        for job in self.jobs.iterate(State.COMPLETED):
            assert self.jobs.progress(job)["blocks"].files_count == self.blocks


class Wrong(Counting):
    """Expects what is not so."""

    blocks: ClassVar[int] = BLOCKS + 1


def forgetful(run: Run) -> None:
    """Goes on one block too far after a crash."""
    for block in range(run.restored.state if run.restored else 0, BLOCKS):
        run.add_range("blocks", block, block, files=1)
        if block % 10 == 9:
            run.checkpoint(state=block + 2)


class Forgetful(Counting):
    """Holds only as long as nobody dies."""

    handlers: ClassVar[Handlers] = {"count": forgetful}


STEPS = settings(FEW, max_examples=25, stateful_step_count=20, suppress_health_check=())


def test_the_machine_leads_handlers_through_everything() -> None:
    run_state_machine_as_test(Counting, settings=STEPS)


@pytest.mark.parametrize("machine", [Wrong, Forgetful])
def test_the_machine_finds_what_does_not_hold(machine: type[JobMachine]) -> None:
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings(STEPS, phases=[Phase.generate]))
