"""A repository whose writes are announced, before and after: where faults come in, over the real store."""

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
"""Calls that are always the same point. What a `change` comes to is named by the triggers that it pulls."""
_CHANGES: Final = {("jobs", "change"), ("leases", "change")}

POINTS: Final = (*dict.fromkeys((*_BY_NAME.values(), *(trigger.value for trigger in Trigger))),)
"""Where faults can be put: the triggers of the lifecycle, and the other writes of submitters, workers and operators."""


class Moment(NamedTuple):
    """A write is about to be made, or was made just now.

    `points`: what it comes to, for one that stops from StopRequested two of them. `job_ids`: whose jobs it is about,
    where that is known. `by_holder`: it names a lease.
    """

    when: Literal["before", "after"]
    points: tuple[str, ...]
    job_ids: tuple[int, ...]
    by_holder: bool

    def __str__(self) -> str:
        return f"{self.when} {' and '.join(self.points)}"


class Watched:
    """`jobstate.ports.repository.Repository` over another one, which does all the work.

    Args:
        repository: The one below.
        heard: Called at every moment; what it raises keeps the write from being made, or its answer from its caller.
        alive: Called before anything at all; it raises when the process that calls is to be taken for dead.
    """

    def __init__(self, repository: Repository, heard: Callable[[Moment], None], alive: Callable[[], None]) -> None:
        self._repository = repository
        self._alive = alive
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._repository, name)
        return _Part(self._repository, name, self._heard, self._alive) if name in _PARTS else found

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """As below; whoever died within commits nothing."""
        self._alive()
        with self._repository.transaction() as connection:
            yield connection
            self._alive()


class _Part:
    """One part of the repository, with each call of it watched."""

    def __init__(
        self, repository: Repository, name: str, heard: Callable[[Moment], None], alive: Callable[[], None]
    ) -> None:
        self._repository = repository
        self._name = name
        self._heard = heard
        self._alive = alive

    def __getattr__(self, verb: str) -> Any:
        method = getattr(getattr(self._repository, self._name), verb)

        def call(*given: Any, **named: Any) -> Any:
            self._alive()
            before = self._ahead(verb, given)
            if before is not None:
                self._heard(before)
                self._alive()
            answer = method(*given, **named)
            after = self._behind(verb, given, answer)
            if after is not None:
                self._heard(after)
            return answer

        return call

    def _ahead(self, verb: str, given: tuple[Any, ...]) -> Moment | None:
        """The moment before this call; None where it is no write, or will be refused."""
        point = _BY_NAME.get((self._name, verb))
        points: tuple[str, ...] = () if point is None else (point,)
        if (self._name, verb) in _CHANGES:
            points = _triggers(self._foreseen(*given[:2]))
        return Moment("before", points, _jobs_named(given), self._name != "jobs") if points else None

    def _foreseen(self, subject: Lease | int, decide: Callable[[JobRow], Decision]) -> Decision | None:
        """What the change will come to: decisions only look at the job, so one may be made ahead of time."""
        job = self._repository.jobs.find(subject if isinstance(subject, int) else subject.job_id)
        try:
            return None if job is None else decide(job)
        except JobStateError:
            return None

    def _behind(self, verb: str, given: tuple[Any, ...], answer: Any) -> Moment | None:
        """The moment after this call; None where it is no write, or wrote nothing."""
        point = _BY_NAME.get((self._name, verb))
        by_holder = self._name != "jobs"
        if isinstance(answer, Decision):
            points = _triggers(answer)
            return Moment("after", points, (answer.job.id,), by_holder) if points else None
        if point is None or (point == Trigger.COMPLETE and answer) or (point == Trigger.CLAIM and not answer):
            return None
        return Moment("after", (point,), _jobs_named(given) or _jobs_in(answer), by_holder)


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
