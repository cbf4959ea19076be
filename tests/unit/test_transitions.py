"""One step along the table: what it writes, and what it refuses."""

from __future__ import annotations

import pytest

from jobstate.domain.errors import TransitionNotAllowed
from jobstate.domain.lifecycle import EDGES, LEASE_EFFECT, LIFECYCLE, TERMINAL, LeaseEffect, State, Trigger
from jobstate.domain.transitions import Decision, decided, move, note, target
from tests.unit.building import NOW, OPERATOR, WORKER, lives, one_per_state
from tests.values import replace

LATER = NOW + 5


@pytest.mark.parametrize(("source", "trigger", "to"), EDGES)
def test_every_edge_can_be_walked_and_leaves_its_entry(source: State, trigger: Trigger, to: State) -> None:
    before = one_per_state()[source]
    after = move(before, trigger, LATER, OPERATOR, detail={"a": "ü"})
    assert target(before, trigger) is after.state is to
    assert after.seq == before.seq + 1
    assert (after.trigger, after.actor, after.reason) == (trigger, *OPERATOR)
    assert (after.updated_us, after.detail_json) == (LATER, '{"a": "ü"}')
    assert after.finished_us == (LATER if to in TERMINAL else None)


@pytest.mark.parametrize("state", State)
def test_what_the_table_does_not_allow_is_refused_with_what_it_does_allow(state: State) -> None:
    subject = one_per_state()[state]
    for trigger in set(Trigger) - set(LIFECYCLE[state]):
        with pytest.raises(TransitionNotAllowed) as found:
            move(subject, trigger, LATER, OPERATOR)
        assert (found.value.job_id, found.value.state, found.value.trigger) == (subject.id, state, trigger)
        assert found.value.allowed == tuple(LIFECYCLE[state])


@pytest.mark.parametrize(("source", "trigger", "to"), EDGES)
def test_the_holder_goes_exactly_when_the_lease_ends_or_is_lost(source: State, trigger: Trigger, to: State) -> None:
    before = one_per_state()[source]
    after = move(before, trigger, LATER, OPERATOR)
    gone = LEASE_EFFECT[trigger] in (LeaseEffect.ENDS, LeaseEffect.LOSES)
    kept = (None, None) if gone else (before.worker_id, before.lease_expires_us)
    assert (after.worker_id, after.lease_expires_us) == kept
    lost = LEASE_EFFECT[trigger] is LeaseEffect.LOSES and before.worker_id is not None
    assert after.lease_token == before.lease_token + lost


def test_a_fenced_failure_raises_the_token_of_a_holder_and_of_nobody_else() -> None:
    jobs = one_per_state()
    running, waiting = jobs[State.RUNNING], jobs[State.SCHEDULED]
    assert running.worker_id == WORKER
    assert move(running, Trigger.FAIL, LATER, OPERATOR, fenced=True).lease_token == running.lease_token + 1
    assert move(running, Trigger.FAIL, LATER, OPERATOR).lease_token == running.lease_token
    assert move(waiting, Trigger.FAIL, LATER, OPERATOR, fenced=True).lease_token == waiting.lease_token


def test_a_completion_is_never_fenced() -> None:
    running = one_per_state()[State.RUNNING]
    assert move(running, Trigger.COMPLETE, LATER, OPERATOR, fenced=True).lease_token == running.lease_token


@pytest.mark.parametrize("trigger", sorted(LIFECYCLE[State.RESCALING]))
def test_a_rescale_target_is_dropped_with_the_state_it_belongs_to(trigger: Trigger) -> None:
    rescaling = lives()["Rescaling"].job
    assert rescaling.rescale_to == 4
    assert move(rescaling, trigger, LATER, OPERATOR).rescale_to is None


@pytest.mark.parametrize("trigger", sorted(LIFECYCLE[State.RESCALING]))
def test_a_rescale_target_holds_for_the_run_that_goes_on_or_comes_next(trigger: Trigger) -> None:
    rescaling = lives()["Rescaling"].job
    goes_on = LIFECYCLE[State.RESCALING][trigger] in {State.RUNNING, State.SCHEDULED, State.RECOVERING}
    assert move(rescaling, trigger, LATER, OPERATOR).parallelism == (4 if goes_on else 1)


def test_a_note_writes_an_entry_and_keeps_the_state() -> None:
    before = lives()["Rescaling"].job
    after = note(before, "rescale", LATER, OPERATOR, rescale_to=8)
    assert after.state is before.state
    assert after == replace(
        before,
        seq=before.seq + 1,
        updated_us=LATER,
        trigger="rescale",
        actor=OPERATOR.name,
        reason=OPERATOR.reason,
        rescale_to=8,
        detail_json=None,
    )


def test_a_step_leaves_the_version_before_it_as_it_was() -> None:
    before = lives()["Running"].job
    copied = replace(before)
    move(before, Trigger.HALT, LATER, OPERATOR)
    assert before == copied


def test_decisions_join_in_order() -> None:
    first = lives()["Running"].job
    second = move(first, Trigger.REQUEST_STOP, LATER, OPERATOR)
    third = move(second, Trigger.BEGIN_STOP, LATER, OPERATOR)
    assert decided(second).then(decided(third)) == decided(second, third) == Decision(third, (second, third))
    assert Decision(first).then(decided(second)) == decided(second)
    assert decided(second).then(Decision(second)) == decided(second)
