"""What is said to be allowed is what the decisions do, in every state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from jobstate.domain import leases, rescale_requests, stop_requests
from jobstate.domain.errors import JobStateError
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import State
from jobstate.domain.operator_actions import Action, allowed_actions, check_deletable
from jobstate.domain.restart_requests import check_restartable
from jobstate.domain.stop import StopMode
from tests.unit.building import NOW, OPERATOR, TIMEOUT, Life, lives


def _restarted(job: JobRow) -> bool:
    check_restartable(job, None)
    return True


def _deleted(job: JobRow) -> bool:
    check_deletable(job)
    return True


DO: Final[dict[Action, Callable[[JobRow], object]]] = {
    Action.SCHEDULE: lambda job: leases.schedule(job, NOW, OPERATOR).steps,
    Action.STOP: lambda job: stop_requests.stop(job, StopMode.FORCE, NOW + TIMEOUT, 0.0, NOW, OPERATOR).steps,
    Action.RESCALE: lambda job: rescale_requests.rescale(job, job.parallelism + 8, 0.0, NOW, OPERATOR).steps,
    Action.FAIL: lambda job: leases.fail_by_operator(job, "hopeless", NOW, OPERATOR).steps,
    Action.RESTART: _restarted,
    Action.DELETE: _deleted,
}


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("life", lives().values(), ids=lives())
def test_an_action_is_allowed_exactly_where_it_does_something(life: Life, action: Action) -> None:
    try:
        done = bool(DO[action](life.job))
    except JobStateError:
        done = False
    assert (action in allowed_actions(life.job.state)) is done


def test_actions_are_named_in_one_order() -> None:
    for state in State:
        allowed = allowed_actions(state)
        assert list(allowed) == sorted(allowed, key=list(Action).index)
