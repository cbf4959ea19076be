"""Batches, and joining a transaction of the caller's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from jobstate import InvalidRequest, JobStore, LeaseLost, Run, State, TransitionNotAllowed
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.areas.worker_verbs import VERBS
from jobstate.testing.contract.situations import claimed, everything, running, scene, submitted, triggers


class Rollback(Exception):
    """Raised by a test to leave a block by an error."""


def test_a_batch_commits_all_of_its_changes(store: JobStore) -> None:
    run = running(store)
    with store.batch():
        job = submitted(store)
        store.stop(job, mode="force")
        run.complete()
    assert store.get(job).state is State.STOPPED
    assert store.get(run).state is State.COMPLETED
    assert store.audit().ok


def test_an_error_that_leaves_a_batch_undoes_all_of_it(store: JobStore) -> None:
    run = running(store)
    ended = scene(store, "Completed").id
    before = everything(store)
    with pytest.raises(Rollback), store.batch():
        submitted(store)
        run.add_range("blocks", 0, 9)
        run.checkpoint()
        store.stop(run)
        assert store.delete(ended)
        raise Rollback
    assert everything(store) == before
    assert store.audit().ok


def test_an_error_that_is_caught_inside_a_batch_undoes_only_its_call(store: JobStore) -> None:
    with store.batch():
        first = submitted(store)
        with pytest.raises(TransitionNotAllowed):
            store.fail(submitted(store, hold=True), "why")
        with pytest.raises(InvalidRequest):
            store.submit_many([{"kind": "a"}, {"kind": ""}])
        last = submitted(store)
    assert [store.get(job).state for job in (first, last)] == [State.SCHEDULED] * 2
    assert len(list(store.iterate("all"))) == 3


def test_a_batch_inside_a_batch_is_undone_alone(store: JobStore) -> None:
    with store.batch():
        first = submitted(store)
        with pytest.raises(Rollback), store.batch():
            submitted(store)
            raise Rollback
        with store.batch():
            second = submitted(store)
    assert [job.id for job in store.iterate()] == [second.id, first.id]


def test_what_a_batch_did_is_seen_inside_of_it(store: JobStore) -> None:
    with store.batch():
        job = submitted(store)
        run = claimed(store, job)
        assert store.get(job).state is State.RUNNING
        run.complete()
        assert store.counts()[State.COMPLETED] == 1
        assert triggers(store, job) == ["submit", "claim", "complete"]


def test_a_run_whose_end_was_undone_is_ended_again_with_all_it_reported(store: JobStore) -> None:
    """What a worker reported must not be lost because the transaction it was first written in was undone."""
    run = running(store)
    run.add_range("blocks", 0, 9, files=1)
    with pytest.raises(Rollback), store.batch():
        run.complete()
        raise Rollback
    assert store.get(run).state is State.RUNNING
    run.complete()
    assert store.get(run).state is State.COMPLETED
    assert store.progress(run) == run.progress


@pytest.mark.parametrize(
    "notices", [Run.heartbeat, Run.flush, Run.checkpoint, Run.complete], ids=lambda verb: verb.__name__
)
@pytest.mark.parametrize("end", [Run.complete, Run.release, Run.finish_stop], ids=lambda verb: verb.__name__)
def test_a_lease_that_is_lost_after_an_end_was_undone_is_noticed(
    store: JobStore, end: Callable[[Run], object], notices: Callable[[Run], object]
) -> None:
    run = running(store)
    store.stop(run)
    with pytest.raises(Rollback), store.batch():
        end(run)
        raise Rollback
    store.stop(run, mode="force")
    run.add_range("blocks", 0, 9)
    with pytest.raises(LeaseLost):
        notices(run)
    assert (run.lost, run.stopping) == (True, True)
    with pytest.raises(LeaseLost):
        run.raise_if_stopping()


def test_a_lease_that_is_lost_after_an_end_was_undone_is_reported_at_the_end_of_the_block(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    with running(store) as run:
        with pytest.raises(Rollback), store.batch():
            run.release()
            raise Rollback
        store.stop(run, mode="force")
    assert run.lost
    assert str(LeaseLost(run.id, run.token)) in caplog.text


@pytest.mark.parametrize("end", [Run.complete, Run.release, lambda run: run.fail("disk gone")])
def test_an_end_that_was_kept_is_no_lost_lease_whoever_has_the_job_since(
    store: JobStore, clock: ManualClock, end: Callable[[Run], object]
) -> None:
    run = running(store)
    with store.batch():
        end(run)
    clock.advance(3600)
    store.claim("worker-02")
    with pytest.raises(LeaseLost):
        run.heartbeat()
    assert (run.settled, run.lost) == (True, False)


def test_an_end_that_was_kept_is_no_lost_lease_though_the_job_was_removed(store: JobStore) -> None:
    run = running(store)
    with store.batch():
        run.complete()
        store.delete(run)
    with pytest.raises(LeaseLost):
        run.heartbeat()
    assert (run.settled, run.lost) == (True, False)


@pytest.mark.parametrize("name", ["worker-02", "worker-01"], ids=["by another", "by one of the same name"])
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "within a batch"])
def test_a_run_whose_claim_was_undone_is_lost_though_its_token_is_given_out_again(
    store: JobStore, name: str, nested: bool
) -> None:
    job = submitted(store)
    with store.batch() if nested else nullcontext():
        with pytest.raises(Rollback), store.batch():
            undone = claimed(store, job)
            begun = undone.begin_checkpoint()
            raise Rollback
        run = claimed(store, job, name)
        assert run.token == undone.token
        run.begin_checkpoint()
        before = everything(store)
        for word, verb in VERBS.items():
            with pytest.raises(LeaseLost):
                verb(undone)
            assert everything(store) == before, word
        with pytest.raises(LeaseLost):
            undone.fail_checkpoint(begun, "bucket gone")
        assert everything(store) == before
        assert [undone.lost, run.lost] == [True, False]
        with pytest.raises(LeaseLost):
            undone.raise_if_stopping()
        assert store.complete_many([undone, run]) == [undone]
    assert [event.node for event in store.events(job) if event.trigger == "complete"] == [name]


def test_a_run_whose_claim_was_undone_did_not_end_the_job_that_another_ended(store: JobStore) -> None:
    job = submitted(store)
    with pytest.raises(Rollback), store.batch():
        undone = claimed(store, job)
        undone.complete()
        raise Rollback
    claimed(store, job, "worker-02").complete()
    with pytest.raises(LeaseLost):
        undone.complete()
    assert undone.lost


def test_a_run_whose_claim_was_committed_is_as_good_as_any(store: JobStore) -> None:
    job = submitted(store)
    with store.batch():
        run = claimed(store, job)
        run.add_range("blocks", 0, 9)
        run.checkpoint(state=10)
    run.heartbeat()
    run.add_range("blocks", 10, 19)
    run.complete()
    run.complete()
    assert (store.get(job).state, run.settled, run.lost) == (State.COMPLETED, True, False)
    assert store.progress(job) == run.progress


def test_progress_whose_writing_was_undone_is_written_by_the_next_flush(store: JobStore) -> None:
    run = running(store)
    run.add_range("blocks", 0, 9, files=1)
    with pytest.raises(Rollback), store.batch():
        run.flush()
        raise Rollback
    assert store.progress(run) == {}
    run.flush()
    assert store.progress(run) == run.progress


def test_the_number_of_a_pipeline_run_is_given_back_with_the_run(store: JobStore) -> None:
    with pytest.raises(Rollback), store.batch():
        assert store.submit("extract", pipeline_id="pl").run_id == 1
        raise Rollback
    assert store.submit("extract", pipeline_id="pl").run_id == 1
