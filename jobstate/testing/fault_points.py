"""A repository that reports each write before and after it happens, so that faults can strike there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, NamedTuple

from jobstate.domain.errors import JobStateError
from jobstate.domain.job_row import JobRow, Lease
from jobstate.domain.lifecycle import Trigger
from jobstate.domain.transitions import Decision
from jobstate.ports.repository import Repository

_PARTS: Final = ("jobs", "leases", "reports", "telemetry", "history", "workers")
_BY_NAME: Final = {
    **{("jobs", verb): verb for verb in ("submit", "restart", "delete", "prune")},
    ("leases", "claim"): Trigger.CLAIM.value,
    ("leases", "complete"): Trigger.COMPLETE.value,
    ("leases", "renew"): "heartbeat",
    ("reports", "record"): "flush",
    **{
        ("reports", verb): verb for verb in ("checkpoint", "begin_checkpoint", "complete_checkpoint", "fail_checkpoint")
    },
}
"""Calls that are always the same point. The points of a `change` are the triggers that it pulls."""
_CHANGES: Final = {("jobs", "change"), ("leases", "change")}

POINTS: Final = (*dict.fromkeys((*_BY_NAME.values(), *(trigger.value for trigger in Trigger))),)
"""Where faults can be put: the triggers of the lifecycle, and the other writes of submitters, workers and operators."""


class Moment(NamedTuple):
    """The moment before or after a write.

    `points`: what the write does; a stop from StopRequested does two things. `job_ids`: the jobs that it changes, where
    that is known. `under_lease`: the write names a lease.
    """

    when: Literal["before", "after"]
    points: tuple[str, ...]
    job_ids: tuple[int, ...]
    under_lease: bool

    def __str__(self) -> str:
        return f"{self.when} {' and '.join(self.points)}"


class WatchedRepository:
    """`jobstate.ports.repository.Repository` over another one, which does all the work.

    Args:
        repository: The repository below.
        on_write: Called before and after every write; what it raises prevents the write, or hides the answer from the
            caller.
        check_alive: Called before every call; raises when the calling process has crashed.
    """

    def __init__(
        self, repository: Repository, on_write: Callable[[Moment], None], check_alive: Callable[[], None]
    ) -> None:
        self._repository = repository
        self._check_alive = check_alive
        self._on_write = on_write

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._repository, name)
        return _Part(self._repository, name, self._on_write, self._check_alive) if name in _PARTS else found

    @contextmanager
    def transaction(self, *, relaxed: bool = False) -> Iterator[Any]:
        """The transaction of the repository below; a process that crashes inside commits nothing."""
        self._check_alive()
        with self._repository.transaction(relaxed=relaxed) as connection:
            yield connection
            self._check_alive()


class _Part:
    """One part of the repository, which reports its writes."""

    def __init__(
        self, repository: Repository, name: str, on_write: Callable[[Moment], None], check_alive: Callable[[], None]
    ) -> None:
        self._repository = repository
        self._name = name
        self._on_write = on_write
        self._check_alive = check_alive

    def __getattr__(self, verb: str) -> Any:
        method = getattr(getattr(self._repository, self._name), verb)

        def call(*given: Any, **named: Any) -> Any:
            self._check_alive()
            before = self._moment_before(verb, given)
            if before is not None:
                self._on_write(before)
                self._check_alive()
            answer = method(*given, **named)
            after = self._moment_after(verb, given, answer)
            if after is not None:
                self._on_write(after)
            return answer

        return call

    def _moment_before(self, verb: str, given: tuple[Any, ...]) -> Moment | None:
        """The moment before this call; None if it writes nothing or will be refused."""
        point = _BY_NAME.get((self._name, verb))
        points: tuple[str, ...] = () if point is None else (point,)
        if (self._name, verb) in _CHANGES:
            points = _triggers(self._expected(*given[:2]))
        return Moment("before", points, _jobs_named(given), self._name != "jobs") if points else None

    def _expected(self, subject: Lease | int, decide: Callable[[JobRow], Decision]) -> Decision | None:
        """The decision that the change will make: decisions are pure, so this one can be made ahead of time."""
        job = self._repository.jobs.find(subject if isinstance(subject, int) else subject.job_id)
        try:
            return None if job is None else decide(job)
        except JobStateError:
            return None

    def _moment_after(self, verb: str, given: tuple[Any, ...], answer: Any) -> Moment | None:
        """The moment after this call; None if it wrote nothing."""
        point = _BY_NAME.get((self._name, verb))
        under_lease = self._name != "jobs"
        if isinstance(answer, Decision):
            points = _triggers(answer)
            return Moment("after", points, (answer.job.id,), under_lease) if points else None
        if point is None or (point == Trigger.COMPLETE and answer) or (point == Trigger.CLAIM and not answer):
            return None
        return Moment("after", (point,), _jobs_named(given) or _jobs_in(answer), under_lease)


def _triggers(decision: Decision | None) -> tuple[str, ...]:
    return () if decision is None else tuple(step.trigger for step in decision.steps if step.trigger in POINTS)


def _jobs_named(given: tuple[Any, ...]) -> tuple[int, ...]:
    """The jobs that a call names by their ids or leases."""
    subject = given[0] if given else None
    if isinstance(subject, Lease):
        return (subject.job_id,)
    if isinstance(subject, int):
        return (subject,)
    return tuple(one.job_id for one in subject if isinstance(one, Lease)) if isinstance(subject, list | tuple) else ()


def _jobs_in(answer: Any) -> tuple[int, ...]:
    """The jobs that an answer holds."""
    if isinstance(answer, JobRow):
        return (answer.id,)
    if not isinstance(answer, list):
        return ()
    return tuple(one.id if isinstance(one, JobRow) else one.job.id for one in answer)
