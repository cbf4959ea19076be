"""The legal path into each state: the steps of its worker and of operators that lead a job there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from jobstate.domain.lifecycle import State, Trigger
from jobstate.store.job_store import JobStore

Route = Sequence[Trigger]

WHY: Final = "failed by the test"
NEVER_CLAIMED: Final = (State.CREATED, State.SCHEDULED)
"""Jobs in these states need no worker: the first is submitted with `hold=True`."""
ROUTES: Final[Mapping[State, Route]] = {
    State.CREATED: (),
    State.SCHEDULED: (),
    State.RUNNING: (),
    State.RESCALING: (Trigger.RESCALE,),
    State.RECOVERING: (Trigger.RECOVER,),
    State.STOP_REQUESTED: (Trigger.REQUEST_STOP,),
    State.STOPPING: (Trigger.REQUEST_STOP, Trigger.BEGIN_STOP),
    State.STOPPED: (Trigger.REQUEST_STOP, Trigger.FINISH_STOP),
    State.COMPLETED: (Trigger.COMPLETE,),
    State.FAILED: (Trigger.FAIL,),
}
"""The triggers that lead a claimed job into each state."""
_STEPS: Final[Mapping[Trigger, Callable[[JobStore, Any], object]]] = {
    Trigger.RESCALE: lambda store, run: store.rescale(run, run.parallelism + 1),
    Trigger.RECOVER: lambda store, run: run.fail(WHY),
    Trigger.RELEASE: lambda store, run: run.release(),
    Trigger.REQUEST_STOP: lambda store, run: store.stop(run),
    Trigger.BEGIN_STOP: lambda store, run: run.begin_stop(),
    Trigger.FINISH_STOP: lambda store, run: run.finish_stop(),
    Trigger.COMPLETE: lambda store, run: run.complete(),
    Trigger.FAIL: lambda store, run: run.fail(WHY, retryable=False),
}


def lead(store: JobStore, run: Any, route: Route) -> None:
    """Pull these triggers on a job: on its `Run`, or on the `Job` if no worker has claimed it."""
    for trigger in route:
        _STEPS[trigger](store, run)
