"""Progress: absolute numbers and contiguous ranges, written under the lease."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from jobstate import InvalidRequest, JobStore, LeaseLost
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import AT_ONCE, claimed, everything, running, submitted


def numbers(store: JobStore, job_id: int, table: str = "blocks") -> tuple[int, int, int | None, int | None]:
    progress = store.progress(job_id)[table]
    return progress.files_count, progress.total_size_bytes, progress.start_block, progress.current_block


def test_there_is_no_progress_before_any_was_written(store: JobStore) -> None:
    run = running(store)
    assert store.progress(run) == run.progress == {}


def test_progress_is_gathered_and_written_by_a_flush(store: JobStore) -> None:
    run = running(store)
    run.add_range("blocks", 0, 9, files=1, size_bytes=100)
    assert store.progress(run) == {}
    assert run.progress["blocks"].current_block == 9
    run.flush()
    assert store.progress(run) == run.progress
    assert numbers(store, run.id) == (1, 100, 0, 9)


def test_what_lies_behind_a_gap_does_not_count(store: JobStore) -> None:
    run = running(store)
    expected = [((0, 9), 9), ((20, 29), 9), ((15, 19), 9), ((11, 14), 9), ((10, 10), 29), ((5, 12), 29)]
    for (first, last), current in expected:
        run.add_range("blocks", first, last, files=1)
        run.flush()
        assert numbers(store, run.id)[2:] == (0, current)
    assert numbers(store, run.id)[0] == 6


def test_ranges_may_come_in_any_order_and_from_the_front(store: JobStore) -> None:
    run = running(store)
    for first, last, start, current in ((50, 59, 50, 59), (30, 39, 30, 39), (40, 49, 30, 59), (10, 19, 10, 19)):
        run.add_range("blocks", first, last)
        run.flush()
        assert numbers(store, run.id)[2:] == (start, current)


def test_each_table_has_progress_of_its_own_and_they_come_by_name(store: JobStore) -> None:
    run = running(store)
    run.add_range("logs", 5, 6)
    run.add_range("blocks", 0, 1, files=2)
    run.add_files("receipts", files=3, size_bytes=30)
    run.flush()
    assert list(store.progress(run)) == ["blocks", "logs", "receipts"]
    assert numbers(store, run.id, "logs") == (0, 0, 5, 6)
    assert numbers(store, run.id, "receipts") == (3, 30, None, None)


def test_absolute_numbers_replace_what_was_there(store: JobStore) -> None:
    run = running(store)
    run.set_progress("blocks", files_count=5, total_size_bytes=50, start_block=10, current_block=19)
    run.flush()
    assert numbers(store, run.id) == (5, 50, 10, 19)
    run.set_progress("blocks", current_block=29)
    run.set_progress("blocks", files_count=6)
    run.flush()
    assert numbers(store, run.id) == (6, 50, 10, 29)
    run.add_range("blocks", 30, 30, files=1, size_bytes=1)
    run.flush()
    assert numbers(store, run.id) == (7, 51, 10, 30)


def test_the_largest_numbers_are_kept_exactly(store: JobStore) -> None:
    run = running(store)
    most = 2**63 - 1
    run.set_progress("blocks", files_count=most, total_size_bytes=most, start_block=0, current_block=most)
    run.flush()
    assert numbers(store, run.id) == (most, most, 0, most)
    with pytest.raises(InvalidRequest):
        run.add_files("blocks", files=1)
    assert run.progress["blocks"].files_count == most


@pytest.mark.parametrize("end", ["complete", "fail", "release", "finish_stop", "begin_stop", "checkpoint"])
def test_gathered_progress_is_written_before_every_change_of_state(store: JobStore, end: str) -> None:
    """Progress that is kept only when an attempt fails is lost by a kill, and by a success."""
    run = running(store)
    if end.endswith("_stop"):
        store.stop(run)
    run.add_range("blocks", 0, 9, files=1)
    if end == "fail":
        run.fail("disk gone")
    else:
        getattr(run, end)()
    assert numbers(store, run.id) == (1, 0, 0, 9)


def test_many_runs_that_are_completed_at_once_write_their_progress(store: JobStore) -> None:
    store.submit_many([{"kind": "a"}, {"kind": "a"}])
    runs = store.claim("worker-01", limit=2)
    for run in runs:
        run.add_range("blocks", 0, run.id)
    assert list(store.complete_many(runs)) == []
    assert [numbers(store, run.id)[3] for run in runs] == [run.id for run in runs]


def test_progress_outlives_the_end_of_the_job(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    run.add_range("blocks", 0, 9)
    run.flush()
    clock.advance(10_000)
    store.sweep()
    store.stop(run)
    assert store.get(run).is_terminal
    assert numbers(store, run.id) == (0, 0, 0, 9)


def test_a_stale_run_writes_no_progress_and_keeps_what_it_gathered(store: JobStore, clock: ManualClock) -> None:
    job = submitted(store, retry=AT_ONCE)
    zombie = claimed(store, job)
    clock.advance(30)
    run = claimed(store, job, "worker-02")
    run.add_range("blocks", 0, 4)
    run.flush()
    before = everything(store)
    zombie.add_range("blocks", 0, 99, files=99)
    for _ in range(2):
        with pytest.raises(LeaseLost):
            zombie.flush()
    assert zombie.progress["blocks"].current_block == 99
    assert everything(store) == before


def test_a_flush_of_nothing_asks_nobody(store: JobStore) -> None:
    run = running(store)
    store.stop(run, mode="force")
    run.flush()
    assert store.progress(run) == {}


BAD_REPORTS: list[tuple[Callable[[Any], None], str]] = [
    (lambda run: run.add_range("blocks", 5, 4), "last"),
    (lambda run: run.add_range("blocks", -1, 4), "first"),
    (lambda run: run.add_range("blocks", 0, 2**63), "last"),
    (lambda run: run.add_range("blocks", 0, 1.5), "last"),
    (lambda run: run.add_range("blocks", 0, 1, files=-1), "files"),
    (lambda run: run.add_range("blocks", 0, 1, size_bytes="1"), "size_bytes"),
    (lambda run: run.add_range("", 0, 1), "table"),
    (lambda run: run.add_range("a\nb", 0, 1), "table"),
    (lambda run: run.add_files("blocks", files=True), "files"),
    (lambda run: run.set_progress("blocks", files_count=-1), "files_count"),
    (lambda run: run.set_progress("blocks", total_size_bytes=1.5), "total_size_bytes"),
    (lambda run: run.set_progress("blocks", start_block=9, current_block=8), "current_block"),
    (lambda run: run.set_progress(7, files_count=1), "table"),
]


def test_a_bad_number_is_named_and_nothing_of_it_is_kept(store: JobStore) -> None:
    run = running(store)
    for report, field in BAD_REPORTS:
        with pytest.raises(InvalidRequest) as refused:
            report(run)
        assert refused.value.field == field
    run.flush()
    assert store.progress(run) == run.progress == {}


def test_several_threads_may_report_the_progress_of_one_run(store: JobStore) -> None:
    run = running(store)

    def report(lane: int) -> None:
        for number in range(100):
            run.add_range("blocks", number * 4 + lane, number * 4 + lane, files=1, size_bytes=2)

    threads = [threading.Thread(target=report, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.complete()
    assert numbers(store, run.id) == (400, 800, 0, 399)
