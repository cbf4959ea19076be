"""What an operator may ask of a job, read off the lifecycle and the rules of each verb."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from jobstate.domain.lifecycle import LIVE, TERMINAL, State, Trigger, sources
from jobstate.domain.rescaling import RESCALABLE
from jobstate.domain.restarting import RESTARTABLE


class Action(StrEnum):
    """A verb of an operator."""

    SCHEDULE = "schedule"
    STOP = "stop"
    RESCALE = "rescale"
    FAIL = "fail"
    RESTART = "restart"
    DELETE = "delete"


_WHERE: Final[Mapping[Action, frozenset[State]]] = {
    Action.SCHEDULE: sources(Trigger.SCHEDULE),
    Action.STOP: LIVE,  # also where one is pending: it can be made harder
    Action.RESCALE: RESCALABLE,
    Action.FAIL: sources(Trigger.FAIL),
    Action.RESTART: RESTARTABLE,
    Action.DELETE: TERMINAL,
}


def allowed_actions(state: State) -> tuple[Action, ...]:
    """The verbs that do something to a job in this state, as far as its state decides.

    What else there is decides too: a second restart is refused while the first one lives.
    """
    return tuple(action for action, states in _WHERE.items() if state in states)
