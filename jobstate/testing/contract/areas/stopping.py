"""Stops: the table of what each mode does in each state, and that every stop ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import pytest

from jobstate import JobNotFound, JobNotTerminal, JobStore, LeaseLost, Run, State, StopMode, StopOutcome
from jobstate.core.arguments import ModeWord
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import (
    HELD_SCENES,
    LEASE,
    LIVE_SCENES,
    SCENES,
    TERMINAL_SCENES,
    claimed,
    everything,
    running,
    scene,
    submitted,
    triggers,
)

MODES: Final[tuple[ModeWord, ...]] = ("checkpoint", "immediate", "force")
PENDING = ("StopRequested, held", "StopRequested, unheld", "Stopping")

# What a first stop leads to: the state, and the outcome where it ends the job at once.
FIRST_STOP = {
    **{(name, mode): (State.STOPPED, "never_started") for name in ("Created",) for mode in MODES},
    **{("Recovering", mode): (State.STOPPED, "between_runs") for mode in MODES},
    **{(name, mode): (State.STOP_REQUESTED, None) for name in ("Scheduled", "Running") for mode in MODES[:2]},
    **{("Scheduled after a run", mode): (State.STOP_REQUESTED, None) for mode in MODES[:2]},
    ("Scheduled", "force"): (State.STOPPED, "never_started"),
    ("Scheduled after a run", "force"): (State.STOPPED, "between_runs"),
    ("Running", "force"): (State.STOPPED, "forced"),
}


@pytest.mark.parametrize(("name", "mode"), list(FIRST_STOP))
def test_a_first_stop_does_what_the_table_says(store: JobStore, clock: ManualClock, name: str, mode: ModeWord) -> None:
    there = scene(store, name)
    clock.advance(1)
    state, outcome = FIRST_STOP[name, mode]
    result = store.stop(there.id, mode=mode, timeout=40, actor="cli:ana", reason="wrong input")
    job = store.get(there.id)
    assert result.changed
    assert result.job == job
    assert job.state is state
    assert job.stop is not None
    assert (job.stop.mode, job.stop.reason, job.stop.outcome) == (mode, "wrong input", outcome)
    last = store.events(there.id)[-1]
    assert (last.actor, last.reason) == ("cli:ana", "wrong input")
    if state is State.STOPPED:
        assert result.expected_finish_time == job.finished_at
        assert row_of(job).finished_us == clock.now()
        assert last.trigger == "halt"
    else:
        assert row_of(job).stop_deadline_us == clock.now() + 40_000_000
        assert result.expected_finish_time == job.stop.deadline
        assert last.trigger == "request_stop"


@pytest.mark.parametrize("name", TERMINAL_SCENES)
def test_a_stop_of_a_job_that_ended_succeeds_without_a_trace(store: JobStore, name: str) -> None:
    there = scene(store, name)
    before = everything(store)
    for mode in MODES:
        result = store.stop(there.id, mode=mode, reason="too late")
        assert not result.changed
        assert result.job == store.get(there.id)
        assert result.expected_finish_time == result.job.finished_at
        assert everything(store) == before


@pytest.mark.parametrize("name", PENDING)
@pytest.mark.parametrize("mode", MODES[:2])
def test_a_second_stop_keeps_the_state_and_the_first_reason(store: JobStore, name: str, mode: ModeWord) -> None:
    """A second stop must not rewrite the finish time, nor overwrite the first one's reason."""
    there = scene(store, name)
    first = store.get(there.id)
    result = store.stop(there.id, mode=mode, timeout=900, actor="cli:bob", reason="another reason")
    job = store.get(there.id)
    assert job.state is first.state
    assert row_of(job).stop_reason == row_of(first).stop_reason
    assert row_of(job).stop_deadline_us == row_of(first).stop_deadline_us
    assert result.expected_finish_time == job.stop.deadline  # type: ignore[union-attr]
    assert result.changed is (mode == "immediate")
    assert row_of(job).stop_mode == mode
    if mode == "checkpoint":
        assert job == first
    else:
        note = store.events(there.id)[-1]
        assert note.is_note
        assert (note.actor, note.reason, note.detail) == ("cli:bob", "another reason", {"mode": "immediate"})


