"""The statements written for speed do exactly what the decisions of the domain do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobstate import Event, Job, JobStore, LeaseLost, Run
from jobstate.domain import leases
from jobstate.domain.event import Actor
from jobstate.domain.job import row_of
from jobstate.domain.job_row import JobRow
from jobstate.domain.transitions import Decision
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import LEASE, PATIENT, claimed, running, submitted

Bring = Callable[[JobStore, ManualClock], Job]
BringRun = Callable[[JobStore, ManualClock], Run]


def _fresh(store: JobStore, clock: ManualClock) -> Job:
    return submitted(store, reason="nightly load")


def _scheduled_later(store: JobStore, clock: ManualClock) -> Job:
    return store.schedule(submitted(store, hold=True, priority=4, node_id="worker-01"), reason="go")


def _handed_back(store: JobStore, clock: ManualClock) -> Job:
    run = running(store)
    clock.advance(1)
    run.release()
    return run.job


def _due_for_a_retry(store: JobStore, clock: ManualClock) -> Job:
    run = running(store)
    run.fail(OSError("disk gone"))
    clock.advance(60)
    return run.job


def _lost_by_its_worker(store: JobStore, clock: ManualClock) -> Job:
    run = running(store)
    clock.advance(LEASE)
    store.sweep()
    clock.advance(60)
    return run.job


def _with_a_checkpoint(store: JobStore, clock: ManualClock) -> Job:
    run = running(store)
    run.add_range("blocks", 0, 9, files=1, size_bytes=10)
    run.checkpoint(state=10)
    run.release()
    return run.job


def assert_written(store: JobStore, before: JobRow, decision: Decision) -> None:
    """The row is the last version of the decision, the history its steps, and everything else untouched."""
    assert row_of(store.get(before)) == decision.job
    events = [event for event in store.events(before.id) if event.seq > before.seq]
    assert [_recorded(event) for event in events] == [
        (
            step.seq,
            step.updated_us,
            step.state,
            step.trigger,
            step.actor,
            step.reason,
            step.attempt,
            step.lease_token,
            step.detail_json,
        )
        for step in decision.steps
    ]


def _recorded(event: Event) -> tuple[object, ...]:
    return (
        event.seq,
        event.at_us,
        event.to_state,
        event.trigger,
        event.actor,
        event.reason,
        event.attempt,
        event.token,
        event.detail_json,
    )


@pytest.mark.parametrize(
    "bring",
    [_fresh, _scheduled_later, _handed_back, _due_for_a_retry, _lost_by_its_worker, _with_a_checkpoint],
)
def test_a_claim_writes_what_the_decision_says(store: JobStore, clock: ManualClock, bring: Bring) -> None:
    job = bring(store, clock)
    clock.advance(0.25)
    before = row_of(store.get(job))
    assert leases.claimable(before, "worker-01", clock.now())
    expected = leases.claim(before, "worker-01", clock.now() + 7_000_000, clock.now(), Actor("worker:worker-01"))
    (run,) = store.claim("worker-01", kinds=[before.kind], lease=7)
    assert row_of(run.job) == expected.job
    assert_written(store, before, expected)


@pytest.mark.parametrize(
    "bring",
    [_fresh, _scheduled_later, _handed_back, _due_for_a_retry, _lost_by_its_worker, _with_a_checkpoint],
)
def test_a_claim_takes_nothing_that_the_decision_would_not(store: JobStore, clock: ManualClock, bring: Bring) -> None:
    before = row_of(store.get(bring(store, clock)))
    for node in ("worker-01", "worker-02"):
        claimable = leases.claimable(before, node, clock.now())
        runs = store.claim(node, kinds=[before.kind])
        assert bool(runs) is claimable
        if runs:
            return


def _running(store: JobStore, clock: ManualClock) -> Run:
    return running(store, reason="why")


def _running_after_a_failure(store: JobStore, clock: ManualClock) -> Run:
    return claimed(store, _due_for_a_retry(store, clock))


def _running_and_clean(store: JobStore, clock: ManualClock) -> Run:
    run = claimed(store, _with_a_checkpoint(store, clock))
    run.checkpoint()
    return run


def _asked_to_stop(store: JobStore, clock: ManualClock) -> Run:
    run = running(store, retry=PATIENT)
    store.stop(run, actor="cli:ana", reason="wrong input")
    return run


def _asked_twice(store: JobStore, clock: ManualClock) -> Run:
    run = _asked_to_stop(store, clock)
    store.stop(run, mode="immediate", timeout=1, reason="hurry up")
    return run


def _stopping(store: JobStore, clock: ManualClock) -> Run:
    run = _asked_to_stop(store, clock)
    run.begin_stop()
    return run


HELD: list[BringRun] = [
    _running,
    _running_after_a_failure,
    _running_and_clean,
    _asked_to_stop,
    _asked_twice,
    _stopping,
]


@pytest.mark.parametrize("bring", HELD)
@pytest.mark.parametrize("with_progress", [False, True], ids=["nothing buffered", "progress buffered"])
def test_completing_writes_what_the_decision_says(
    store: JobStore, clock: ManualClock, bring: BringRun, with_progress: bool
) -> None:
    run = bring(store, clock)
    clock.advance(0.25)
    before = row_of(store.get(run))
    if with_progress:  # it goes by another way, and what is written beside the job makes it unclean
        run.set_progress("blocks", files_count=3)
        before = before._replace(clean=False)
    expected = leases.complete(before, run.token, clock.now(), Actor("worker:worker-01"))
    run.complete()
    assert_written(store, before, expected)


@pytest.mark.parametrize("bring", HELD)
def test_completing_many_writes_what_the_decision_says(store: JobStore, clock: ManualClock, bring: BringRun) -> None:
    runs = [bring(store, clock), running(store)]
    before = [row_of(store.get(run)) for run in runs]
    assert store.complete_many(runs) == []
    for job, run in zip(before, runs, strict=True):
        assert_written(store, job, leases.complete(job, run.token, clock.now(), Actor("worker:worker-01")))


@pytest.mark.parametrize("many", [1, 2])
@pytest.mark.parametrize("reason", [None, "all rows are there"])
def test_who_completes_jobs_and_why_is_written(
    store: JobStore, clock: ManualClock, reason: str | None, many: int
) -> None:
    runs = [running(store) for _ in range(many)]
    before, by = [row_of(store.get(run)) for run in runs], Actor("worker:worker-01", reason)
    assert list(store.repository.leases.complete([run.lease for run in runs], clock.now(), by)) == []
    for job in before:
        assert_written(store, job, leases.complete(job, job.lease_token, clock.now(), by))


@pytest.mark.parametrize("bring", HELD)
def test_a_heartbeat_writes_what_the_decision_says(store: JobStore, clock: ManualClock, bring: BringRun) -> None:
    """Also long after the lease ran out: until it is settled, the row decides and not the clock."""
    for waited in (0.25, LEASE - 0.000001, LEASE, 2 * LEASE, 10_000.0):
        run = bring(store, clock)
        clock.advance(waited)
        before = row_of(store.get(run))
        expected = leases.renew(before, run.token, clock.now() + round(LEASE * 1_000_000), clock.now())
        if expected.steps:
            with pytest.raises(LeaseLost):
                run.heartbeat()
        else:
            run.heartbeat()
        assert_written(store, before, expected)


@pytest.mark.parametrize("bring", HELD)
def test_a_sweep_writes_what_the_decision_says(store: JobStore, clock: ManualClock, bring: BringRun) -> None:
    for waited in (LEASE - 0.000001, LEASE, 300.0, 10_000.0):
        run = bring(store, clock)
        clock.advance(waited)
        before = row_of(store.get(run))
        expected = leases.settle(before, clock.now(), Actor("sweep:cli:ana"), 0.5)
        swept = {job.id for job in store.sweep(actor="cli:ana")}
        assert (run.id in swept) is leases.is_overdue(before, clock.now())
        assert_written(store, before, expected)
