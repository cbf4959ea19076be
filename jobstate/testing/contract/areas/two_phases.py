"""Checkpoints in two phases: begun, then completed or failed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from jobstate import (
    Checkpoint,
    CheckpointNotFound,
    CheckpointState,
    InvalidRequest,
    JobStore,
    LeaseLost,
    OperatorState,
    RestartNotAllowed,
    Run,
)
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, LEASE, claimed, everything, running

Call = Callable[[], object]
OPERATORS = (OperatorState("source_1", 524288, "KafkaSource", {0: 262144, 1: 262144}), OperatorState("sink_1", 8))


def begun(run: Run) -> Checkpoint:
    run.add_range("blocks", 0, 9, files=1, size_bytes=100)
    return run.begin_checkpoint(backend="filesystem", location="s3://checkpoints/1")


def test_it_is_in_progress_until_it_is_completed(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    first = begun(run)
    assert (first.status, first.epoch, first.finish_time) == (CheckpointState.IN_PROGRESS, 1, None)
    assert (first.backend, first.location, first.size_bytes) == ("filesystem", "s3://checkpoints/1", 0)
    assert list(store.checkpoints(run)) == [first]
    clock.advance(5)
    done = run.complete_checkpoint(first, state={"next": 10}, operators=OPERATORS)
    assert (done.id, done.epoch, done.status) == (first.id, 1, CheckpointState.COMPLETED)
    assert (done.state, done.operator_states, done.location) == ({"next": 10}, OPERATORS, "s3://checkpoints/1")
    assert done.size_bytes == 524288 + 8 + len('{"next":10}')
    assert (done.finish_us or 0) - done.start_us == 5_000_000
    assert store.checkpoint(run, done.id) == done


def test_it_stands_for_the_progress_of_the_moment_it_was_begun(store: JobStore) -> None:
    run = running(store, retry=AT_ONCE)
    point = begun(run)
    run.add_range("blocks", 10, 19, files=1)
    assert run.complete_checkpoint(point, state=10).progress["blocks"].current_block == 9
    run.fail("disk gone")
    again = claimed(store, store.get(run))
    assert again.restored is not None
    assert (again.restored.state, again.progress["blocks"].current_block) == (10, 9)


@pytest.mark.parametrize(("written", "outcome"), [(False, "checkpointed"), (True, "no_checkpoint")])
def test_a_stop_is_clean_only_if_nothing_was_written_since_it_was_begun(
    store: JobStore, written: bool, outcome: str
) -> None:
    run = running(store)
    store.stop(run)
    point = begun(run)
    if written:
        run.add_range("blocks", 10, 19)
    run.complete_checkpoint(point, state=10)
    assert row_of(run.finish_stop()).stop_outcome == outcome


def test_a_failed_one_is_kept_and_not_restored(store: JobStore) -> None:
    run = running(store, retry=AT_ONCE)
    run.checkpoint(state="good")
    failed = run.fail_checkpoint(begun(run), "bucket gone")
    assert (failed.status, failed.failure, failed.epoch) == (CheckpointState.FAILED, "bucket gone", 2)
    assert failed.finish_time is not None
    run.fail("disk gone")
    again = claimed(store, store.get(run))
    assert again.restored is not None
    assert again.restored.state == "good"


def _lost(store: JobStore, clock: ManualClock) -> None:
    clock.advance(LEASE)
    store.sweep()


ENDS: dict[str, Callable[[Run, JobStore, ManualClock], object]] = {
    "complete": lambda run, store, clock: run.complete(),
    "fail": lambda run, store, clock: run.fail("disk gone"),
    "fail for good": lambda run, store, clock: run.fail("disk gone", retryable=False),
    "release": lambda run, store, clock: run.release(),
    "finish_stop": lambda run, store, clock: (store.stop(run), run.finish_stop()),
    "force": lambda run, store, clock: store.stop(run, mode="force"),
    "operator": lambda run, store, clock: store.fail(run, "wrong cluster"),
    "lease": lambda run, store, clock: _lost(store, clock),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_is_in_progress_when_the_lease_ends_is_failed(store: JobStore, clock: ManualClock, end: str) -> None:
    run = running(store)
    kept, point = run.checkpoint(state="kept"), begun(run)
    clock.advance(1)
    ENDS[end](run, store, clock)
    lost = store.checkpoint(run, point)
    assert (lost.status, lost.failure) == (CheckpointState.FAILED, "its lease ended")
    assert lost.finish_us == clock.now()
    assert store.checkpoint(run, kept).status is CheckpointState.COMPLETED
    assert store.audit().ok


@pytest.mark.parametrize("verb", ["complete_checkpoint", "fail_checkpoint"])
def test_a_zombie_ends_no_checkpoint(store: JobStore, verb: str) -> None:
    run = running(store, retry=AT_ONCE)
    point = begun(run)
    run.release()
    before = everything(store)
    with pytest.raises(LeaseLost):
        getattr(run, verb)(point, "late")
    assert everything(store) == before
    again = claimed(store, store.get(run))
    with pytest.raises(InvalidRequest, match="another run"):
        getattr(again, verb)(point, "late")


def test_the_ends_may_be_repeated_and_exclude_each_other(store: JobStore) -> None:
    run = running(store)
    done, failed = run.complete_checkpoint(begun(run), state=1), run.fail_checkpoint(run.begin_checkpoint(), "gone")
    before = everything(store)
    assert run.complete_checkpoint(done, state=2) == done
    assert run.fail_checkpoint(failed, "other") == failed
    calls: list[Call] = [lambda: run.fail_checkpoint(done, "gone"), lambda: run.complete_checkpoint(failed)]
    for call in calls:
        with pytest.raises(InvalidRequest, match="begin another"):
            call()
    assert everything(store) == before


def test_the_newest_of_both_ends_are_kept(open_store: OpenStore) -> None:
    store = open_store(keep_checkpoints=2)
    run = running(store)
    for number in range(4):
        run.complete_checkpoint(run.begin_checkpoint(), state=number)
        run.fail_checkpoint(run.begin_checkpoint(), "gone")
    under_way = run.begin_checkpoint()
    kept = [(point.epoch, point.status.value) for point in store.checkpoints(run)]
    assert kept == [(9, "in_progress"), (8, "failed"), (7, "completed"), (6, "failed"), (5, "completed")]
    assert run.complete_checkpoint(under_way).epoch == 9


def test_a_restart_takes_only_what_was_completed(store: JobStore) -> None:
    run = running(store)
    point = begun(run)
    run.fail("disk gone", retryable=False)
    with pytest.raises(RestartNotAllowed, match="is failed, not completed"):
        store.restart(run, point)
    assert claimed(store, store.restart(run)).restored is None


def test_a_restart_copies_all_that_a_checkpoint_says(store: JobStore) -> None:
    run = running(store)
    done = run.complete_checkpoint(begun(run), state=1, operators=OPERATORS)
    run.fail("disk gone", retryable=False)
    (copied,) = store.checkpoints(store.restart(run))
    same = ("start_us", "finish_us", "size_bytes", "backend", "location", "operators_json", "state_json", "progress")
    assert [getattr(copied, name) for name in same] == [getattr(done, name) for name in same]


def test_a_checkpoint_that_is_not_there_is_not_found(store: JobStore) -> None:
    run, other = running(store), running(store)
    point = begun(other)
    calls: list[Call] = [
        lambda: store.checkpoint(run, point),
        lambda: store.checkpoint(run, "chk_99"),
        lambda: run.complete_checkpoint(point),
        lambda: run.fail_checkpoint(point, "gone"),
    ]
    for call in calls:
        with pytest.raises(CheckpointNotFound) as refused:
            call()
        assert refused.value.job_id == run.id


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("size_bytes", {"size_bytes": -1}),
        ("backend", {"backend": ""}),
        ("location", {"location": "a\nb"}),
        ("operators[0]", {"operators": ["source"]}),
        ("state", {"state": {1, 2}}),
    ],
)
def test_a_wrong_argument_is_refused_by_name(store: JobStore, field: str, given: dict[str, Any]) -> None:
    run = running(store)
    point = begun(run)
    before = everything(store)
    for call in (run.checkpoint, partial(run.complete_checkpoint, point)):
        with pytest.raises(InvalidRequest) as refused:
            call(**given)
        assert refused.value.field == field
    assert everything(store) == before


def test_a_checkpoint_that_takes_long_does_not_hold_back_shorter_ones(store: JobStore) -> None:
    run = running(store, retry=AT_ONCE)
    long = begun(run)
    run.add_range("blocks", 10, 19)
    run.checkpoint(state="short")
    run.complete_checkpoint(long, state="long")
    run.release()
    again = claimed(store, store.get(run))
    assert again.restored is not None
    assert again.restored.state == "short"