def test_the_severity_of_a_stop_never_falls(store: JobStore) -> None:
    run = running(store)
    assert store.stop(run, mode="immediate").changed
    before = everything(store)
    assert not store.stop(run, mode="checkpoint").changed
    assert everything(store) == before
    assert row_of(store.stop(run, mode="force").job).stop_mode is StopMode.FORCE


@pytest.mark.parametrize("name", PENDING)
def test_the_deadline_of_a_stop_only_gets_earlier(store: JobStore, clock: ManualClock, name: str) -> None:
    there = scene(store, name)
    first = row_of(store.get(there.id)).stop_deadline_us
    assert first == clock.now() + 300_000_000
    clock.advance(10)
    assert not store.stop(there.id, timeout=300).changed
    assert row_of(store.get(there.id)).stop_deadline_us == first
    assert store.stop(there.id, timeout=20).changed
    assert row_of(store.get(there.id)).stop_deadline_us == clock.now() + 20_000_000
    assert store.events(there.id)[-1].is_note
    assert not store.stop(there.id, timeout=200).changed
    assert row_of(store.get(there.id)).stop_deadline_us == clock.now() + 20_000_000


@pytest.mark.parametrize("name", PENDING)
def test_force_ends_a_pending_stop_at_once(store: JobStore, clock: ManualClock, name: str) -> None:
    there = scene(store, name)
    store.stop(there.id, reason="another reason")
    clock.advance(1)
    first = store.get(there.id)
    result = store.stop(there.id, mode="force", reason="hurry up")
    job = store.get(there.id)
    assert result.changed
    assert (job.state, row_of(job).finished_us, row_of(job).stop_mode) == (State.STOPPED, clock.now(), StopMode.FORCE)
    assert row_of(job).stop_outcome == ("never_started" if there.run is None else "forced")
    assert row_of(job).stop_reason == row_of(first).stop_reason
    if there.run is not None:
        assert job.lease_token == there.run.token + 1
        with pytest.raises(LeaseLost):
            there.run.finish_stop()
    assert store.get(there.id) == job


def test_force_fences_the_worker(store: JobStore) -> None:
    run = running(store)
    store.stop(run, mode="force")
    before = everything(store)
    for verb in (run.heartbeat, run.complete, run.finish_stop, run.release, run.checkpoint):
        with pytest.raises(LeaseLost):
            verb()
    assert everything(store) == before


def test_the_time_a_stop_may_take_is_that_of_the_store_unless_the_call_says_otherwise(
    open_store: OpenStore, clock: ManualClock
) -> None:
    store = open_store(stop_timeout=45)
    assert row_of(store.stop(running(store)).job).stop_deadline_us == clock.now() + 45_000_000
    later = store.stop(running(store), timeout=timedelta(minutes=2)).job
    assert row_of(later).stop_deadline_us == clock.now() + 120_000_000


