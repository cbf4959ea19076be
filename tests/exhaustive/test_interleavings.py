"""No interleaving breaks a promise, and every guard is needed: without it, some interleaving does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import pytest

from jobstate.domain import leases, operator_actions, rescale_requests, stop_requests
from jobstate.domain.errors import LeaseLost
from jobstate.domain.event import Actor
from jobstate.domain.failure import Failure, FailureKind
from jobstate.domain.job_row import JobRow
from jobstate.domain.lifecycle import CLAIMABLE, EDGES, LEASED, STOP_PENDING, State, Trigger
from jobstate.domain.stop import StopMode
from jobstate.domain.transitions import Decision, decided, move, note
from tests.exhaustive.explorer import Explorer, Violation
from tests.values import replace


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(("A", "B"), id="two nodes"),
        pytest.param(("A", "A"), id="two processes of one node", marks=pytest.mark.slow),
    ],
)
def test_no_interleaving_breaks_a_promise(names: tuple[str, str]) -> None:
    met = Explorer(names).run()
    print(met)
    assert met.worlds > 5_000
    assert met.moves > 100_000
    assert met.jobs > 1_000


def test_the_exploration_walks_every_edge_of_the_lifecycle() -> None:
    met = Explorer(max_attempts=(2,)).run()
    assert met.edges == {(source, trigger.value, target) for source, trigger, target in EDGES}


def test_a_counterexample_tells_the_moves_that_lead_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "check_lease", _ignores_the_token)
    with pytest.raises(Violation, match="fenced") as found:
        Explorer(max_attempts=(2,)).run()
    assert found.value.path[0] == State.SCHEDULED
    assert "A claim" in found.value.path
    assert "B claim" in found.value.path


@dataclass(frozen=True)
class Mutant:
    """Decisions with one guard taken out, and the promise that then breaks."""

    guard: str
    breaks: str
    replaced: tuple[tuple[ModuleType, str, Callable[..., Any]], ...]


_claimable, _settle, _fail, _release, _halt, _resume = (
    leases.claimable,
    leases.settle,
    leases.fail,
    leases.release,
    leases.halt,
    rescale_requests.resume,
)


def _ignores_the_token(job: JobRow, token: int) -> None:
    if job.worker_id is None or job.state not in LEASED:
        raise LeaseLost(job.id, token)


def _unfenced(decision: Decision, token: int) -> Decision:
    """The decision with the token as it was before."""
    steps = tuple(replace(step, lease_token=token) for step in decision.steps)
    return Decision(replace(decision.job, lease_token=token), steps)


def _release_that_keeps_the_token(job: JobRow, token: int, available: int, now: int, by: Actor) -> Decision:
    return _unfenced(_release(job, token, available, now, by), token)


def _settle_that_keeps_the_token(
    job: JobRow, now: int, by: Actor, chance: float, *, unheld_too: bool = True
) -> Decision:
    return _unfenced(_settle(job, now, by, chance, unheld_too=unheld_too), job.lease_token)


def _halt_that_keeps_the_token(job: JobRow, *others: Any, **changes: Any) -> JobRow:
    return replace(_halt(job, *others, **changes), lease_token=job.lease_token)


def _settle_that_leaves_unheld_stops(
    job: JobRow, now: int, by: Actor, chance: float, *, unheld_too: bool = True
) -> Decision:
    if job.state in STOP_PENDING and job.worker_id is None:
        return Decision(job)
    return _settle(job, now, by, chance, unheld_too=unheld_too)


def _settle_that_leaves_stopping_jobs(
    job: JobRow, now: int, by: Actor, chance: float, *, unheld_too: bool = True
) -> Decision:
    if job.state is State.STOPPING:
        return Decision(job)
    return _settle(job, now, by, chance, unheld_too=unheld_too)


def _settle_that_waits_for_every_holder(
    job: JobRow, now: int, by: Actor, chance: float, *, unheld_too: bool = True
) -> Decision:
    return Decision(job) if job.worker_id is not None else _settle(job, now, by, chance, unheld_too=unheld_too)


def _renew_past_the_deadline(job: JobRow, token: int, expires: int, now: int) -> Decision:
    leases.check_lease(job, token)
    return Decision(replace(job, lease_expires_us=expires))


def _renew_that_only_refuses_past_the_deadline(job: JobRow, token: int, expires: int, now: int) -> Decision:
    leases.check_lease(job, token)
    return Decision(job) if leases.deadline_passed(job, now) else Decision(replace(job, lease_expires_us=expires))


def _fail_that_retries_in_spite_of_a_stop(
    job: JobRow, token: int, failure: Failure, chance: float, now: int, by: Actor
) -> Decision:
    if job.state not in STOP_PENDING or failure.kind is FailureKind.FATAL:
        return _fail(job, token, failure, chance, now, by)
    leases.check_lease(job, token)
    return decided(leases._charged(job, failure, chance, now, by, lost=False))


def _release_in_spite_of_a_stop(job: JobRow, token: int, available: int, now: int, by: Actor) -> Decision:
    leases.check_lease(job, token)
    return decided(move(job, Trigger.RELEASE, now, by, available_us=available))


def _release_that_brings_a_stopping_job_back(job: JobRow, token: int, available: int, now: int, by: Actor) -> Decision:
    released = _release(replace(job, state=State.RUNNING), token, available, now, by).job
    return decided(
        replace(released, stop_mode=None, stop_deadline_us=None, stop_reason=None),
    )


def _complete_once(job: JobRow, token: int, now: int, by: Actor) -> Decision:
    leases.check_lease(job, token)
    return decided(move(job, Trigger.COMPLETE, now, by, failure_json=None))


def _finish_stop_once(job: JobRow, token: int, now: int, by: Actor) -> Decision:
    leases.check_lease(job, token)
    return leases.finish_pending_stop(job, leases.worker_outcome(job), now, by)


def _operator_fail_that_fences_nobody(job: JobRow, message: str, now: int, by: Actor) -> Decision:
    failure = Failure(message, FailureKind.FATAL, "operator")
    return decided(leases._failed(job, failure, now, by, fenced=False))


def _charge_without_end(job: JobRow, failure: Failure, chance: float, now: int, by: Actor, *, lost: bool) -> JobRow:
    return move(job, Trigger.RECOVER, now, by, failures=job.failures + 1, failure_json=failure.to_json())


def _charge_nothing(job: JobRow, failure: Failure, chance: float, now: int, by: Actor, *, lost: bool) -> JobRow:
    return move(job, Trigger.RECOVER, now, by, failure_json=failure.to_json())


def _claimable_once_the_lease_ran_out(job: JobRow, node_id: str, now: int) -> bool:
    return _claimable(job, node_id, now) or leases.lease_lost(job, now)


def _claimable_under_its_own_name(job: JobRow, node_id: str, now: int) -> bool:
    return (job.state in CLAIMABLE or job.worker_id == node_id) and job.available_us <= now


def _stop_of_a_job_that_ended(job: JobRow, mode: StopMode, deadline: int, now: int, by: Actor) -> Decision:
    return decided(leases.halt(job, leases.unheld_outcome(job), now, by, stop_mode=mode))


def _second_stop_with_its_own_reason(job: JobRow, mode: StopMode, deadline: int, now: int, by: Actor) -> Decision:
    return decided(note(job, Trigger.REQUEST_STOP, now, by, stop_reason=by.reason))


def _stop_that_waits_in_the_queue(job: JobRow, mode: StopMode, deadline: int, now: int, by: Actor) -> Decision:
    return Decision(job)


def _answer_that_names_no_number(job: JobRow, token: int, parallelism: int, now: int, by: Actor) -> Decision:
    return _resume(job, token, job.rescale_to or parallelism, now, by)


def _answer_that_drops_a_later_wish(job: JobRow, token: int, parallelism: int, now: int, by: Actor) -> Decision:
    asked = job if job.rescale_to is None else replace(job, rescale_to=parallelism)
    return _resume(asked, token, parallelism, now, by)


def _answer_that_waits_for_the_wish(job: JobRow, token: int, parallelism: int, now: int, by: Actor) -> Decision:
    leases.check_holder(job, token, Trigger.RESUME)
    return _resume(job, token, parallelism, now, by) if job.rescale_to == parallelism else Decision(job)


MUTANTS: Final = (
    Mutant(
        "a verb compares the token",
        "a fenced worker's .* was not answered with LeaseLost",
        ((leases, "check_lease", _ignores_the_token),),
    ),
    Mutant(
        "a release raises the token",
        "a fenced worker's .* was not answered with LeaseLost",
        ((leases, "release", _release_that_keeps_the_token),),
    ),
    Mutant(
        "settling raises the token",
        "a fenced worker's .* was not answered with LeaseLost",
        ((leases, "settle", _settle_that_keeps_the_token), (stop_requests, "settle", _settle_that_keeps_the_token)),
    ),
    Mutant(
        "a halt raises the token",
        "a fenced worker's .* was not answered with LeaseLost",
        ((leases, "halt", _halt_that_keeps_the_token), (stop_requests, "halt", _halt_that_keeps_the_token)),
    ),
    Mutant(
        "an operator's fail raises the token",
        "a fenced worker's .* was not answered with LeaseLost",
        ((leases, "fail_by_operator", _operator_fail_that_fences_nobody),),
    ),
    Mutant(
        "a heartbeat does not outlast the deadline of a stop",
        "a hung worker's heartbeats keep a stopping job alive",
        ((leases, "renew", _renew_past_the_deadline),),
    ),
    Mutant(
        "a heartbeat settles what is overdue",
        "a hung worker's heartbeats keep a stopping job alive",
        ((leases, "renew", _renew_that_only_refuses_past_the_deadline),),
    ),
    Mutant(
        "a sweep ends stops that nobody holds",
        "with every worker dead, clock and sweeper alone do not bring the job on",
        (
            (leases, "settle", _settle_that_leaves_unheld_stops),
            (stop_requests, "settle", _settle_that_leaves_unheld_stops),
        ),
    ),
    Mutant(
        "a sweep ends stops whose worker agreed and died",
        "with every worker dead, clock and sweeper alone do not bring the job on",
        (
            (leases, "settle", _settle_that_leaves_stopping_jobs),
            (stop_requests, "settle", _settle_that_leaves_stopping_jobs),
        ),
    ),
    Mutant(
        "a sweep takes lost leases away",
        "with every worker dead, clock and sweeper alone do not bring the job on",
        (
            (leases, "settle", _settle_that_waits_for_every_holder),
            (stop_requests, "settle", _settle_that_waits_for_every_holder),
        ),
    ),
    Mutant(
        "a retryable failure ends a pending stop",
        "the holder's fail was refused in StopRequested",
        ((leases, "fail", _fail_that_retries_in_spite_of_a_stop),),
    ),
    Mutant(
        "a release ends a pending stop",
        "the holder's release was refused in StopRequested",
        ((leases, "release", _release_in_spite_of_a_stop),),
    ),
    Mutant(
        "a job asked to stop does not go back to the queue",
        "no edge StopRequested -release-> Scheduled",
        ((leases, "release", _release_that_brings_a_stopping_job_back),),
    ),
    Mutant(
        "a repeated complete succeeds", "a repeated complete did not succeed", ((leases, "complete", _complete_once),)
    ),
    Mutant(
        "a repeated finish_stop succeeds",
        "a repeated finish_stop did not succeed",
        ((leases, "finish_stop", _finish_stop_once),),
    ),
    Mutant(
        "attempts are bounded",
        "more runs were charged than max_attempts allows",
        ((leases, "_charged", _charge_without_end),),
    ),
    Mutant(
        "every lost run is charged",
        "a job whose worker dies at every claim does not end",
        ((leases, "_charged", _charge_nothing),),
    ),
    Mutant(
        "only a waiting job is claimed",
        "a job that a worker holds was claimed by another",
        ((leases, "claimable", _claimable_once_the_lease_ran_out),),
    ),
    Mutant(
        "a name is no lease",
        "a claimable job could not be claimed",
        ((leases, "claimable", _claimable_under_its_own_name),),
    ),
    Mutant(
        "a stop of a job that ended changes nothing",
        "operator stop .* was refused in",
        ((stop_requests, "_decide", _stop_of_a_job_that_ended),),
    ),
    Mutant(
        "the first reason of a stop is kept",
        "the first reason of a stop was overwritten",
        ((stop_requests, "_again", _second_stop_with_its_own_reason),),
    ),
    Mutant(
        "an answer names the number of tasks",
        "a request for tasks was lost|another number of tasks than its worker runs with",
        ((rescale_requests, "resume", _answer_that_names_no_number),),
    ),
    Mutant(
        "a later request outlives the answer to an earlier one",
        "a request for tasks was lost",
        ((rescale_requests, "resume", _answer_that_drops_a_later_wish),),
    ),
    Mutant(
        "an answer to an earlier request counts",
        "did not tell the job with how many tasks it runs",
        ((rescale_requests, "resume", _answer_that_waits_for_the_wish),),
    ),
    Mutant("a stop is not lost", "a stop was lost", ((stop_requests, "_decide", _stop_that_waits_in_the_queue),)),
    Mutant(
        "only ended jobs are deleted",
        "a live job was deleted",
        ((operator_actions, "check_deletable", lambda job: None),),
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_without_this_guard_some_interleaving_breaks_a_promise(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, weakened in mutant.replaced:
        monkeypatch.setattr(module, name, weakened)
    with pytest.raises(Violation, match=mutant.breaks) as found:
        Explorer(max_attempts=(2,)).run()
    assert found.value.path
