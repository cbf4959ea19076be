"""A lost lease is reported once per run, wherever it is noticed, and never wrongly."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from jobstate import JobStore, LeaseLost, Run, State, SystemClock
from jobstate.domain.leases import Renewal
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, running
from jobstate.worker.run import control_of
from jobstate.worker.run_control import RunControl
from tests.telemetry.recording import RecordingObserver

FENCED = ["1: lost"]


def fenced(store: JobStore, seen: RecordingObserver) -> Run:
    """A run whose job an operator stopped by force."""
    run = running(store)
    store.stop(run, mode="force")
    seen.take()
    return run


@pytest.mark.parametrize("verb", ["heartbeat", "complete", "begin_stop", "checkpoint", "flush", "release"])
def test_a_refused_verb_reports_the_loss_once(store: JobStore, seen: RecordingObserver, verb: str) -> None:
    run = fenced(store, seen)
    run.add_range("blocks", 0, 1)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            getattr(run, verb)()
    with pytest.raises(LeaseLost):
        run.heartbeat()
    assert [call for call in seen.take() if "lost" in call] == FENCED
    assert seen.losses[0].job == run.job


def test_completing_many_reports_the_lost_leases(store: JobStore, seen: RecordingObserver) -> None:
    run, other = fenced(store, seen), running(store)
    seen.take()
    assert store.complete_many([run, other]) == [run]
    assert sorted(seen.take()) == ["1: lost", "2: Running complete Completed"]


def test_a_block_that_notices_the_loss_by_its_clock_reports_it_at_its_end(
    store: JobStore, seen: RecordingObserver, clock: ManualClock
) -> None:
    run = running(store)
    seen.take()
    with run:
        clock.advance("31s")
        run.raise_if_stopping()
    assert seen.take() == ["1: block begins", "1: block ends", "1: lost"]


def test_a_loss_that_was_noticed_inside_a_batch_is_reported_after_it(store: JobStore, seen: RecordingObserver) -> None:
    run = fenced(store, seen)
    with run, store.batch():
        with pytest.raises(LeaseLost):
            run.complete()
        assert "1: lost" not in seen.calls
    assert seen.take() == ["1: block begins", "1: block ends", "1: lost"]


VERBS: dict[str, Callable[[JobStore, Run], object]] = {
    "complete": lambda store, run: run.complete(),
    "complete_many": lambda store, run: store.complete_many([run]),
    "fail": lambda store, run: run.fail("bad input"),
    "release": lambda store, run: run.release(),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_and_a_heartbeat_that_meet_are_no_loss(
    store: JobStore, seen: RecordingObserver, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """Between the commit of a verb and its return, a heartbeat finds the lease gone."""
    ended = RunControl.note_end

    def met(control: RunControl) -> None:
        beside = threading.Thread(target=control.notice, args=(Renewal(control.id, control.token, held=False), None))
        beside.start()
        beside.join()
        assert not control.lost
        assert not control.settled
        ended(control)

    monkeypatch.setattr(RunControl, "note_end", met)
    run = running(store)
    VERBS[verb](store, run)
    with run:
        pass
    assert run.settled
    assert "1: lost" not in seen.take()


def test_a_run_that_ended_in_another_way_has_not_lost_its_lease(store: JobStore, seen: RecordingObserver) -> None:
    run = running(store)
    again = Run(RunControl(store._context, control_of(run).claimed, 30.0, store._context.clock.monotonic()))
    run.fail("bad input", retryable=False)
    with again:
        pass
    assert store.complete_many([again]) == [again]
    assert "1: lost" not in seen.take()


def test_the_heartbeats_of_a_worker_report_it_while_the_handler_still_runs(open_store: OpenStore) -> None:
    reported = threading.Event()

    class Waiting(RecordingObserver):
        def lease_lost(self, loss: object) -> None:
            reported.set()

    seen = Waiting()
    store = open_store(observers=[seen], clock=SystemClock())

    def handler(run: Run) -> None:
        store.stop(run, mode="force")
        assert reported.wait(20)

    job = store.submit("extract", retry=AT_ONCE)
    store.worker("w", until_idle=True).serve({"extract": handler})
    assert reported.is_set()
    assert store.get(job).state is State.STOPPED
