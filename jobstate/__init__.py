"""The truth about jobs: which exist, what state each is in, who runs it, how far it got, who stopped it and why.

    open(path)      opens a store: a JobStore, with submit, get, list, stop, wait, watch, claim, worker, …
    connect(url)    reaches a store through its server: a JobClient, with the verbs that need no file
    Job, Event      what a store returns; State, Trigger and LIFECYCLE are the states and the table of their changes
    Run, Worker     what a handler gets, and what calls handlers; LeaseLost and JobStopping end a run early
    RetryPolicy     how long to wait between the runs of a job
    JobStateError   the root of all errors: InvalidRequest, JobNotFound, StoreBusy, …
    Observer        receives what this process does to jobs

`help(jobstate.JobStore)` shows every verb with its arguments and errors, `dir(jobstate)` every name. `jobstate.aio` has
the same names for asyncio, `jobstate.testing` is for tests. Names load when they are first used, so that importing
jobstate costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jobstate._version import __version__ as __version__

if TYPE_CHECKING:
    from jobstate.client.client import JobClient as JobClient
    from jobstate.client.connect import connect as connect
    from jobstate.client.errors import ServerUnreachable as ServerUnreachable
    from jobstate.client.errors import UnexpectedAnswer as UnexpectedAnswer
    from jobstate.domain.audit import AuditReport as AuditReport
    from jobstate.domain.audit import Finding as Finding
    from jobstate.domain.checkpoints import Checkpoint as Checkpoint
    from jobstate.domain.checkpoints import CheckpointState as CheckpointState
    from jobstate.domain.checkpoints import OperatorState as OperatorState
    from jobstate.domain.errors import CheckpointNotFound as CheckpointNotFound
    from jobstate.domain.errors import DuplicateJob as DuplicateJob
    from jobstate.domain.errors import EventNotFound as EventNotFound
    from jobstate.domain.errors import Fatal as Fatal
    from jobstate.domain.errors import GuardViolation as GuardViolation
    from jobstate.domain.errors import InvalidRequest as InvalidRequest
    from jobstate.domain.errors import JobNotFound as JobNotFound
    from jobstate.domain.errors import JobNotTerminal as JobNotTerminal
    from jobstate.domain.errors import JobStateError as JobStateError
    from jobstate.domain.errors import JobStopping as JobStopping
    from jobstate.domain.errors import LeaseLost as LeaseLost
    from jobstate.domain.errors import OperatorNotFound as OperatorNotFound
    from jobstate.domain.errors import RestartNotAllowed as RestartNotAllowed
    from jobstate.domain.errors import SchemaMismatch as SchemaMismatch
    from jobstate.domain.errors import StoreBusy as StoreBusy
    from jobstate.domain.errors import StoreClosed as StoreClosed
    from jobstate.domain.errors import StoreCorrupt as StoreCorrupt
    from jobstate.domain.errors import StoreError as StoreError
    from jobstate.domain.errors import StoreForked as StoreForked
    from jobstate.domain.errors import StoreFull as StoreFull
    from jobstate.domain.errors import StoreReadOnly as StoreReadOnly
    from jobstate.domain.errors import StoreUnavailable as StoreUnavailable
    from jobstate.domain.errors import TransitionNotAllowed as TransitionNotAllowed
    from jobstate.domain.errors import UnsupportedSQLite as UnsupportedSQLite
    from jobstate.domain.errors import WaitTimeout as WaitTimeout
    from jobstate.domain.errors import WorkerNotFound as WorkerNotFound
    from jobstate.domain.event import Event as Event
    from jobstate.domain.failure import Failure as Failure
    from jobstate.domain.failure import FailureKind as FailureKind
    from jobstate.domain.job import Job as Job
    from jobstate.domain.job_row import Lease as Lease
    from jobstate.domain.latency import Quantiles as Quantiles
    from jobstate.domain.lifecycle import LIFECYCLE as LIFECYCLE
    from jobstate.domain.lifecycle import LIVE as LIVE
    from jobstate.domain.lifecycle import TERMINAL as TERMINAL
    from jobstate.domain.lifecycle import State as State
    from jobstate.domain.lifecycle import Trigger as Trigger
    from jobstate.domain.logs import LogEntry as LogEntry
    from jobstate.domain.logs import LogLevel as LogLevel
    from jobstate.domain.metrics import Counters as Counters
    from jobstate.domain.metrics import JobMetrics as JobMetrics
    from jobstate.domain.metrics import MetricGroup as MetricGroup
    from jobstate.domain.metrics import OperatorKind as OperatorKind
    from jobstate.domain.metrics import OperatorMetrics as OperatorMetrics
    from jobstate.domain.metrics import SubtaskMetrics as SubtaskMetrics
    from jobstate.domain.output import OutputRow as OutputRow
    from jobstate.domain.progress import TableProgress as TableProgress
    from jobstate.domain.retry import RetryPolicy as RetryPolicy
    from jobstate.domain.state_machine import lifecycle_machine as lifecycle_machine
    from jobstate.domain.stop import Stop as Stop
    from jobstate.domain.stop import StopMode as StopMode
    from jobstate.domain.stop import StopOutcome as StopOutcome
    from jobstate.domain.stop_requests import StopResult as StopResult
    from jobstate.observers.observer import Claim as Claim
    from jobstate.observers.observer import Heartbeat as Heartbeat
    from jobstate.observers.observer import LeaseLoss as LeaseLoss
    from jobstate.observers.observer import Observer as Observer
    from jobstate.observers.observer import Sweep as Sweep
    from jobstate.observers.observer import Transition as Transition
    from jobstate.ports.queries import LogPage as LogPage
    from jobstate.ports.queries import OutputPage as OutputPage
    from jobstate.ports.queries import Page as Page
    from jobstate.ports.queries import Slice as Slice
    from jobstate.ports.repository import WorkerInfo as WorkerInfo
    from jobstate.store.job_store import JobStore as JobStore
    from jobstate.store.open import open as open
    from jobstate.system import Clock as Clock
    from jobstate.system import SystemClock as SystemClock
    from jobstate.worker.run import Run as Run
    from jobstate.worker.run_log import RunHandler as RunHandler
    from jobstate.worker.run_log import RunLog as RunLog
    from jobstate.worker.worker import Worker as Worker

_HOMES = {
    "jobstate.client.errors": "ServerUnreachable UnexpectedAnswer",
    "jobstate.client.client": "JobClient",
    "jobstate.client.connect": "connect",
    "jobstate.domain.audit": "AuditReport Finding",
    "jobstate.domain.checkpoints": "Checkpoint CheckpointState OperatorState",
    "jobstate.domain.errors": (
        "CheckpointNotFound DuplicateJob EventNotFound Fatal GuardViolation InvalidRequest JobNotFound JobNotTerminal "
        "JobStateError JobStopping LeaseLost OperatorNotFound RestartNotAllowed SchemaMismatch StoreBusy StoreClosed "
        "StoreCorrupt StoreError StoreForked StoreFull StoreReadOnly StoreUnavailable TransitionNotAllowed "
        "UnsupportedSQLite WaitTimeout WorkerNotFound"
    ),
    "jobstate.domain.failure": "Failure FailureKind",
    "jobstate.domain.event": "Event",
    "jobstate.domain.job": "Job",
    "jobstate.domain.job_row": "Lease",
    "jobstate.domain.stop": "Stop StopMode StopOutcome",
    "jobstate.domain.lifecycle": "LIFECYCLE LIVE TERMINAL State Trigger",
    "jobstate.domain.logs": "LogEntry LogLevel",
    "jobstate.domain.state_machine": "lifecycle_machine",
    "jobstate.domain.latency": "Quantiles",
    "jobstate.domain.metrics": "Counters JobMetrics MetricGroup OperatorKind OperatorMetrics SubtaskMetrics",
    "jobstate.domain.output": "OutputRow",
    "jobstate.domain.progress": "TableProgress",
    "jobstate.domain.retry": "RetryPolicy",
    "jobstate.domain.stop_requests": "StopResult",
    "jobstate.observers.observer": "Claim Heartbeat LeaseLoss Observer Sweep Transition",
    "jobstate.ports.queries": "LogPage OutputPage Page Slice",
    "jobstate.ports.repository": "WorkerInfo",
    "jobstate.store.open": "open",
    "jobstate.store.job_store": "JobStore",
    "jobstate.system": "Clock SystemClock",
    "jobstate.worker.run_log": "RunHandler RunLog",
    "jobstate.worker.run": "Run",
    "jobstate.worker.worker": "Worker",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}
"""Where each public name is; a test holds it against the imports. No `__all__`: `help` would print 10,000 lines."""


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
