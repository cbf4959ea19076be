"""Which verbs an operator may use on a job, and which jobs may be deleted or pruned: derived from the lifecycle."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from jobstate.domain.errors import InvalidRequest, JobNotTerminal
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import LIVE, TERMINAL, State, Trigger, sources, states_named
from jobstate.domain.rescale_requests import RESCALABLE
from jobstate.domain.restart_requests import RESTARTABLE

PRUNE_WORDS = ("terminal", *sorted(state.value.lower() for state in TERMINAL), "error")


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

    Other facts decide too: a second restart is refused while the first one is live.
    """
    return tuple(action for action, states in _WHERE.items() if state in states)


def check_deletable(job: JobRow) -> None:
    """Raise JobNotTerminal for a live job. The row decides as it is: nothing is settled to make it deletable."""
    if not job.is_terminal:
        raise JobNotTerminal(job.id, job.state)


def prunable(status: str | State) -> frozenset[State]:
    """The states that a prune filter selects: `terminal`, `completed`, `stopped`, `error` (or `failed`)."""
    selected = states_named(status) if isinstance(status, str) else None
    if not selected or not selected <= TERMINAL:
        raise InvalidRequest("status", f"must be one of {', '.join(PRUNE_WORDS)}, not {status!r}; live jobs are kept")
    return selected