def test_a_stop_of_an_unknown_job_says_so(store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        store.stop(4711)
    with pytest.raises(JobNotFound):
        store.stop(4711, mode="force")


# How stops end.


@pytest.mark.parametrize(
    ("mode", "checkpointed", "outcome"),
    [
        ("checkpoint", True, "checkpointed"),
        ("checkpoint", False, "no_checkpoint"),
        ("immediate", True, "immediate"),
        ("immediate", False, "immediate"),
    ],
)
def test_a_worker_ends_a_stop_through_stopping(
    store: JobStore, mode: ModeWord, checkpointed: bool, outcome: str
) -> None:
    run = running(store)
    store.stop(run, mode=mode, reason="wrong input")
    assert run.begin_stop().state is State.STOPPING
    if checkpointed:
        run.checkpoint()
    job = run.finish_stop()
    assert job == store.get(run)
    assert (job.state, row_of(job).stop_outcome) == (State.STOPPED, outcome)
    assert triggers(store, run) == ["submit", "claim", "request_stop", "begin_stop", "finish_stop"]
    assert store.events(run)[-1].detail["outcome"] == outcome
    assert job.lease_token == run.token


def test_finishing_a_stop_without_agreeing_first_writes_both_steps(store: JobStore) -> None:
    run = running(store)
    store.stop(run)
    run.finish_stop()
    assert triggers(store, run)[-2:] == ["begin_stop", "finish_stop"]
    states = [(event.from_state, event.to_state) for event in store.events(run)][-2:]
    assert states == [(State.STOP_REQUESTED, State.STOPPING), (State.STOPPING, State.STOPPED)]


def _nothing_more(run: Run) -> None:
    pass


def _progress(run: Run) -> None:
    run.add_range("blocks", 10, 19)


def _flushed_progress(run: Run) -> None:
    run.add_range("blocks", 10, 19)
    run.flush()


@pytest.mark.parametrize(
    ("afterwards", "outcome"),
    [(_nothing_more, "checkpointed"), (_progress, "no_checkpoint"), (_flushed_progress, "no_checkpoint")],
)
@pytest.mark.parametrize("agreed", [False, True])
def test_a_stop_is_clean_only_when_nothing_was_written_since_the_checkpoint(
    store: JobStore, afterwards: Callable[[Run], None], outcome: str, agreed: bool
) -> None:
    run = running(store)
    run.add_range("blocks", 0, 9)
    run.checkpoint(state=10)
    store.stop(run)
    if agreed:
        run.begin_stop()
    afterwards(run)
    assert row_of(run.finish_stop()).stop_outcome == outcome


def test_the_checkpoint_of_an_earlier_run_makes_no_stop_clean(store: JobStore) -> None:
    job = submitted(store)
    first = claimed(store, job)
    first.checkpoint(state=1)
    first.release()
    second = claimed(store, job)
    assert second.restored is not None
    store.stop(job)
    assert row_of(second.finish_stop()).stop_outcome is StopOutcome.NO_CHECKPOINT


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_completion_beats_a_stop(store: JobStore, name: str) -> None:
    """A job that completes between the request and its acknowledgement has completed; neither side gets an error."""
    run = scene(store, name).held
    run.complete()
    job = store.get(run)
    assert (job.state, row_of(job).stop_outcome) == (State.COMPLETED, None)
    assert job.stop is not None
    assert not store.stop(run).changed
    assert store.sweep() == []


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_a_retryable_failure_during_a_stop_ends_it_and_keeps_the_message(store: JobStore, name: str) -> None:
    """No run may follow an accepted stop."""
    run = scene(store, name).held
    job = run.fail("disk gone")
    assert job == store.get(run)
    assert (job.state, row_of(job).stop_outcome, job.failures) == (State.STOPPED, StopOutcome.WORKER_FAILED, 0)
    assert job.failure is not None
    assert job.failure.message == "disk gone"
    assert store.claim("worker-01") == []


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_a_fatal_failure_during_a_stop_fails_the_job(store: JobStore, name: str) -> None:
    run = scene(store, name).held
    assert run.fail("bad input", retryable=False).state is State.FAILED


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_handing_back_a_job_that_is_to_stop_stops_it(store: JobStore, name: str) -> None:
    """A worker that shuts down during a stop must not put the job back into the queue."""
    run = scene(store, name).held
    job = run.release()
    assert (job.state, row_of(job).stop_outcome) == (State.STOPPED, StopOutcome.NO_CHECKPOINT)
    assert store.claim("worker-01") == []


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_a_stop_whose_worker_died_ends_when_the_lease_is_lost(store: JobStore, clock: ManualClock, name: str) -> None:
    """A worker that is restarted while its job is stopping must not leave it stuck for ever, and undeletable."""
    there = scene(store, name)
    clock.advance(LEASE - 0.000001)
    assert store.sweep() == []
    clock.advance(0.000001)
    (job,) = store.sweep()
    assert (job.id, job.state, row_of(job).stop_outcome) == (there.id, State.STOPPED, StopOutcome.WORKER_LOST)
    assert triggers(store, there.id)[-1] == "halt"
    assert store.delete(there.id)


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_a_stop_whose_worker_hangs_ends_at_its_deadline(store: JobStore, clock: ManualClock, name: str) -> None:
    there = scene(store, name)
    run = there.held
    store.stop(run, timeout=100)
    for _ in range(9):
        clock.advance(11)
        run.heartbeat()
    clock.advance(0.999999)
    assert store.sweep() == []
    clock.advance(0.000001)
    (job,) = store.sweep()
    assert (job.state, row_of(job).stop_outcome) == (State.STOPPED, StopOutcome.TIMED_OUT)
    assert job.lease_token == run.token + 1


@pytest.mark.parametrize("name", ["StopRequested, held", "Stopping"])
def test_the_heartbeat_of_a_hung_worker_ends_its_stop_at_the_deadline(
    store: JobStore, clock: ManualClock, name: str
) -> None:
    """A heartbeat must not renew a hung handler's lease for ever, past its stop deadline."""
    run = scene(store, name).held
    store.stop(run, timeout=20, reason="another reason")
    clock.advance(20)
    with pytest.raises(LeaseLost):
        run.heartbeat()
    job = store.get(run)
    assert (job.state, row_of(job).stop_outcome) == (State.STOPPED, StopOutcome.TIMED_OUT)
    last = store.events(run)[-1]
    assert (last.trigger, last.actor) == ("halt", "sweep:worker-01")
    assert run.lost


@pytest.mark.parametrize(("timeout", "outcome"), [(20, "timed_out"), (40, "worker_lost"), (30, "worker_lost")])
def test_whichever_ran_out_first_is_named(store: JobStore, clock: ManualClock, timeout: int, outcome: str) -> None:
    run = running(store)
    store.stop(run, timeout=timeout)
    clock.advance(1000)
    (job,) = store.sweep()
    assert row_of(job).stop_outcome == outcome


# A stop without a worker.

FINISHERS: dict[str, Callable[[JobStore, int], object]] = {
    "a claim": lambda store, _: store.claim("worker-02"),
    "a claim of other kinds": lambda store, _: store.claim("worker-02", kinds=["unheard of"]),
    "a sweep": lambda store, _: store.sweep(),
    "a wait": lambda store, job_id: store.wait(job_id, timeout=1),
    "a prune": lambda store, _: store.prune("completed"),
    "force": lambda store, job_id: store.stop(job_id, mode="force"),
}


@pytest.mark.parametrize("finisher", FINISHERS.values(), ids=list(FINISHERS))
@pytest.mark.parametrize(
    ("name", "outcome"), [("Scheduled", "never_started"), ("Scheduled after a run", "between_runs")]
)
def test_a_stop_that_no_worker_holds_is_finished_by_whoever_looks(
    store: JobStore, name: str, outcome: str, finisher: Callable[[JobStore, int], object]
) -> None:
    """A stop of a job that never started must not leave it stuck for ever."""
    there = scene(store, name)
    store.stop(there.id, actor="cli:ana", reason="wrong input")
    finisher(store, there.id)
    job = store.get(there.id)
    assert (job.state, row_of(job).stop_outcome, row_of(job).stop_reason) == (State.STOPPED, outcome, "wrong input")
    assert store.delete(there.id)


def test_a_stop_that_no_worker_holds_is_finished_by_any_heartbeat(store: JobStore) -> None:
    alive = running(store)
    there = scene(store, "StopRequested, unheld")
    alive.heartbeat()
    assert store.get(there.id).state is State.STOPPED


def test_a_stop_that_no_worker_holds_goes_through_stopping_and_repeats_the_reason(store: JobStore) -> None:
    job = submitted(store)
    store.stop(job, actor="cli:ana", reason="wrong input")
    store.sweep(actor="cron:nightly")
    assert triggers(store, job) == ["submit", "request_stop", "begin_stop", "finish_stop"]
    for event in store.events(job)[2:]:
        assert (event.actor, event.reason) == ("sweep:cron:nightly", "wrong input")


@pytest.mark.parametrize("mode", MODES[:2])
def test_a_second_stop_does_not_finish_one_that_no_worker_holds(store: JobStore, mode: ModeWord) -> None:
    there = scene(store, "StopRequested, unheld")
    assert store.stop(there.id, mode=mode).job.state is State.STOP_REQUESTED
    assert store.get(there.id).state is State.STOP_REQUESTED


def test_a_second_stop_past_the_deadline_finishes_the_first(store: JobStore, clock: ManualClock) -> None:
    there = scene(store, "StopRequested, unheld")
    clock.advance(300)
    result = store.stop(there.id)
    assert result.changed
    assert result.job.state is State.STOPPED
    assert result.expected_finish_time == result.job.finished_at


def test_delete_refuses_one_that_no_worker_holds_and_names_the_ways_out(store: JobStore) -> None:
    there = scene(store, "StopRequested, unheld")
    before = everything(store)
    with pytest.raises(JobNotTerminal) as refused:
        store.delete(there.id)
    for way in ("wait", "sweep", "force"):
        assert way in str(refused.value)
    assert everything(store) == before


# A stop looks at the facts, not at the clock of the row.


def test_a_stop_first_settles_a_lost_lease(store: JobStore, clock: ManualClock) -> None:
    """A stop judged from a stale row answered with an error; here the truth is found out in the same transaction."""
    run = running(store)
    clock.advance(LEASE)
    result = store.stop(run, reason="wrong input")
    assert (result.job.state, row_of(result.job).stop_outcome) == (State.STOPPED, StopOutcome.BETWEEN_RUNS)
    assert triggers(store, run)[-2:] == ["recover", "halt"]


def test_a_stop_of_a_job_whose_attempts_are_spent_finds_it_failed(store: JobStore, clock: ManualClock) -> None:
    run = running(store, max_attempts=1)
    clock.advance(LEASE)
    result = store.stop(run)
    assert (result.changed, result.job.state) == (True, State.FAILED)
    assert result.expected_finish_time == result.job.finished_at


@pytest.mark.parametrize("mode", MODES)
def test_every_stop_ends_with_only_a_sweeper_alive(store: JobStore, clock: ManualClock, mode: ModeWord) -> None:
    for name in LIVE_SCENES:
        there = scene(store, name)
        promised = store.stop(there.id, mode=mode, timeout=30).expected_finish_time
        assert promised is not None
        clock.advance(30)
        store.sweep()
        job = store.get(there.id)
        assert job.state is State.STOPPED, name
        assert job.finished_at is not None
        assert job.finished_at <= promised
        assert store.delete(there.id)


@pytest.mark.parametrize("name", HELD_SCENES)
def test_every_stop_ends_with_only_an_operator_waiting(store: JobStore, clock: ManualClock, name: str) -> None:
    there = scene(store, name)
    store.stop(there.id, timeout=30)
    assert store.wait(there.id, timeout=40).state is State.STOPPED


@pytest.mark.parametrize("mode", MODES)
def test_a_stop_never_fails_for_a_job_that_exists_and_its_repetition_changes_nothing(
    store: JobStore, mode: ModeWord
) -> None:
    for name in SCENES:
        there = scene(store, name)
        first = store.stop(there.id, mode=mode, timeout=60)
        before = everything(store)
        again = store.stop(there.id, mode=mode, timeout=60)
        assert not again.changed, name
        assert (again.job, again.expected_finish_time) == (first.job, first.expected_finish_time)
        assert everything(store) == before
