"""Laws of the lifecycle, held against generated lives."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from transitions import MachineError

from jobstate.domain.errors import LeaseLost, TransitionNotAllowed
from jobstate.domain.invariants import faults
from jobstate.domain.lifecycle import EDGES, STOP_PENDING, TERMINAL, State, Trigger
from jobstate.domain.state_machine import lifecycle_machine
from jobstate.domain.transitions import Decision, target
from tests.property.walking import (
    VERBS,
    WORKER_VERBS,
    Command,
    RestartRequest,
    law_of_lives,
    steps,
    take,
    walk,
    walks,
    wished_from,
    written,
)
from tests.unit.building import NOW, TIMEOUT, Life, one_per_state

Walk = tuple[Life, list[RestartRequest]]


class Oracle:
    """The `transitions` machine, asked where a trigger leads."""

    state: str

    def __init__(self) -> None:
        self.machine = lifecycle_machine(self)

    def leads(self, source: State, trigger: str) -> str | None:
        """The state that the machine reaches; None where it refuses."""
        self.machine.set_state(source.value)
        try:
            self.trigger(trigger)  # type: ignore[attr-defined]
        except MachineError:
            return None
        return self.state


ORACLE = Oracle()


def test_the_machine_and_the_table_agree_on_every_state_and_trigger() -> None:
    jobs = one_per_state()
    allowed = 0
    for state, trigger in product(State, Trigger):
        leads = ORACLE.leads(state, trigger.value)
        if leads is None:
            with pytest.raises(TransitionNotAllowed):
                target(jobs[state], trigger)
        else:
            allowed += 1
            assert target(jobs[state], trigger) == leads
    assert (allowed, len(State) * len(Trigger)) == (31, 120)


def test_generated_lives_walk_every_edge_of_the_lifecycle() -> None:
    walked = {
        (before.state, after.trigger, after.state)
        for seed in range(1000)
        for _, before, after in steps(walk(*wished_from(seed)))
        if before.state is not after.state
    }
    assert walked == set(EDGES)


@law_of_lives
@given(walks)
def test_every_step_that_a_decision_writes_is_one_the_machine_makes(chosen: Walk) -> None:
    for _, before, after in steps(walk(*chosen)):
        if before.state is after.state:
            assert ORACLE.leads(before.state, after.trigger) != after.state
        else:
            assert ORACLE.leads(before.state, after.trigger) == after.state


@law_of_lives
@given(walks)
def test_nothing_leads_out_of_a_terminal_state(chosen: Walk) -> None:
    for each in walk(*chosen):
        if each.before.state in TERMINAL and each.decision is not None:
            assert each.decision.steps == ()
            assert each.decision.job == each.before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_no_single_decision_changes_a_job_that_ended(state: State, verb: str) -> None:
    ended = one_per_state()[state]
    for stale in (True, False):
        each = take(ended, Command(verb, 0, stale, 0.0, TIMEOUT, None), NOW + TIMEOUT)
        assert each.decision is None or each.decision == Decision(ended)


@law_of_lives
@given(walks)
def test_the_token_rises_exactly_when_a_lease_is_taken_or_lost(chosen: Walk) -> None:
    for each, before, after in steps(walk(*chosen)):
        held = before.worker_id is not None
        by_holder = each.command.verb in WORKER_VERBS and each.command.verb != "renew"
        lost = after.trigger in ("recover", "release", "halt") or (after.trigger == "fail" and not by_holder)
        taken = after.trigger == "claim"
        assert after.lease_token - before.lease_token == (taken or (lost and held))


@law_of_lives
@given(walks)
def test_a_token_is_given_to_one_claim_only(chosen: Walk) -> None:
    given_out = [after.lease_token for _, _, after in steps(walk(*chosen)) if after.trigger == "claim"]
    assert len(given_out) == len(set(given_out))
    assert given_out == sorted(given_out)


@law_of_lives
@given(walks)
def test_a_stale_token_is_lease_lost_and_nothing_else(chosen: Walk) -> None:
    for each in walk(*chosen):
        if each.command.verb in WORKER_VERBS and each.command.stale:
            assert isinstance(each.refusal, LeaseLost)


@law_of_lives
@given(walks)
def test_the_holder_is_never_told_that_its_lease_is_lost(chosen: Walk) -> None:
    for each in walk(*chosen):
        if each.command.verb in WORKER_VERBS and not each.command.stale and each.before.worker_id is not None:
            assert not isinstance(each.refusal, LeaseLost)


@law_of_lives
@given(walks)
def test_a_stop_that_arrives_never_makes_a_verb_of_the_holder_raise(chosen: Walk) -> None:
    for each in walk(*chosen):
        held = each.before.worker_id is not None and each.before.state in STOP_PENDING
        if held and each.command.verb in WORKER_VERBS and not each.command.stale:
            assert each.refusal is None


@law_of_lives
@given(walks)
def test_a_job_asked_to_stop_never_runs_again(chosen: Walk) -> None:
    asked = False
    for version in written(chosen[0], walk(*chosen)):
        asked = asked or version.state in STOP_PENDING
        assert not asked or version.state in STOP_PENDING | TERMINAL


@law_of_lives
@given(walks)
def test_attempts_count_claims_and_never_fall(chosen: Walk) -> None:
    for _, before, after in steps(walk(*chosen)):
        assert after.attempt == before.attempt + (after.trigger == "claim")


@law_of_lives
@given(walks)
def test_no_more_runs_are_charged_than_allowed(chosen: Walk) -> None:
    for version in written(chosen[0], walk(*chosen)):
        assert 0 <= version.failures <= version.max_attempts
        assert version.failures <= version.attempt


@law_of_lives
@given(walks)
def test_every_version_fits_its_state(chosen: Walk) -> None:
    taken = walk(*chosen)
    assert [fault for version in written(chosen[0], taken) for fault in faults(version)] == []
    assert [fault for each in taken if each.decision for fault in faults(each.decision.job)] == []


@law_of_lives
@given(walks)
def test_history_entries_are_numbered_without_a_gap(chosen: Walk) -> None:
    versions = written(chosen[0], walk(*chosen))
    assert all(after.seq == before.seq + 1 for before, after in pairwise(versions))
    assert versions[0].seq == 1


@law_of_lives
@given(walks)
def test_what_changes_without_history_is_the_end_of_the_lease_alone(chosen: Walk) -> None:
    for each in walk(*chosen):
        if each.decision is not None and not each.decision.steps and each.decision.job != each.before:
            assert each.command.verb == "renew"
            assert each.decision.job.lease_expires_us == each.now + 30_000_000
        if each.decision is not None and each.decision.steps:
            assert each.decision.steps[-1] == each.decision.job


@law_of_lives
@given(walks)
def test_what_identifies_a_job_never_changes(chosen: Walk) -> None:
    fixed = ("id", "kind", "node_id", "key", "created_us", "root_id", "max_attempts", "descriptor_json", "labels_json")
    for version in written(chosen[0], walk(*chosen)):
        assert all(getattr(version, name) == getattr(chosen[0].job, name) for name in fixed)
