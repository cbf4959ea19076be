"""Output rows of operators: a bounded sample for each operator, and the bound is visible."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from jobstate import InvalidRequest, JobNotFound, JobStore, Run
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, claimed, running, submitted
from jobstate.worker.entry_buffer import MAX_OUTPUT_WAITING


def test_rows_come_in_the_order_of_their_emission(store: JobStore, clock: ManualClock) -> None:
    run = claimed(store, submitted(store), lease=3600)
    for number in range(6):
        run.emit(f"sink_{number % 2}", {"id": number, "message": "Täst", "value": 99.99})
        clock.advance(1)
    run.flush()
    page = store.output(run)
    assert [row.record["id"] for row in page] == [0, 1, 2, 3, 4, 5]
    assert page.rows[0].time == datetime(2024, 1, 1, tzinfo=UTC)
    assert (page.total, page.retained, page.has_more) == (6, 6, False)
    one = store.output(run, operator_id="sink_1")
    assert ([row.record["id"] for row in one], one.total, one.retained) == ([1, 3, 5], 3, 3)
    part = store.output(run, limit=2, offset=3)
    assert ([row.record["id"] for row in part], part.has_more) == ([3, 4], True)
    assert store.output(run, operator_id="nobody").rows == []


@pytest.mark.parametrize("record", [None, 1, "text", [1, {"a": None}], {}, {"ü": "x" * 60_000}])
def test_any_json_may_be_a_row(store: JobStore, record: Any) -> None:
    run = running(store)
    run.emit("sink", record)
    run.flush()
    (row,) = store.output(run)
    assert row.record == record


def test_a_row_that_is_too_large_keeps_its_beginning(store: JobStore) -> None:
    run = running(store)
    run.emit("sink", {"text": "x" * 70_000})
    run.flush()
    (row,) = store.output(run)
    assert row.record["size_bytes"] == 70_011
    assert row.record["truncated"].startswith('{"text":"xxx')
    assert len(row.record["truncated"]) == 1_000


@pytest.mark.parametrize(
    ("operator", "record", "field"),
    [("", 1, "operator_id"), ("a\nb", 1, "operator_id"), ("a", {1, 2}, "record"), ("a", {"n": float("nan")}, "record")],
)
def test_what_is_no_row_is_refused(store: JobStore, operator: str, record: Any, field: str) -> None:
    run = running(store)
    with pytest.raises(InvalidRequest) as refused:
        run.emit(operator, record)
    assert refused.value.field.startswith(field)
    run.flush()
    assert store.output(run).total == 0


def test_the_newest_rows_of_each_operator_are_kept_and_all_are_counted(
    open_store: OpenStore, clock: ManualClock
) -> None:
    store = open_store(keep_output=20)
    run = claimed(store, submitted(store, retry=AT_ONCE), lease=3600)
    run.emit("rare", "kept")
    clock.advance(1)
    for number in range(100):
        run.emit("busy", number)
        if number % 9 == 0:
            run.flush()
    run.release()
    run = claimed(store, store.get(run.id))
    run.emit("busy", 100)
    run.flush()
    busy = store.output(run, operator_id="busy", limit=100)
    assert busy.total == 101
    assert 20 <= busy.retained <= 22
    assert [row.record for row in busy] == list(range(101 - busy.retained, 101))
    everything = store.output(run, limit=100)
    assert (everything.total, everything.retained) == (102, busy.retained + 1)
    assert everything.rows[0].record == "kept"


@pytest.mark.parametrize("wanted", [{"limit": 0}, {"limit": 1001}, {"offset": -1}, {"operator_id": ""}])
def test_a_wrong_filter_is_named(store: JobStore, wanted: dict[str, Any]) -> None:
    job = submitted(store)
    with pytest.raises(InvalidRequest, match=next(iter(wanted))):
        store.output(job, **wanted)


def test_the_output_of_an_unknown_job_is_refused(store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        store.output(1)


def test_a_caller_that_changes_a_row_afterwards_changes_nothing(store: JobStore) -> None:
    run = running(store)
    record = {"list": [1]}
    run.emit("sink", record)
    record["list"].append(2)
    run.flush()
    (row,) = store.output(run)
    assert row.record == {"list": [1]}


def test_the_number_of_operators_that_show_rows_is_bounded(store: JobStore) -> None:
    run = running(store)
    for number in range(1_000):
        run.emit(f"operator-{number}", number)
    with pytest.raises(InvalidRequest, match="operator_id"):
        run.emit("one more", 1)
    run.emit("operator-7", "again")
    run.flush()
    assert store.output(run, operator_id="one more").total == 0
    assert store.output(run, operator_id="operator-7").total >= 1


def test_rows_that_came_too_fast_to_be_written_are_counted_too(store: JobStore) -> None:
    run = running(store)
    emitted = MAX_OUTPUT_WAITING + 500
    for number in range(emitted):
        run.emit("busy" if number % 4 else "other", number)
    run.flush()
    assert store.output(run).total == emitted
    other = store.output(run, operator_id="other")
    assert (other.total, other.retained) == (emitted // 4, MAX_OUTPUT_WAITING // 4)
    assert store.output(run, operator_id="busy", limit=1000).rows[-1].record == emitted - 1


@pytest.mark.parametrize("kept_before", [False, True])
def test_what_is_lost_counts_also_when_its_transaction_is_undone(store: JobStore, kept_before: bool) -> None:
    run = running(store)
    if kept_before:
        with store.batch():  # what it lost is there for good
            _emit_more_than_fits(run)
            run.flush()
    with pytest.raises(ZeroDivisionError), store.batch():
        _emit_more_than_fits(run)
        run.flush()
        raise ZeroDivisionError
    _emit_more_than_fits(run)
    run.flush()
    times = 3 if kept_before else 2
    assert store.output(run).total == times * (MAX_OUTPUT_WAITING + 4)
    assert store.output(run, operator_id="sink_1").total == times * (MAX_OUTPUT_WAITING // 2 + 2)


def _emit_more_than_fits(run: Run) -> None:
    for number in range(MAX_OUTPUT_WAITING + 4):
        run.emit(f"sink_{number % 2}", number)
