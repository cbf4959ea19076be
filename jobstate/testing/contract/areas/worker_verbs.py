"""The verbs of a worker: effect, safe repetition after a lost reply, refusal of a stale worker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest

from jobstate import FailureKind, JobStore, LeaseLost, RetryPolicy, Run, State, TransitionNotAllowed
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import (
    AT_ONCE,
    HELD_SCENES,
    LEASE,
    PATIENT,
    claimed,
    everything,
    running,
    scene,
    submitted,
)

Verb = Callable[[Run], object]


def _report(run: Run) -> None:
    run.set_progress("blocks", files_count=999)
    run.flush()


VERBS: dict[str, Verb] = {
    "heartbeat": lambda run: run.heartbeat(),
    "complete": lambda run: run.complete(),
    "fail": lambda run: run.fail("too late"),
    "fail for good": lambda run: run.fail("too late", retryable=False),
    "release": lambda run: run.release(),
    "begin_stop": lambda run: run.begin_stop(),
    "finish_stop": lambda run: run.finish_stop(),
    "rescaled": lambda run: run.rescaled(),
    "checkpoint": lambda run: run.checkpoint(state="late"),
    "report progress": _report,
}


# What each does.


def test_completing_ends_the_job(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(3)
    run.complete()
    job = store.get(run)
    assert job.state is State.COMPLETED
    assert row_of(job).finished_us == clock.now()
    assert (job.worker_id, row_of(job).lease_expires_us, job.failure, job.stop) == (None, None, None, None)
    assert (job.attempt, job.failures) == (1, 0)


def test_completing_after_a_failed_run_forgets_the_failure(store: JobStore) -> None:
    job = submitted(store, retry=AT_ONCE)
    claimed(store, job).fail("disk gone")
    assert store.get(job).failure is not None
    claimed(store, job).complete()
    assert store.get(job).failure is None


def test_a_retryable_failure_waits_for_its_retry_time(store: JobStore, clock: ManualClock) -> None:
    run = running(store, retry=PATIENT)
    answered = run.fail("disk gone", domain="storage")
    job = store.get(run)
    assert job == answered
    assert job.state is State.RECOVERING
    assert (job.failures, job.worker_id) == (1, None)
    assert row_of(job).available_us == clock.now() + 10_000_000
    assert job.failure is not None
    assert (job.failure.message, job.failure.kind, job.failure.domain) == ("disk gone", FailureKind.ERROR, "storage")
    clock.advance(9.999999)
    assert store.claim("worker-01") == []
    clock.advance(0.000001)
    assert len(store.claim("worker-01")) == 1


def test_a_fatal_failure_is_never_tried_again(store: JobStore, clock: ManualClock) -> None:
    """A job that a worker ended must not run again."""
    run = running(store, max_attempts=100)
    assert run.fail("bad input", retryable=False).state is State.FAILED
    clock.advance(timedelta(days=400))
    store.sweep()
    assert store.claim("worker-01") == []
    job = store.get(run)
    assert job.state is State.FAILED
    assert job.failure is not None
    assert (job.failure.kind, job.failure.message) == (FailureKind.FATAL, "bad input")


def test_an_exception_leaves_its_type_and_traceback(store: JobStore) -> None:
    run = running(store)
    empty: dict[str, int] = {}
    try:
        empty["missing"]
    except KeyError as error:
        run.fail(error)
    failure = store.get(run).failure
    assert failure is not None
    assert (failure.message, failure.domain) == ("'missing'", "KeyError")
    assert failure.traceback is not None
    assert "Traceback" in failure.traceback
    assert 'empty["missing"]' in failure.traceback


@pytest.mark.parametrize("allowed", [1, 2, 5])
def test_a_job_fails_for_good_after_exactly_as_many_charged_runs_as_it_has(store: JobStore, allowed: int) -> None:
    """N allowed attempts must permit N, not N-1."""
    job = submitted(store, retry=AT_ONCE, max_attempts=allowed)
    for number in range(1, allowed):
        assert claimed(store, job).fail("disk gone").state is State.RECOVERING
        assert store.get(job).failures == number
    last = claimed(store, job).fail("disk gone again")
    assert (last.state, last.failures, last.attempt) == (State.FAILED, allowed, allowed)
    assert last.failure is not None
    assert last.failure.message == "disk gone again"
    assert store.claim("worker-01") == []


def test_a_job_that_kills_every_worker_ends_after_its_attempts(store: JobStore, clock: ManualClock) -> None:
    """A poison job must not be claimed for ever."""
    job = submitted(store, retry=AT_ONCE, max_attempts=3)
    for node in ("worker-01", "worker-02", "worker-03"):
        claimed(store, job, node)
        clock.advance(LEASE)
        store.sweep()
    job = store.get(job)
    assert (job.state, job.attempt, job.failures) == (State.FAILED, 3, 3)
    assert job.failure is not None
    assert job.failure.domain == "lease"


def test_a_very_long_series_of_failures_never_outgrows_the_cap(store: JobStore, clock: ManualClock) -> None:
    """A backoff without a cap overflowed after 44 attempts and ended the retries of every job."""
    job = submitted(store, retry=RetryPolicy(initial=1, factor=1000, cap=timedelta(days=365)), max_attempts=100)
    for _ in range(60):
        run = claimed(store, job)
        waits = row_of(run.fail("disk gone")).available_us - clock.now()
        assert 0 < waits <= 365 * 86_400 * 1_000_000
        clock.advance(waits / 1_000_000)
    assert store.get(job).failures == 60


def test_a_healthy_run_begins_a_new_series_of_failures(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=RetryPolicy(initial=0, jitter=0, healthy_after=20), max_attempts=2)
    for _ in range(5):
        run = claimed(store, job)
        clock.advance(20)
        assert run.fail("after a while").failures == 1
    assert claimed(store, job).fail("at once").state is State.FAILED


def test_handing_a_job_back_is_not_charged(store: JobStore, clock: ManualClock) -> None:
    """A shutdown must not count as a failed attempt."""
    job = submitted(store, max_attempts=1)
    for attempt in range(1, 6):
        run = claimed(store, job)
        back = run.release()
        assert back == store.get(job)
        assert (back.state, back.attempt, back.failures, back.worker_id) == (State.SCHEDULED, attempt, 0, None)
        assert back.lease_token == run.token + 1
        assert row_of(back).available_us == clock.now()


def test_a_job_may_be_handed_back_for_later(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    run.release(delay=timedelta(seconds=5))
    clock.advance(4.999999)
    assert store.claim("worker-01") == []
    clock.advance(0.000001)
    assert len(store.claim("worker-01")) == 1


def test_a_heartbeat_prolongs_the_lease_from_now_and_leaves_no_history(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(20)
    assert run.heartbeat() is None
    job = store.get(run)
    assert row_of(job).lease_expires_us == clock.now() + 30_000_000
    assert (job.seq, job.lease_token) == (run.job.seq, run.token)
    clock.advance(29.999999)
    assert store.sweep() == []
    clock.advance(0.000001)
    assert [job.id for job in store.sweep()] == [run.id]


def test_a_heartbeat_brings_the_stop_to_the_worker(store: JobStore) -> None:
    run = running(store)
    result = store.stop(run, mode="immediate", timeout=50, reason="wrong input")
    stop = run.heartbeat()
    assert stop is not None
    assert stop == run.stop
    assert (stop.mode, stop.reason, stop.deadline) == ("immediate", "wrong input", result.expected_finish_time)


def test_a_heartbeat_brings_a_stop_that_became_harder(store: JobStore) -> None:
    run = running(store)
    store.stop(run, timeout=60)
    assert run.heartbeat() == run.stop
    store.stop(run, mode="immediate", timeout=5)
    stop = run.heartbeat()
    assert stop is not None
    assert stop.mode == "immediate"
    assert stop.deadline == store.get(run).stop.deadline  # type: ignore[union-attr]


@pytest.mark.parametrize("name", HELD_SCENES)
def test_a_heartbeat_renews_in_every_state_with_a_holder(store: JobStore, clock: ManualClock, name: str) -> None:
    run = scene(store, name).held
    clock.advance(20)
    run.heartbeat()
    assert row_of(store.get(run)).lease_expires_us == clock.now() + 30_000_000


def test_many_runs_are_completed_at_once_and_lost_ones_are_returned(store: JobStore) -> None:
    jobs = store.submit_many({"kind": "extract", "retry": AT_ONCE} for _ in range(4))
    runs = list(store.claim("worker-01", limit=4))
    store.stop(jobs[1], mode="force")
    runs[3].fail("disk gone", retryable=False)
    assert list(store.complete_many(runs)) == [runs[1], runs[3]]
    assert [store.get(job).state for job in jobs] == [State.COMPLETED, State.STOPPED, State.COMPLETED, State.FAILED]


def test_completing_no_runs_is_fine(store: JobStore) -> None:
    assert list(store.complete_many([])) == []


# Repeated after a lost reply.


@pytest.mark.parametrize(
    "end",
    [
        lambda run: run.complete(),
        lambda run: run.fail("bad", retryable=False),
        lambda run: run.finish_stop(),
    ],
    ids=["complete", "fail", "finish_stop"],
)
@pytest.mark.parametrize("name", HELD_SCENES)
def test_a_verb_that_ended_the_job_may_be_repeated_without_effect(store: JobStore, name: str, end: Verb) -> None:
    run = scene(store, name).held
    try:
        end(run)
    except TransitionNotAllowed:
        assert name in ("Running", "Rescaling")  # a job without a stop request cannot finish a stop
        return
    before = everything(store)
    assert store.get(run).is_terminal
    for _ in range(2):
        end(run)
    assert everything(store) == before


def test_a_failure_that_spent_the_attempts_may_be_repeated(store: JobStore) -> None:
    run = running(store, max_attempts=1)
    assert run.fail("disk gone").state is State.FAILED
    before = everything(store)
    assert run.fail("disk gone").state is State.FAILED
    assert everything(store) == before


def test_agreeing_to_a_stop_twice_is_one_entry(store: JobStore) -> None:
    """Notification and poll may both deliver the same stop; the second acknowledgement is a no-op."""
    run = running(store)
    store.stop(run)
    assert run.begin_stop().state is State.STOPPING
    before = everything(store)
    assert run.begin_stop().state is State.STOPPING
    assert everything(store) == before


def test_a_failure_that_ended_a_pending_stop_may_be_repeated(store: JobStore) -> None:
    run = running(store)
    store.stop(run)
    assert run.fail("disk gone").state is State.STOPPED
    before = everything(store)
    assert run.fail("disk gone").state is State.STOPPED
    assert everything(store) == before


def test_the_holder_cannot_end_a_job_in_two_ways(store: JobStore) -> None:
    ends: dict[str, tuple[Verb, State]] = {
        "complete": (lambda run: run.complete(), State.COMPLETED),
        "fail": (lambda run: run.fail("bad", retryable=False), State.FAILED),
        "finish_stop": (lambda run: run.finish_stop(), State.STOPPED),
    }
    for name, (end, state) in ends.items():
        run = scene(store, "Stopping").held
        end(run)
        before = everything(store)
        for other in ends.keys() - {name}:
            with pytest.raises(TransitionNotAllowed) as refused:
                ends[other][0](run)
            assert (refused.value.state, refused.value.allowed) == (state, ())
        assert everything(store) == before


def test_giving_a_lease_back_twice_is_refused_and_changes_nothing(store: JobStore) -> None:
    """Only claims raising the token let a worker write after it had given its lease back."""
    run = running(store)
    run.release()
    before = everything(store)
    with pytest.raises(LeaseLost):
        run.release()
    assert everything(store) == before


# Late, stale and out of place.


@pytest.mark.parametrize("name", ["Running", "Stopping"])
def test_a_late_write_is_accepted_until_somebody_has_settled_the_lease(
    store: JobStore, clock: ManualClock, name: str
) -> None:
    """Until then the row decides, not the clock: no other worker can have claimed the job."""
    for word, verb in VERBS.items():
        run = scene(store, name).held
        clock.advance(LEASE + 60)
        if name == "Running" and word.endswith("_stop"):
            with pytest.raises(TransitionNotAllowed):
                verb(run)
        else:
            verb(run)
        assert not any(event.actor.startswith("sweep:") for event in store.events(run)), word
        store.stop(run, mode="force")


@pytest.mark.parametrize("settler", ["sweep", "claim", "stop", "another worker's heartbeat"])
def test_a_late_write_is_refused_once_the_lease_was_settled(store: JobStore, clock: ManualClock, settler: str) -> None:
    """A worker whose lease ran out must not end, or write about, a job that may run elsewhere."""
    run = running(store)
    run.set_progress("blocks", files_count=1)
    run.flush()
    clock.advance(LEASE)
    other = running(store)
    if settler == "sweep":
        store.sweep()
    elif settler == "claim":
        store.claim("worker-02")
    elif settler == "stop":
        store.stop(run)
    else:
        other.heartbeat()
    assert store.get(run).state in (State.RECOVERING, State.STOPPED)
    before = everything(store)
    for word, verb in VERBS.items():
        with pytest.raises(LeaseLost):
            verb(run)
        assert everything(store) == before, word


@pytest.mark.parametrize(
    "taken",
    [
        "handed back",
        "failed and waiting",
        "forced",
        "failed by an operator",
        "deleted",
        "claimed by another",
        "settled",
    ],
)
def test_every_way_of_losing_a_lease_fences_its_holder(store: JobStore, clock: ManualClock, taken: str) -> None:
    job = submitted(store, retry=AT_ONCE)
    run = claimed(store, job)
    if taken == "handed back":
        run.release()
    elif taken == "failed and waiting":
        run.fail("disk gone")
    elif taken == "forced":
        store.stop(run, mode="force")
    elif taken == "failed by an operator":
        store.fail(run, "wrong cluster")
    elif taken == "deleted":
        store.stop(run, mode="force")
        store.delete(run)
    else:
        clock.advance(LEASE)
        store.sweep()
        if taken == "claimed by another":
            claimed(store, job, "worker-02")
    before = everything(store)
    for word, verb in VERBS.items():
        with pytest.raises(LeaseLost) as lost:
            verb(run)
        assert (lost.value.job_id, lost.value.token) == (job.id, run.token)
        assert everything(store) == before, word


@pytest.mark.parametrize("end", ["complete", "fail", "finish_stop"])
def test_nothing_is_written_about_a_job_after_its_end(store: JobStore, end: str) -> None:
    run = scene(store, "Stopping").held
    run.set_progress("blocks", files_count=1)
    run.flush()
    {"complete": run.complete, "fail": lambda: run.fail("bad", retryable=False), "finish_stop": run.finish_stop}[end]()
    before = everything(store)
    for word, verb in VERBS.items():
        with suppress(LeaseLost, TransitionNotAllowed):
            verb(run)
        assert everything(store) == before, word


@pytest.mark.parametrize("verb", [lambda run: run.begin_stop(), lambda run: run.finish_stop()])
def test_a_job_that_nobody_asked_to_stop_cannot_stop(store: JobStore, verb: Verb) -> None:
    run = running(store)
    before = everything(store)
    with pytest.raises(TransitionNotAllowed) as refused:
        verb(run)
    assert (refused.value.state, refused.value.job_id) == (State.RUNNING, run.id)
    assert "complete" in refused.value.allowed
    assert everything(store) == before


def test_a_refused_verb_keeps_the_progress_for_the_next_one(store: JobStore) -> None:
    run = running(store)
    run.set_progress("blocks", files_count=5)
    with pytest.raises(TransitionNotAllowed):
        run.finish_stop()
    assert store.progress(run) == {}
    run.complete()
    assert store.progress(run)["blocks"].files_count == 5


def test_completion_writes_no_stale_copy_of_the_row(store: JobStore) -> None:
    """What was written meanwhile, progress or a stop, must survive the end of the run."""
    run = running(store)
    run.add_range("blocks", 0, 9)
    run.flush()
    store.stop(run, actor="cli:ana", reason="wrong input")
    run.complete()
    job = store.get(run)
    assert job.state is State.COMPLETED
    assert job.stop is not None
    assert job.stop.reason == "wrong input"
    assert store.progress(run)["blocks"].current_block == 9


def test_a_rescue_does_not_bring_a_finished_job_back(store: JobStore, clock: ManualClock) -> None:
    """A rescue of a job thought dead must not race its completion and revive it."""
    run = running(store)
    clock.advance(LEASE)
    run.complete()
    before = everything(store)
    assert store.sweep() == []
    assert store.claim("worker-02") == []
    assert everything(store) == before


def test_the_word_of_a_worker_is_recorded_with_its_name(store: JobStore) -> None:
    run = running(store)
    run.complete()
    last = store.events(run)[-1]
    assert (last.actor, last.node, last.token, last.attempt) == ("worker:worker-01", "worker-01", run.token, 1)
