"""The lifecycle as a `transitions` machine: validation, the diagram, and callbacks on an object of one's own.

The hot path does not use it: a look-up in the table is about ninety times cheaper than firing a machine. It is the
second opinion: it must accept the table when this module is loaded, and the tests hold every step against it.
"""

from __future__ import annotations

from typing import Any, Final

from transitions import Machine
from transitions.extensions.diagrams import GraphMachine

from jobstate.domain.lifecycle import EDGES, INITIAL, TERMINAL, State


def lifecycle_machine(model: object, initial: State = State.SCHEDULED, **options: Any) -> Machine:
    """Attach the lifecycle to `model`, an object of the caller's own.

    The model gets one method per trigger (`model.claim()`), and `model.state`. A trigger that the table does not
    allow raises `transitions.MachineError`. Nothing is stored: this is for simulations, documents and callbacks.

    Args:
        model: Any object; its methods `on_enter_Running`, `on_exit_Running` and so on are called as `transitions`
            documents them.
        initial: The state to begin in.
        options: Further arguments of `transitions.Machine`, such as `after_state_change`.
    """
    return Machine(**_definition(), model=model, initial=initial.value, **options)


def mermaid() -> str:
    """The lifecycle as a Mermaid state diagram, as README shows it."""
    graph: Any = GraphMachine(**_definition(), initial=INITIAL[1].value, graph_engine="mermaid")
    drawn = graph.get_graph().source.splitlines()
    edges = [line.strip() for line in drawn if "-->" in line and "[*]" not in line]
    begins = [f"[*] --> {state}" for state in INITIAL]
    ends = [f"{state} --> [*]" for state in State if state in TERMINAL]
    return "\n".join(["stateDiagram-v2", *(f"  {line}" for line in (*begins, *edges, *ends))]) + "\n"


def _definition() -> dict[str, Any]:
    return {
        "states": [{"name": state.value, "final": state in TERMINAL} for state in State],
        "transitions": [[trigger.value, source.value, target.value] for source, trigger, target in EDGES],
        "auto_transitions": False,
        "send_event": False,
    }


VALIDATED: Final = Machine(model=None, initial=INITIAL[1].value, **_definition())
"""Built when this module is loaded, so that a table that `transitions` refuses is refused at once."""
