"""Every error that jobstate raises: one tree, fields instead of parsed text, and whether repeating the call helps.

The class builds the message from its fields, which are also the arguments it pickles with.
"""

from __future__ import annotations

from collections.abc import Iterable

from jobstate.domain.lifecycle import TERMINAL, State


class JobStateError(Exception):
    """The root of all errors. `retryable`: whether the same call may succeed later."""

    retryable: bool = False


class InvalidRequest(JobStateError, ValueError):
    """An argument was refused before anything was written. `field` names the argument, `problem` what to do."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


class TransitionNotAllowed(JobStateError):
    """The lifecycle has no edge for this trigger in the state of the job. Nothing was changed."""

    def __init__(self, job_id: int, state: State, trigger: str, allowed: Iterable[str]) -> None:
        self.job_id = job_id
        self.state = state
        self.trigger = trigger
        self.allowed = tuple(allowed)
        super().__init__(job_id, state, trigger, self.allowed)

    def __str__(self) -> str:
        choice = f"allowed there: {', '.join(self.allowed)}" if self.allowed else "that state is terminal"
        return f"job {self.job_id} is {self.state}: cannot {self.trigger}; {choice}"


class JobNotTerminal(JobStateError):
    """Only a job that has ended may be deleted. Nothing was changed."""

    def __init__(self, job_id: int, state: State) -> None:
        super().__init__(job_id, state)
        self.job_id = job_id
        self.state = state

    def __str__(self) -> str:
        if self.state in (State.STOP_REQUESTED, State.STOPPING):
            way = "its stop is under way: wait for it, sweep, or stop it with mode force"
        else:
            way = "stop it first"
        return f"job {self.job_id} is {self.state} and cannot be deleted; {way}"


class RestartNotAllowed(JobStateError):
    """The job cannot be restarted, or not from that checkpoint; `why` is the reason. Nothing was changed."""

    def __init__(self, job_id: int, state: State, why: str) -> None:
        super().__init__(job_id, state, why)
        self.job_id = job_id
        self.state = state
        self.why = why

    def __str__(self) -> str:
        return f"job {self.job_id} is {self.state} and cannot be restarted: {self.why}"


class CheckpointNotFound(JobStateError, LookupError):
    """Neither the job nor those that it restarts have this checkpoint (any more)."""

    def __init__(self, job_id: int, checkpoint_id: str) -> None:
        super().__init__(job_id, checkpoint_id)
        self.job_id = job_id
        self.checkpoint_id = checkpoint_id

    def __str__(self) -> str:
        return (
            f"there is no checkpoint {self.checkpoint_id} of job {self.job_id} or of those that it restarts; "
            "list its checkpoints to see which there are"
        )


class OperatorNotFound(JobStateError, LookupError):
    """No operator of this name has counted anything for the job."""

    def __init__(self, job_id: int, operator_id: str) -> None:
        super().__init__(job_id, operator_id)
        self.job_id = job_id
        self.operator_id = operator_id

    def __str__(self) -> str:
        return (
            f"job {self.job_id} has no metrics of an operator {self.operator_id!r}; "
            "look at those of the job to see which there are"
        )


class LeaseLost(JobStateError):
    """The caller no longer holds the lease it names: it ran out, or someone took it. Nothing was written."""

    def __init__(self, job_id: int, token: int) -> None:
        super().__init__(job_id, token)
        self.job_id = job_id
        self.token = token

    def __str__(self) -> str:
        return (
            f"the lease on job {self.job_id} with token {self.token} is gone; drop this run, its job goes on elsewhere"
        )


class JobNotFound(JobStateError, LookupError):
    """No job has this id (any more)."""

    def __init__(self, job_id: int) -> None:
        super().__init__(job_id)
        self.job_id = job_id

    def __str__(self) -> str:
        return f"there is no job {self.job_id} (any more); list the jobs to see which there are"


class EventNotFound(JobStateError, LookupError):
    """The history of this job has no entry with this id."""

    def __init__(self, job_id: int, event_id: int) -> None:
        super().__init__(job_id, event_id)
        self.job_id = job_id
        self.event_id = event_id

    def __str__(self) -> str:
        return f"the history of job {self.job_id} has no entry {self.event_id}; list its events to see which there are"


class WorkerNotFound(JobStateError, LookupError):
    """No worker of this name is registered."""

    def __init__(self, node_id: str) -> None:
        super().__init__(node_id)
        self.node_id = node_id

    def __str__(self) -> str:
        return f"there is no worker {self.node_id!r}; list the workers to see which there are"


class DuplicateJob(JobStateError):
    """A live job holds the key and is another job; `why` is how it differs."""

    def __init__(self, key: str, job_id: int, why: str) -> None:
        super().__init__(key, job_id, why)
        self.key = key
        self.job_id = job_id
        self.why = why

    def __str__(self) -> str:
        return f"key {self.key!r} is held by live job {self.job_id}: {self.why}; wait for it to end or use another key"


class WaitTimeout(JobStateError, TimeoutError):
    """The job did not reach the wanted state in time. It was not changed."""

    @property
    def retryable(self) -> bool:  # type: ignore[override]
        """Whether waiting longer may help: not once the job has ended."""
        return self.state not in TERMINAL

    def __init__(self, job_id: int, state: State, timeout: float) -> None:
        super().__init__(job_id, state, timeout)
        self.job_id = job_id
        self.state = state
        self.timeout = timeout

    def __str__(self) -> str:
        if self.state in TERMINAL:
            return f"job {self.job_id} has ended as {self.state}; it will not get there any more"
        return f"job {self.job_id} is still {self.state} after {round(self.timeout, 1):g} s; wait longer, or inspect it"


class StoreError(JobStateError):
    """The store could not do the work. `path` names it, `problem` what was wrong and what to do next."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class StoreBusy(StoreError):
    """Other writers held the store past the timeout. Nothing was changed; repeat the call."""

    retryable = True


class StoreFull(StoreError):
    """The disk, a quota or a size limit is reached. Nothing was changed."""

    retryable = True


class StoreCorrupt(StoreError):
    """The file is not a database, or is damaged."""


class StoreReadOnly(StoreError):
    """The store may be read but not written."""


class StoreUnavailable(StoreError):
    """The file or its folder is missing, may not be opened, or the device failed."""


class StoreClosed(StoreError):
    """The store was closed; open it again."""


class StoreForked(StoreError):
    """The store was opened before a fork; a child process opens its own."""


class SchemaMismatch(StoreError):
    """The schema in the file is not one that this version of jobstate can use."""


class UnsupportedSQLite(StoreError):
    """The SQLite library is too old, or a second copy of it is in use on the same file."""


class GuardViolation(StoreError):
    """A guard of the database refused a statement: a defect in jobstate or a hostile writer. Nothing was changed."""


class Fatal(Exception):
    """Raise it in a handler to fail the job for good, without another attempt."""


class JobStopping(BaseException):
    """The run was asked to stop, or its worker is shutting down; let it pass through the handler.

    It derives from BaseException, so that an `except Exception` in a handler cannot eat it.
    """

    def __init__(self, job_id: int, mode: str, reason: str | None = None) -> None:
        super().__init__(job_id, mode, reason)
        self.job_id = job_id
        self.mode = mode
        self.reason = reason

    def __str__(self) -> str:
        return f"job {self.job_id} is to stop ({self.mode})" + (f": {self.reason}" if self.reason else "")
