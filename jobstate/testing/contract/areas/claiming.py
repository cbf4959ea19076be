"""Claims: which worker gets which job, in which order, with which lease."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobstate import Job, JobStore, LeaseLost, State
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import (
    AT_ONCE,
    LEASE,
    claimed,
    everything,
    one_of_each,
    running,
    scene,
    submitted,
    triggers,
)


def order_of(store: JobStore, node_id: str = "worker-01", limit: int = 100) -> list[int]:
    return [run.id for run in store.claim(node_id, limit=limit)]


def test_jobs_are_claimed_by_priority_then_start_then_id(store: JobStore, clock: ManualClock) -> None:
    now = store.submit("zeroth", priority=99).created_at
    facts = [
        (5, now - timedelta(seconds=9)),
        (1, now),
        (1, now - timedelta(seconds=5)),
        (-3, now),
        (1, now - timedelta(seconds=5)),
        (-3, now - timedelta(microseconds=1)),
    ]
    jobs = [store.submit("extract", priority=priority, available_at=at) for priority, at in facts]
    expected = sorted(jobs, key=lambda job: (job.priority, row_of(job).available_us, job.id))
    assert order_of(store)[:-1] == [job.id for job in expected]


def test_one_claim_at_a_time_keeps_the_same_order(store: JobStore) -> None:
    jobs = [store.submit(kind, priority=priority) for kind in "ab" for priority in (2, 0, 1)]
    expected = [job.id for job in sorted(jobs, key=lambda job: (job.priority, job.id))]
    assert [order_of(store, limit=1)[0] for _ in jobs] == expected
    assert order_of(store) == []


def test_the_order_holds_across_kinds_and_pinned_jobs(store: JobStore) -> None:
    last = store.submit("b", priority=3)
    pinned = store.submit("c", priority=2, node_id="worker-01")
    first = store.submit("a", priority=1)
    assert order_of(store) == [first.id, pinned.id, last.id]


@pytest.mark.parametrize("kinds", [None, ["a"], ["a", "b"]])
def test_one_claim_at_a_time_passes_over_nothing(store: JobStore, kinds: list[str] | None) -> None:
    """A claim of one looks at the head of the queue first; what is pinned, delayed or of other kinds lies beside it."""
    now = store.submit("a", priority=9).created_at
    waiting = [
        store.submit(kind, priority=number % 2, node_id=node, available_at=now + timedelta(seconds=delay - number))
        for number, node in enumerate(["", "worker-01", "elsewhere", "", "worker-01"])
        for kind in "ba"
        for delay in (0, 60)
    ]
    mine = [job for job in waiting if job.node_id != "elsewhere" and job.available_at <= now]
    mine = sorted(
        (job for job in mine if kinds is None or job.kind in kinds),
        key=lambda job: (job.priority, row_of(job).available_us, job.id),
    )
    taken = [run.id for _ in mine for run in store.claim("worker-01", kinds=kinds)]
    assert taken == [job.id for job in mine]


def test_a_claim_takes_at_most_its_limit(store: JobStore) -> None:
    jobs = store.submit_many({"kind": "extract"} for _ in range(7))
    assert order_of(store, limit=3) == [job.id for job in jobs[:3]]
    assert order_of(store, limit=3) == [job.id for job in jobs[3:6]]
    assert order_of(store, limit=3) == [jobs[6].id]
    assert order_of(store, limit=3) == []


def test_a_claim_may_take_a_thousand(store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(1001))
    assert len(order_of(store, limit=1000)) == 1000


def test_an_idle_claim_changes_nothing(store: JobStore) -> None:
    scene(store, "Created")
    scene(store, "Completed")
    running(store)
    before = everything(store)
    assert store.claim("worker-02") == []
    assert everything(store) == before


def test_a_job_pinned_to_a_worker_goes_to_no_other(store: JobStore) -> None:
    job = store.submit("extract", node_id="worker-02")
    assert store.claim("worker-01") == []
    (run,) = store.claim("worker-02")
    assert run.id == job.id
    assert store.get(job).node_id == "worker-02"


def test_a_claim_does_not_pin_the_job_so_that_a_retry_may_go_elsewhere(store: JobStore) -> None:
    """A retry that goes back to the same dead node for ever must be impossible."""
    job = submitted(store, retry=AT_ONCE)
    claimed(store, job, "worker-01").fail("this node is broken")
    assert store.get(job).node_id == ""
    assert claimed(store, job, "worker-02").job.worker_id == "worker-02"


def test_a_delayed_job_is_due_exactly_at_its_time(store: JobStore, clock: ManualClock) -> None:
    start = store.submit("other", hold=True).created_at + timedelta(seconds=10)
    job = store.submit("extract", available_at=start)
    clock.advance(timedelta(seconds=10) - timedelta(microseconds=1))
    assert store.claim("worker-01") == []
    clock.advance(timedelta(microseconds=1))
    assert order_of(store) == [job.id]


def test_a_worker_claims_only_the_kinds_it_names(store: JobStore) -> None:
    a, b, c = (store.submit(kind) for kind in "abc")
    assert [run.id for run in store.claim("worker-01", kinds=["c", "a"], limit=10)] == [a.id, c.id]
    assert store.claim("worker-01", kinds=["a", "unheard of"]) == []
    assert [run.id for run in store.claim("worker-01", limit=10)] == [b.id]


def test_a_kind_that_is_named_twice_counts_once(store: JobStore) -> None:
    jobs = store.submit_many([{"kind": "a"}, {"kind": "a"}])
    runs = store.claim("worker-01", kinds=["a", "a"], limit=2)
    assert [run.id for run in runs] == [job.id for job in jobs]


def test_kinds_differ_by_every_letter(store: JobStore) -> None:
    store.submit("Extract")
    store.submit("extract ")
    assert store.claim("worker-01", kinds=["extract"]) == []


@pytest.mark.parametrize("kinds", [None, "named"])
def test_the_order_holds_over_more_kinds_than_one_statement_can_look_into(store: JobStore, kinds: str | None) -> None:
    jobs = store.submit_many({"kind": f"kind-{number:03}", "priority": 300 - number} for number in range(300))
    named = None if kinds is None else [job.kind for job in jobs]
    assert [run.id for run in store.claim("worker-01", kinds=named, limit=2)] == [jobs[299].id, jobs[298].id]
    rest = [run.id for run in store.claim("worker-01", kinds=named, limit=1000)]
    assert rest == [job.id for job in reversed(jobs[:298])]


def test_a_claim_takes_the_lease_and_raises_the_token(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store)
    clock.advance(5)
    run = claimed(store, job, lease=12.000001)
    assert run.job == store.get(job)
    assert (run.job.state, run.job.worker_id, run.job.attempt) == (State.RUNNING, "worker-01", 1)
    assert run.token == run.job.lease_token == job.lease_token + 1
    assert row_of(run.job).lease_expires_us == clock.now() + 12_000_001
    assert row_of(run.job).claimed_us == row_of(run.job).started_us == clock.now()
    last = store.events(job)[-1]
    assert (last.trigger, last.actor, last.node, last.attempt, last.token) == (
        "claim",
        "worker:worker-01",
        "worker-01",
        1,
        run.token,
    )


def test_a_lease_may_be_a_timedelta(store: JobStore, clock: ManualClock) -> None:
    run = claimed(store, submitted(store), lease=timedelta(minutes=2))
    assert row_of(run.job).lease_expires_us == clock.now() + 120_000_000


def test_the_lease_counts_from_the_claim_and_not_from_the_due_time(store: JobStore, clock: ManualClock) -> None:
    """A job that waited long in the queue must not be rescued while it runs."""
    job = submitted(store)
    clock.advance(10_000)
    run = claimed(store, job)
    clock.advance(LEASE - 0.001)
    assert store.sweep() == []
    run.complete()
    assert store.get(job).state is State.COMPLETED


def test_a_held_job_goes_to_nobody_else_while_its_lease_lasts(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(LEASE - 0.000001)
    assert store.claim("worker-02") == []
    assert store.claim("worker-01") == []
    assert store.get(run).worker_id == "worker-01"


def test_a_lease_is_lost_exactly_when_it_runs_out_and_the_next_claim_takes_the_job(
    store: JobStore, clock: ManualClock
) -> None:
    job = submitted(store, retry=AT_ONCE)
    late = claimed(store, job)
    clock.advance(LEASE)
    (run,) = store.claim("worker-02")
    assert run.id == job.id
    assert run.token > late.token
    assert triggers(store, job) == ["submit", "claim", "recover", "claim"]
    assert store.events(job)[2].actor == "sweep:worker-02"
    with pytest.raises(LeaseLost):
        late.complete()
    assert store.get(job).worker_id == "worker-02"


def test_a_zombie_with_the_same_name_as_the_new_holder_is_still_a_zombie(store: JobStore, clock: ManualClock) -> None:
    """A worker name as owner does not fence: the same name may claim its own job again."""
    job = submitted(store, retry=AT_ONCE)
    zombie = claimed(store, job, "worker-01")
    clock.advance(LEASE)
    run = claimed(store, job, "worker-01")
    before = everything(store)
    zombie.set_progress("blocks", files_count=9)
    for verb in (zombie.complete, zombie.heartbeat, zombie.release, zombie.begin_stop, zombie.flush, zombie.checkpoint):
        with pytest.raises(LeaseLost) as lost:
            verb()
        assert (lost.value.job_id, lost.value.token) == (job.id, zombie.token)
    assert everything(store) == before
    run.complete()


def test_only_jobs_that_wait_for_a_worker_are_claimed(store: JobStore, clock: ManualClock) -> None:
    there = one_of_each(store)
    clock.advance(15)  # the retry of the one that is recovering is due, and no lease is lost
    expected = [there[name].id for name in ("Scheduled", "Scheduled after a run", "Recovering")]
    assert sorted(run.id for run in store.claim("worker-02", limit=100)) == expected


def test_a_job_that_was_asked_to_stop_is_never_claimed_again(store: JobStore, clock: ManualClock) -> None:
    """A worker that is restarted after a stop request must not run the job once more."""
    for name in ("StopRequested, held", "Stopping", "StopRequested, unheld"):
        there = scene(store, name)
        clock.advance(10_000)
        assert store.claim("worker-01", limit=100) == []
        assert store.get(there.id).state is State.STOPPED


def test_attempts_count_claims_and_never_fall(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=AT_ONCE, max_attempts=10)
    attempts = []
    for end in ("release", "fail", "lose", "fail", "release"):
        run = claimed(store, job)
        attempts.append(run.job.attempt)
        if end == "release":
            run.release()
        elif end == "fail":
            run.fail("disk gone")
        else:
            clock.advance(LEASE)
            store.sweep()
    assert attempts == [1, 2, 3, 4, 5]
    assert store.get(job).attempt == 5
    assert store.get(job).failures == 3


def test_the_first_start_is_kept_through_later_claims(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=AT_ONCE)
    first = claimed(store, job)
    clock.advance(5)
    first.release()
    second = claimed(store, job)
    assert row_of(second.job).started_us == row_of(first.job).started_us
    assert row_of(second.job).claimed_us == clock.now()


def test_a_claim_settles_a_bounded_number_and_still_claims(store: JobStore, clock: ManualClock) -> None:
    jobs = store.submit_many({"kind": "old", "retry": AT_ONCE} for _ in range(250))
    assert len(store.claim("worker-01", limit=1000)) == 250
    clock.advance(LEASE)
    runs = store.claim("worker-02", limit=1000)
    states = store.counts()
    assert len(runs) == 100
    assert states[State.RUNNING] == 250
    assert sum(store.get(job).worker_id == "worker-02" for job in jobs) == 100


def test_two_workers_never_hold_the_same_job(store: JobStore) -> None:
    jobs = store.submit_many({"kind": "extract"} for _ in range(20))
    taken: dict[int, str] = {}
    for turn in range(20):
        node = f"worker-{turn % 2}"
        for run in store.claim(node, limit=turn % 3 + 1):
            assert run.id not in taken
            taken[run.id] = node
    assert set(taken) == {job.id for job in jobs}
    assert {job_id: store.get(job_id).worker_id for job_id in taken} == taken


def test_a_claim_answers_the_row_as_it_was_written(store: JobStore) -> None:
    store.submit_many({"kind": "extract", "descriptor": {"n": n}, "priority": n % 3} for n in range(9))
    claimed_jobs: list[Job] = [run.job for run in store.claim("worker-01", limit=9)]
    assert claimed_jobs == [store.get(job) for job in claimed_jobs]
