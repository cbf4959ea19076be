"""What the verbs of `Operations` ask for, as values: a query reads, a command changes something.

Their fields are validated and in the form that is stored: ids as numbers, durations and instants in microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jobstate.domain.checkpoints import Checkpoint
from jobstate.domain.event import Actor, Event
from jobstate.domain.job import Job
from jobstate.domain.lifecycle import State
from jobstate.domain.logs import LogEntry, LogFilter
from jobstate.domain.metrics import JobMetrics
from jobstate.domain.progress import TableProgress
from jobstate.domain.restart_requests import RestartRequest
from jobstate.domain.stop import StopMode
from jobstate.domain.stop_requests import StopResult
from jobstate.domain.submission import NewJob
from jobstate.ports.queries import Filter, LogPage, LogRange, OutputPage, Page, Slice
from jobstate.ports.repository import WorkerInfo

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Side = TypeVar("Side")
R = TypeVar("R", bound="Request[Any]")


class Request(Generic[T_co]):
    """A query or a command; `T_co` is what it returns."""

    __slots__ = ()


class Performers(Generic[Side]):
    """The function that performs each request on one side: on the context of a store, or on a client's connection."""

    def __init__(self) -> None:
        self.functions: dict[type[Request[Any]], Callable[[Side, Any], Any]] = {}

    def performs(self, kind: type[Request[T]]) -> Callable[[Callable[[Side, R], T]], Callable[[Side, R], T]]:
        """Register the decorated function for requests of this type; type checkers compare what both return."""

        def register(function: Callable[[Side, R], T]) -> Callable[[Side, R], T]:
            self.functions[kind] = function
            return function

        return register


# Commands.


@dataclass(slots=True)
class SubmitCommand(Request[Job]):
    """Add a job. Not frozen, as the others are: that would set each field of every submission by a call."""

    job: NewJob
    by: Actor


@dataclass(frozen=True, slots=True)
class ScheduleCommand(Request[Job]):
    """Let a held job into the queue."""

    job_id: int
    by: Actor


@dataclass(frozen=True, slots=True)
class StopCommand(Request[StopResult]):
    """Ask a job to stop; without a timeout, within that of the store."""

    job_id: int
    mode: StopMode
    timeout_us: int | None
    by: Actor


@dataclass(frozen=True, slots=True)
class RescaleCommand(Request[Job]):
    """Ask for another number of tasks."""

    job_id: int
    parallelism: int
    by: Actor


@dataclass(frozen=True, slots=True)
class FailCommand(Request[Job]):
    """Fail a job for good."""

    job_id: int
    message: str
    by: Actor


@dataclass(frozen=True, slots=True)
class RestartCommand(Request[Job]):
    """Continue an ended job as a new one."""

    job_id: int
    restart: RestartRequest
    by: Actor


@dataclass(frozen=True, slots=True)
class DeleteCommand(Request[bool]):
    """Remove an ended job."""

    job_id: int
    by: Actor


@dataclass(frozen=True, slots=True)
class PruneCommand(Request[int]):
    """Remove the ended jobs in these states; without an age, of any."""

    states: frozenset[State]
    older_than_us: int | None
    dry_run: bool
    progress: Callable[[int, int], None] | None
    by: Actor


# Queries.


@dataclass(frozen=True, slots=True)
class JobQuery(Request[Job]):
    """One job."""

    job_id: int


@dataclass(frozen=True, slots=True)
class ListQuery(Request[Page]):
    """A page of jobs, newest first."""

    wanted: Filter
    limit: int
    after: int | None


@dataclass(frozen=True, slots=True)
class EventsQuery(Request[Sequence[Event]]):
    """The history of a job."""

    job_id: int


@dataclass(frozen=True, slots=True)
class EventQuery(Request[Event]):
    """One entry of the history of a job."""

    job_id: int
    event_id: int


@dataclass(frozen=True, slots=True)
class WorkersQuery(Request[Sequence[WorkerInfo]]):
    """The workers by name."""


@dataclass(frozen=True, slots=True)
class ProgressQuery(Request[dict[str, TableProgress]]):
    """The progress of a job by table."""

    job_id: int


@dataclass(frozen=True, slots=True)
class CheckpointsQuery(Request[Slice[Checkpoint]]):
    """Part of the checkpoints of a job, newest epoch first; None: completed or not."""

    job_id: int
    limit: int
    offset: int
    completed: bool | None


@dataclass(frozen=True, slots=True)
class CheckpointQuery(Request[Checkpoint]):
    """One checkpoint of a job."""

    job_id: int
    number: int


@dataclass(frozen=True, slots=True)
class MetricsQuery(Request[JobMetrics]):
    """What the operators of a job have counted."""

    job_id: int


@dataclass(frozen=True, slots=True)
class LogsQuery(Request[LogPage]):
    """A page of the log of a job."""

    job_id: int
    wanted: LogFilter
    place: LogRange


@dataclass(frozen=True, slots=True)
class OutputQuery(Request[OutputPage]):
    """A page of the output of a job."""

    job_id: int
    operator_id: str | None
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class WaitQuery(Request[Job]):
    """A job, once it is in one of these states; without a timeout, however long it takes."""

    job_id: int
    states: frozenset[State]
    timeout: float | None
    by: Actor


@dataclass(frozen=True, slots=True)
class WatchQuery(Request[Iterator[Event]]):
    """Every event after this one, then each new one; None: only new ones."""

    after: int | None
    job_id: int | None
    timeout: float | None


@dataclass(frozen=True, slots=True)
class FollowLogsQuery(Request[Iterator[LogEntry]]):
    """Every log entry of a job after this number, then each new one."""

    job_id: int
    wanted: LogFilter
    after: int
    by: Actor
