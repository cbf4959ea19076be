"""The `transitions` machine says the same as the table, and serves callbacks on an object of one's own."""

from __future__ import annotations

from typing import Any

import pytest
from transitions import MachineError

from jobstate.domain.lifecycle import EDGES, INITIAL, TERMINAL, State, Trigger
from jobstate.domain.state_machine import VALIDATED, lifecycle_machine, mermaid


class Model:
    """An object of the caller's own; the machine adds `state` and one method per trigger."""

    def __init__(self) -> None:
        self.entered: list[str] = []

    def on_enter_Running(self) -> None:  # noqa: N802 - transitions names it so
        self.entered.append("Running")


def _model(state: State = State.SCHEDULED, **options: Any) -> Any:
    model = Model()
    lifecycle_machine(model, state, **options)
    return model


def test_the_machine_knows_every_state_and_which_are_final() -> None:
    assert set(VALIDATED.states) == {state.value for state in State}
    assert {name for name, state in VALIDATED.states.items() if state.final} == {state.value for state in TERMINAL}


def test_the_machine_has_no_trigger_of_its_own() -> None:
    assert set(VALIDATED.events) == {trigger.value for trigger in Trigger}
    assert not hasattr(_model(), "to_Stopped")


@pytest.mark.parametrize("state", State)
def test_the_machine_allows_in_each_state_what_the_table_allows(state: State) -> None:
    allowed = {trigger.value for source, trigger, _ in EDGES if source is state}
    assert set(VALIDATED.get_triggers(state.value)) == allowed


def test_a_model_walks_through_the_lifecycle_by_its_own_methods() -> None:
    model = _model()
    model.claim()
    model.request_stop()
    model.begin_stop()
    model.finish_stop()
    assert model.state == State.STOPPED


def test_a_model_refuses_what_the_table_refuses_and_stays_where_it_was() -> None:
    model = _model(State.COMPLETED)
    with pytest.raises(MachineError):
        model.claim()
    assert model.state == State.COMPLETED


def test_a_model_begins_in_the_queue_unless_told_otherwise() -> None:
    model = Model()
    lifecycle_machine(model)
    assert model.state == State.SCHEDULED  # type: ignore[attr-defined]
    assert _model(State.CREATED).state == State.CREATED


def test_callbacks_of_the_model_and_of_the_machine_are_called() -> None:
    changes: list[str] = []
    model = _model(after_state_change=lambda: changes.append("changed"))
    model.claim()
    assert model.entered == ["Running"]
    assert changes == ["changed"]


def test_two_models_do_not_share_a_state() -> None:
    first, second = _model(), _model()
    first.claim()
    assert (first.state, second.state) == (State.RUNNING, State.SCHEDULED)


def test_the_diagram_shows_every_edge_every_beginning_and_every_end() -> None:
    shown: set[tuple[str, str, str]] = set()
    begins, ends = set(), set()
    head, *lines = mermaid().splitlines()
    for line in lines:
        source, rest = line.strip().split(" --> ")
        to, _, labels = rest.partition(": ")
        if source == "[*]":
            begins.add(to)
        elif to == "[*]":
            ends.add(source)
        else:
            shown |= {(source, label, to) for label in labels.split(" | ")}
    assert head == "stateDiagram-v2"
    assert shown == {(source.value, trigger.value, to.value) for source, trigger, to in EDGES}
    assert begins == {state.value for state in INITIAL}
    assert ends == {state.value for state in TERMINAL}


def test_the_diagram_is_the_same_at_every_call() -> None:
    assert mermaid() == mermaid()
    assert mermaid().endswith("\n")
