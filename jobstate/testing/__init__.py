"""For tests of code that uses jobstate: a staged store, its clock, handlers step by step, faults, and assertions.

The pytest plugin offers them as fixtures. A name loads when it is first used, as those of `jobstate` do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobstate.testing.assertions import assert_history as assert_history
    from jobstate.testing.assertions import assert_no_leaks as assert_no_leaks
    from jobstate.testing.assertions import assert_none_live as assert_none_live
    from jobstate.testing.assertions import assert_submitted as assert_submitted
    from jobstate.testing.clock import ManualClock as ManualClock
    from jobstate.testing.fault_points import POINTS as POINTS
    from jobstate.testing.faults import Crash as Crash
    from jobstate.testing.faults import Fault as Fault
    from jobstate.testing.faults import busy as busy
    from jobstate.testing.faults import crash_after as crash_after
    from jobstate.testing.faults import crash_at_moment as crash_at_moment
    from jobstate.testing.faults import crash_before as crash_before
    from jobstate.testing.faults import disk_full as disk_full
    from jobstate.testing.faults import every_crash as every_crash
    from jobstate.testing.faults import lose_lease as lose_lease
    from jobstate.testing.faults import stop_arrives_at as stop_arrives_at
    from jobstate.testing.job_states import JobIn as JobIn
    from jobstate.testing.job_states import job_in as job_in
    from jobstate.testing.processes import StartWorker as StartWorker
    from jobstate.testing.processes import WorkerProcess as WorkerProcess
    from jobstate.testing.runner import Drain as Drain
    from jobstate.testing.runner import RunOne as RunOne
    from jobstate.testing.runner import drain as drain
    from jobstate.testing.runner import run_one as run_one
    from jobstate.testing.staged_store import Stage as Stage
    from jobstate.testing.staged_store import staged as staged
    from jobstate.testing.state_machine import JobMachine as JobMachine

_HOMES = {
    "assertions": "assert_history assert_no_leaks assert_none_live assert_submitted",
    "clock": "ManualClock",
    "faults": (
        "Crash Fault busy crash_after crash_at_moment crash_before disk_full every_crash lose_lease stop_arrives_at"
    ),
    "state_machine": "JobMachine",
    "processes": "StartWorker WorkerProcess",
    "job_states": "JobIn job_in",
    "staged_store": "Stage staged",
    "runner": "Drain RunOne drain run_one",
    "fault_points": "POINTS",
}
_HOME_OF = {name: f"jobstate.testing.{home}" for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)  # noqa: PLE0605  (a test holds it against the names above)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
