"""Checkpoints: what a run restarts from, with the progress of that moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobstate import CheckpointState, InvalidRequest, JobStore, LeaseLost
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, LEASE, claimed, everything, running, submitted


def test_a_checkpoint_holds_the_state_and_the_progress_of_its_moment(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    run.add_range("blocks", 0, 9, files=1, size_bytes=100)
    clock.advance(5)
    checkpoint = run.checkpoint(state={"next": 10, "name": "ü"})
    assert checkpoint.id.startswith("chk_")
    assert (checkpoint.job_id, checkpoint.epoch, checkpoint.token) == (run.id, 1, run.token)
    assert checkpoint.status is CheckpointState.COMPLETED
    assert checkpoint.state == {"next": 10, "name": "ü"}
    assert checkpoint.size_bytes == len('{"next":10,"name":"ü"}'.encode())
    assert checkpoint.progress == run.progress == store.progress(run)
    assert checkpoint.finish_time == datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=5)
    assert list(store.checkpoints(run)) == [checkpoint]


def test_a_checkpoint_may_hold_no_state(store: JobStore) -> None:
    checkpoint = running(store).checkpoint()
    assert (checkpoint.state, checkpoint.size_bytes, checkpoint.progress) == (None, 0, {})


def test_any_json_may_be_the_state(store: JobStore) -> None:
    states: list[Any] = [0, False, "", [], {}, [1, [2, None]], "text", 1.5]
    run = running(store)
    for state in states:
        run.checkpoint(state=state)
        run.release()
        (run,) = store.claim("worker-01")
        assert run.restored is not None
        assert run.restored.state == state
        assert type(run.restored.state) is type(state)


def test_a_snapshot_of_a_checkpoint_cannot_be_changed_by_who_holds_it(store: JobStore) -> None:
    state = {"list": [1]}
    run = running(store)
    checkpoint = run.checkpoint(state=state)
    state["list"].append(2)
    checkpoint.state["list"] = "changed"
    assert checkpoint.state == {"list": [1]}
    assert list(store.checkpoints(run)) == [checkpoint]


def test_the_next_run_starts_from_the_newest_checkpoint_so_that_redone_work_counts_once(
    store: JobStore, clock: ManualClock
) -> None:
    """Counters of redone work were added twice after a recovery; progress was kept only when an attempt failed."""
    job = submitted(store, retry=AT_ONCE, max_attempts=10)
    for end in ("release", "fail", "lose"):
        run = claimed(store, job)
        start = 0 if run.restored is None else run.restored.state
        assert isinstance(start, int)
        run.add_range("blocks", start, start + 9, files=1, size_bytes=10)
        run.checkpoint(state=start + 10)
        run.add_range("blocks", start + 10, start + 14, files=1, size_bytes=10)  # to be done again
        run.flush()
        assert store.progress(job)["blocks"].current_block == start + 14
        if end == "release":
            run.release()
        elif end == "fail":
            run.fail("disk gone")
        else:
            clock.advance(LEASE)
            store.sweep()
    last = claimed(store, job)
    assert last.restored is not None
    assert last.restored.state == 30
    for progress in (last.progress, store.progress(job), last.restored.progress):
        blocks = progress["blocks"]
        assert (blocks.files_count, blocks.total_size_bytes, blocks.current_block) == (3, 30, 29)


def test_a_run_without_a_checkpoint_starts_from_nothing(store: JobStore) -> None:
    job = submitted(store)
    run = claimed(store, job)
    run.add_range("blocks", 0, 9, files=1)
    run.release()
    assert store.progress(job)["blocks"].files_count == 1
    again = claimed(store, job)
    assert again.restored is None
    assert again.progress == store.progress(job) == {}


def test_a_table_begun_after_the_checkpoint_is_not_in_the_next_run(store: JobStore) -> None:
    job = submitted(store)
    run = claimed(store, job)
    run.add_range("blocks", 0, 9)
    run.checkpoint()
    run.add_range("logs", 0, 9)
    run.release()
    assert list(claimed(store, job).progress) == ["blocks"]


def test_a_restored_run_goes_on_counting_from_the_checkpoint(store: JobStore) -> None:
    job = submitted(store)
    run = claimed(store, job)
    run.add_range("blocks", 0, 9, files=1)
    run.checkpoint()
    run.release()
    again = claimed(store, job)
    again.add_range("blocks", 10, 19, files=1)
    checkpoint = again.checkpoint()
    assert checkpoint.progress["blocks"].current_block == 19
    assert checkpoint.progress["blocks"].files_count == 2
    again.complete()
    assert store.progress(job) == checkpoint.progress


def test_epochs_grow_through_all_runs_and_the_newest_comes_first(store: JobStore) -> None:
    job = submitted(store, max_attempts=9, retry=AT_ONCE)
    for number in range(6):
        run = claimed(store, job)
        run.checkpoint(state=number)
        run.release()
    found = store.checkpoints(job)
    assert [checkpoint.epoch for checkpoint in found] == [6, 5, 4, 3, 2, 1]
    assert [checkpoint.state for checkpoint in found] == [5, 4, 3, 2, 1, 0]
    assert len({checkpoint.id for checkpoint in found}) == 6
    assert list(store.checkpoints(job, limit=2)) == list(found[:2])


def test_the_newest_ten_checkpoints_are_kept(store: JobStore) -> None:
    """A checkpoint that a later run needs must never be collected; old ones must be."""
    run = running(store)
    for number in range(14):
        run.checkpoint(state=number)
    found = store.checkpoints(run)
    assert [checkpoint.epoch for checkpoint in found] == list(range(14, 4, -1))
    run.release()
    (again,) = store.claim("worker-01")
    assert again.restored == found[0]
    assert again.checkpoint().epoch == 15


def test_how_many_checkpoints_are_kept_is_an_option(open_store: OpenStore) -> None:
    store = open_store(keep_checkpoints=1)
    run = running(store)
    for number in range(3):
        run.checkpoint(state=number)
    assert [checkpoint.state for checkpoint in store.checkpoints(run)] == [2]


def test_checkpoints_of_one_job_do_not_touch_those_of_another(open_store: OpenStore) -> None:
    store = open_store(keep_checkpoints=2)
    one, other = running(store), running(store)
    other.checkpoint(state="other")
    for number in range(5):
        one.checkpoint(state=number)
    assert [checkpoint.state for checkpoint in store.checkpoints(other)] == ["other"]
    assert [checkpoint.epoch for checkpoint in store.checkpoints(one)] == [5, 4]


def test_a_checkpoint_may_be_written_while_stopping(store: JobStore) -> None:
    job = submitted(store)
    run = claimed(store, job)
    store.stop(run)
    run.begin_stop()
    run.checkpoint(state="last")
    run.finish_stop()
    assert [checkpoint.state for checkpoint in store.checkpoints(job)] == ["last"]


def test_a_stale_run_writes_no_checkpoint(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=AT_ONCE)
    zombie = claimed(store, job)
    zombie.checkpoint(state="good")
    clock.advance(LEASE)
    run = claimed(store, job, "worker-02")
    before = everything(store)
    with pytest.raises(LeaseLost):
        zombie.checkpoint(state="late")
    assert everything(store) == before
    assert run.restored is not None
    assert run.restored.state == "good"


def test_a_state_that_json_cannot_hold_is_refused_and_nothing_is_written(store: JobStore) -> None:
    states: list[Any] = [float("nan"), {1: "x"}, {"a": {1, 2}}, "\ud800", "a\0b", object()]
    run = running(store)
    run.add_range("blocks", 0, 9)
    before = everything(store)
    for state in states:
        with pytest.raises(InvalidRequest) as refused:
            run.checkpoint(state=state)
        assert refused.value.field.startswith("state")
        assert everything(store) == before
    run.flush()
    assert store.progress(run)["blocks"].current_block == 9


def test_a_state_may_be_as_large_as_the_limit_and_no_larger(open_store: OpenStore) -> None:
    store = open_store(descriptor_limit=100)
    run = running(store)
    assert run.checkpoint(state="x" * 98).size_bytes == 100
    with pytest.raises(InvalidRequest) as refused:
        run.checkpoint(state="x" * 99)
    assert refused.value.field == "state"
    assert len(store.checkpoints(run)) == 1
