"""Each verb causes the calls for what it committed: transitions, claims, heartbeats, sweeps."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

import jobstate
from jobstate import InvalidRequest, Job, JobStore, LeaseLost, Observer, Run, State, TransitionNotAllowed
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import LEASE, claimed, running, submitted
from tests.telemetry.recording import RecordingObserver


def test_a_life_is_reported_step_by_step(store: JobStore, seen: RecordingObserver) -> None:
    job = store.submit("extract", hold=True)
    assert seen.take() == ["1: None submit Created"]
    store.schedule(job)
    (run,) = store.claim("worker-01")
    assert seen.take() == ["1: Created schedule Scheduled", "1: Scheduled claim Running", "1: claimed by worker-01"]
    store.rescale(run, 2)
    run.heartbeat()
    assert run.rescale_to == 2
    run.rescaled()
    run.complete()
    assert seen.take() == [
        "1: Running rescale Rescaling",
        "heartbeat of worker-01 [1]",
        "1: Rescaling resume Running",
        "1: Running complete Completed",
    ]


def test_a_call_has_the_history_entry_and_the_job(store: JobStore, seen: RecordingObserver) -> None:
    job = store.submit("extract", {"dataset": "eth"}, labels={"team": "data"}, actor="ana", reason="new data")
    (run,) = store.claim("worker-01")
    run.fail(ConnectionError("node went away"), retryable=False)
    assert [transition.event for transition in seen.transitions] == list(store.events(job))
    assert [transition.job.state for transition in seen.transitions] == [State.SCHEDULED, State.RUNNING, State.FAILED]
    assert seen.transitions[0].job == job
    assert seen.claims[0].job == run.job
    assert (seen.claims[0].event.node, seen.claims[0].event.attempt, seen.claims[0].event.token) == ("worker-01", 1, 1)
    failure = seen.transitions[-1].job.failure
    assert failure is not None
    assert (failure.message, failure.domain) == ("node went away", "ConnectionError")


@pytest.mark.parametrize("notices", [Run.heartbeat, Run.flush], ids=["by a heartbeat", "by a write"])
def test_a_lease_that_is_lost_after_an_end_was_undone_is_reported_once(
    store: JobStore, seen: RecordingObserver, notices: Callable[[Run], object]
) -> None:
    run = running(store)
    with pytest.raises(ZeroDivisionError), store.batch():
        run.complete()
        raise ZeroDivisionError
    store.stop(run, mode="force")
    seen.take()
    run.add_range("blocks", 0, 9)
    with pytest.raises(LeaseLost):
        notices(run)
    assert f"{run.id}: lost" in seen.take()
    with pytest.raises(LeaseLost):
        notices(run)
    assert f"{run.id}: lost" not in seen.take()


def test_a_claim_that_was_undone_is_not_reported_as_lost(store: JobStore, seen: RecordingObserver) -> None:
    job = submitted(store)
    with pytest.raises(ZeroDivisionError), store.batch():
        run = claimed(store, job)
        raise ZeroDivisionError
    with run:
        pass
    assert store.complete_many([run]) == [run]
    assert f"{job.id}: lost" not in seen.take()


def test_a_heartbeat_has_its_worker_its_leases_and_its_time(
    store: JobStore, seen: RecordingObserver, clock: ManualClock
) -> None:
    run = running(store)
    clock.advance("5s")
    run.heartbeat()
    (beat,) = seen.heartbeats
    assert (beat.node_id, beat.leases) == ("worker-01", (run.lease,))
    assert (beat.at_us, beat.until_us) == (clock.now(), clock.now() + LEASE * 1_000_000)


def test_what_repeats_without_an_event_is_not_reported(store: JobStore, seen: RecordingObserver) -> None:
    job = submitted(store, kind="extract", key="k")
    run = claimed(store, job)
    store.stop(run)
    seen.take()
    store.stop(run)
    assert seen.take() == []
    run.finish_stop()
    assert seen.take() == ["1: StopRequested begin_stop Stopping", "1: Stopping finish_stop Stopped"]
    run.finish_stop()
    store.stop(run, mode="force")
    assert seen.take() == []


def test_a_submission_that_meets_its_equal_is_not_reported(store: JobStore, seen: RecordingObserver) -> None:
    store.submit("extract", key="k")
    seen.take()
    assert store.submit("extract", key="k").deduplicated
    assert seen.take() == []


def test_notes_are_no_transitions(store: JobStore, seen: RecordingObserver) -> None:
    job = submitted(store)
    seen.take()
    store.rescale(job, 4)
    assert store.events(job)[-1].is_note
    assert seen.take() == []


def test_a_refused_change_is_not_reported(store: JobStore, seen: RecordingObserver) -> None:
    job = submitted(store, hold=True)
    seen.take()
    with pytest.raises(TransitionNotAllowed):
        store.fail(job, "why")
    with pytest.raises(InvalidRequest):
        store.submit_many([{"kind": "a"}, {"kind": ""}])
    assert seen.take() == []


def test_a_restart_reports_the_first_entry_of_the_new_job(store: JobStore, seen: RecordingObserver) -> None:
    run = running(store)
    run.fail("bad input", retryable=False)
    seen.take()
    assert store.restart(run).id == 2
    assert seen.take() == ["2: None submit Scheduled"]


def test_many_jobs_are_reported_in_the_order_of_their_submission(store: JobStore, seen: RecordingObserver) -> None:
    jobs = store.submit_many([{"kind": "extract"}] * 3)
    runs = store.claim("worker-01", limit=3)
    store.complete_many(runs)
    assert [transition.event.job_id for transition in seen.transitions] == [job.id for job in jobs] * 3
    assert [transition.event.id for transition in seen.transitions] == sorted(
        transition.event.id for transition in seen.transitions
    )


SWEEPS: dict[str, tuple[Callable[[JobStore, Run, Run], object], str]] = {
    "a sweep": (lambda store, run, other: store.sweep(), "sweep:test:suite"),
    "a claim": (lambda store, run, other: store.claim("worker-03", kinds=["nothing"]), "sweep:worker-03"),
    "a heartbeat": (lambda store, run, other: other.heartbeat(), "sweep:worker-02"),
    "a wait": (lambda store, run, other: store.wait(run, until=["recovering"]), "sweep:test:suite"),
    "a stop": (lambda store, run, other: store.stop(run), "sweep:test:suite"),
    "a prune": (lambda store, run, other: store.prune(), "sweep:test:suite"),
    "a rescale": (lambda store, run, other: store.rescale(run, 2), "sweep:test:suite"),
}


@pytest.mark.parametrize("how", SWEEPS)
def test_each_call_that_settles_reports_the_transition_and_the_sweep(
    store: JobStore, seen: RecordingObserver, clock: ManualClock, how: str
) -> None:
    run, other = running(store), claimed(store, submitted(store), "worker-02", lease=3600)
    settle, actor = SWEEPS[how]
    clock.advance("31s")
    seen.take()
    before = len(seen.transitions)
    settle(store, run, other)
    calls = seen.take()
    assert calls[0] == "1: Running recover Recovering"
    assert seen.transitions[before].event.actor == actor
    assert calls.count(f"{actor} [1]") == 1
    assert len(seen.sweeps) == 1


def test_a_restart_reports_what_it_settles(store: JobStore, seen: RecordingObserver, clock: ManualClock) -> None:
    run = running(store, max_attempts=1)
    clock.advance("31s")
    seen.take()
    store.restart(run)
    assert seen.take() == ["1: Running fail Failed", "2: None submit Scheduled", "sweep:test:suite [1]"]


def test_a_stop_that_waits_for_nobody_is_one_job_of_a_sweep_and_two_transitions(
    store: JobStore, seen: RecordingObserver
) -> None:
    store.stop(submitted(store))
    seen.take()
    store.sweep()
    assert seen.take() == [
        "1: StopRequested begin_stop Stopping",
        "1: Stopping finish_stop Stopped",
        "sweep:test:suite [1]",
    ]


def test_a_sweep_that_finds_nothing_is_reported_but_not_a_claim_that_finds_nothing(
    store: JobStore, seen: RecordingObserver
) -> None:
    store.sweep(actor="cron")
    assert seen.take() == ["sweep:cron []"]
    store.claim("worker-01")
    assert seen.take() == []


def test_closing_the_store_is_reported_last(open_store: OpenStore, seen: RecordingObserver) -> None:
    store = open_store(observers=[seen])
    store.submit("extract")
    store.close()
    store.close()
    assert seen.take() == ["1: None submit Scheduled", "closed"]


class Failing(Observer):
    """Raises in every method."""

    def __getattribute__(self, name: str) -> object:
        if name in ("transition", "claimed", "heartbeat", "lease_lost", "swept", "within", "closed"):
            raise RuntimeError(f"no {name}")
        return super().__getattribute__(name)


def test_an_observer_that_fails_harms_nobody_and_is_logged(
    open_store: OpenStore, seen: RecordingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(observers=[Failing(), seen])
    store.submit("extract")
    with caplog.at_level(logging.ERROR, "jobstate.observers"), store.worker("w", until_idle=True) as worker:
        for run in worker:
            with run:
                run.heartbeat()
    store.sweep()
    store.close()
    assert [transition.event.trigger for transition in seen.transitions] == ["submit", "claim", "complete"]
    assert {record.getMessage() for record in caplog.records} >= {
        f"the observer Failing failed in {call}"
        for call in ("claimed", "heartbeat", "within", "transition", "swept", "closed")
    }
    assert all(record.exc_info and str(record.exc_info[1]).startswith("no ") for record in caplog.records)


class Stumbling(Observer):
    """Its context manager raises at the end of a block."""

    @contextmanager
    def within(self, job: Job) -> Iterator[None]:
        try:
            yield
        finally:
            raise RuntimeError("no end")


def test_the_context_managers_of_observers_are_left_whatever_fails(
    open_store: OpenStore, seen: RecordingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(observers=[seen, Stumbling()])
    with running(store):
        pass
    with running(store):
        raise ConnectionError
    assert [transition.event.to_state for transition in seen.transitions][2::3] == [State.COMPLETED, State.RECOVERING]
    assert sum("block ends" in call for call in seen.calls) == 2
    failures = [record.getMessage() for record in caplog.records if record.name == "jobstate.observers"]
    assert failures == ["the observer Stumbling failed in within"] * 2


@pytest.mark.parametrize("given", [RecordingObserver, print])
def test_an_object_that_is_not_an_observer_is_refused(open_store: OpenStore, given: object) -> None:
    with pytest.raises(InvalidRequest, match=r"observers\[0\]: must be an instance of Observer"):
        open_store(observers=[given])


class Curious(Observer):
    """Calls the store back."""

    store: JobStore

    def __init__(self) -> None:
        self.found: list[State] = []

    def claimed(self, claim: jobstate.Claim) -> None:
        self.found.append(self.store.get(claim.job).state)
        self.store.submit("follow-up")

    def transition(self, transition: jobstate.Transition) -> None:
        if transition.job.kind == "follow-up" and transition.event.from_state is None:
            self.store.stop(transition.job, mode="force")


def test_an_observer_may_read_and_write_the_store(open_store: OpenStore, seen: RecordingObserver) -> None:
    curious = Curious()
    store = curious.store = open_store(observers=[curious, seen])
    running(store)
    assert curious.found == [State.RUNNING]
    assert seen.take() == [
        "1: None submit Scheduled",
        "1: Scheduled claim Running",
        "1: claimed by worker-01",
        "2: None submit Scheduled",
        "2: Scheduled halt Stopped",
    ]
