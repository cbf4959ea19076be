"""Metrics of operators: totals, groups, throughput and latency over all runs of a job; redone work counts once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from jobstate import (
    Counters,
    InvalidRequest,
    JobMetrics,
    JobNotFound,
    JobStore,
    LeaseLost,
    OperatorKind,
    OperatorNotFound,
    Run,
)
from jobstate.domain.metrics import THROUGHPUT_WINDOW_US, MetricGroup
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, LEASE, claimed, running, submitted
from jobstate.wire.telemetry import groups_document, metrics_document, operator_document

HOUR = 3600.0


class SetBack(ManualClock):
    """A clock that can be set back."""

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back; monotonic time continues."""
        with self._lock:
            self._now -= round(seconds * 1_000_000)


def reported(run: Run, store: JobStore) -> JobMetrics:
    run.flush()
    return store.metrics(run)


def test_a_job_that_counted_nothing_has_nothing(store: JobStore) -> None:
    metrics = store.metrics(submitted(store))
    assert (metrics.operators, metrics.totals, metrics.latency) == ((), Counters(), None)
    assert (metrics.throughput, metrics.backpressure) == (0.0, 0.0)
    assert metrics.group(OperatorKind.SOURCE) == MetricGroup(0, 0.0, ())


def test_the_metrics_of_an_unknown_job_are_refused(store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        store.metrics(1)


def test_counters_add_up_by_operator_and_subtask(store: JobStore) -> None:
    run = running(store)
    for subtask in range(4):
        run.metrics("source_1", kind="source", name="KafkaSource", subtask=subtask, records_in=10, bytes_in=100)
        run.metrics("source_1", subtask=subtask, records_in=subtask, records_out=5)
    (source,) = reported(run, store).operators
    assert (source.operator_id, source.name, source.kind) == ("source_1", "KafkaSource", OperatorKind.SOURCE)
    assert source.counters == Counters(records_in=46, records_out=20, bytes_in=400)
    assert [subtask.index for subtask in source.subtasks] == [0, 1, 2, 3]
    assert [subtask.counters.records_in for subtask in source.subtasks] == [10, 11, 12, 13]


def test_a_job_reads_what_its_sources_read_and_writes_what_its_sinks_wrote(store: JobStore) -> None:
    run = running(store)
    run.metrics("in_1", kind="source", records_in=60, records_out=60, bytes_in=600, errors=1)
    run.metrics("in_2", kind="source", records_in=40, records_out=40, bytes_in=400)
    run.metrics("filter", kind="transform", records_in=100, records_out=95, warnings=2)
    run.metrics("map", kind="transform", records_in=95, records_out=90)
    run.metrics("out", kind="sink", records_in=90, records_out=80, bytes_out=800, errors=3, backpressure=0.25)
    metrics = reported(run, store)
    assert metrics.totals == Counters(100, 80, 1000, 800, 4, 2)
    assert metrics.backpressure == 0.25
    assert [operator.operator_id for operator in metrics.operators] == ["in_1", "in_2", "filter", "map", "out"]
    groups = [metrics.group(kind) for kind in OperatorKind]
    assert [(group.total_records, group.operators) for group in groups] == [
        (100, ("in_1", "in_2")),
        (95, ("filter", "map")),
        (80, ("out",)),
    ]


def test_a_job_that_is_no_pipeline_has_totals_all_the_same(store: JobStore) -> None:
    run = running(store)
    run.metrics("copy", records_in=7, records_out=6)
    run.metrics("check", records_in=6, errors=1)
    run.metrics("tell", errors=1)
    assert reported(run, store).totals == Counters(7, 6, errors=2)


def test_kind_and_name_are_the_newest_for_every_subtask(store: JobStore) -> None:
    run = running(store)
    run.metrics("a", subtask=0, records_in=1)
    run.flush()
    run.metrics("a", subtask=1, kind="sink", name="Files", records_out=1)
    (operator,) = reported(run, store).operators
    assert (operator.kind, operator.name) == (OperatorKind.SINK, "Files")
    assert {(subtask.kind, subtask.name) for subtask in operator.subtasks} == {(OperatorKind.SINK, "Files")}


def test_throughput_is_that_of_the_last_reports(store: JobStore, clock: ManualClock) -> None:
    run = claimed(store, submitted(store), lease=HOUR)
    clock.advance(100)
    run.metrics("in", kind="source", records_in=1_000_000)
    run.metrics("out", kind="sink", records_out=950_000)
    metrics = reported(run, store)
    assert metrics.throughput == 10_000
    assert metrics.group(OperatorKind.SINK).throughput == 9_500
    for _ in range(60):
        clock.advance(2)
        run.metrics("in", records_in=100)
        run.flush()
    assert store.metrics(run).throughput == pytest.approx(50)


def test_a_running_job_that_reports_no_more_stands_still_and_one_that_ended_keeps_its_last_speed(
    store: JobStore, clock: ManualClock
) -> None:
    run = claimed(store, submitted(store), lease=HOUR)
    clock.advance(10)
    run.metrics("in", kind="source", records_in=100)
    assert reported(run, store).throughput == 10
    clock.advance(THROUGHPUT_WINDOW_US / 1_000_000)
    still = store.metrics(run)
    assert still.throughput == 0
    assert metrics_document(still)["throughput"] == 0
    assert operator_document(still.operators[0])["metrics"]["throughput"] == 0
    assert groups_document(still)["sources"]["throughput"] == 0
    run.complete()
    assert store.metrics(run).throughput == 10


def test_samples_stay_few_however_often_a_job_reports(store: JobStore, clock: ManualClock) -> None:
    run = claimed(store, submitted(store), lease=HOUR)
    for _ in range(500):
        clock.advance(0.5)
        run.metrics("in", kind="source", records_in=10)
        run.flush()
    (operator,) = store.metrics(run).operators
    assert len(operator.subtasks[0].samples) <= 15
    assert operator.throughput == pytest.approx(20)


def test_idle_time_is_a_part_of_the_time_that_was_observed(store: JobStore, clock: ManualClock) -> None:
    run = claimed(store, submitted(store, max_attempts=5, retry=AT_ONCE), lease=HOUR)
    clock.advance(50)
    for subtask in range(2):
        run.metrics("in", kind="source", subtask=subtask, idle=timedelta(seconds=2.6))
    assert reported(run, store).operators[0].idle_percent == pytest.approx(5.2)
    run.checkpoint()
    run.release()
    clock.advance(1000)  # without a run
    run = claimed(store, submitted(store) and store.get(run.id), lease=HOUR)
    clock.advance(50)
    run.metrics("in", subtask=0, idle=7.8)
    assert reported(run, store).operators[0].idle_percent == pytest.approx(100 * 13 / 150)


def test_a_clock_that_is_set_back_costs_neither_throughput_nor_observed_time(open_store: OpenStore) -> None:
    clock = SetBack()
    store = open_store(clock=clock)
    run = claimed(store, submitted(store), lease=HOUR)

    def work(seconds: int) -> JobMetrics:
        for _ in range(seconds):
            clock.advance(1)
            run.metrics("in", kind="source", records_in=1000, idle=0.25)
            run.flush()
        return store.metrics(run)

    assert work(10).throughput == pytest.approx(1000)
    clock.set_back(HOUR)
    metrics = work(10)  # the length of the second in which it was set back is unknown
    (operator,) = metrics.operators
    assert metrics.throughput == pytest.approx(1000, rel=0.06)
    assert operator.subtasks[0].observed_us == pytest.approx(20_000_000, abs=1_000_000)
    assert operator.idle_percent == pytest.approx(25, rel=0.1)


def test_latencies_of_subtasks_and_operators_are_put_together(store: JobStore) -> None:
    run = running(store)
    for subtask in range(4):
        run.metrics("in", kind="source", subtask=subtask, latency_ms=[1 + subtask + 4 * step for step in range(250)])
    run.metrics("out", kind="sink", latency_ms=5_000)
    metrics = reported(run, store)
    source, sink = metrics.operators
    assert source.latency == pytest.approx((500, 950, 990), rel=0.02)
    assert sink.latency == pytest.approx((5_000, 5_000, 5_000), rel=0.01)
    assert metrics.latency == pytest.approx((500, 950, 990), rel=0.02)


@pytest.mark.parametrize("end", ["lose", "fail", "release"])
def test_redone_work_does_not_count_twice(store: JobStore, clock: ManualClock, end: str) -> None:
    run = running(store, max_attempts=5, retry=AT_ONCE)
    run.metrics("in", kind="source", name="Files", records_in=100, latency_ms=[10] * 100, idle=1, backpressure=0.5)
    run.checkpoint()
    kept = store.metrics(run).operators[0]
    run.metrics("in", records_in=50, latency_ms=[1000] * 900)  # to be done again
    run.metrics("late", records_in=1)
    run.flush()
    assert store.metrics(run).totals.records_in == 150
    if end == "lose":
        clock.advance(LEASE)
        store.sweep()
    elif end == "fail":
        run.fail("disk gone")
    else:
        run.release()
    run = claimed(store, store.get(run.id))
    (operator,) = store.metrics(run).operators
    assert (operator.name, operator.kind, operator.counters) == ("Files", kept.kind, kept.counters)
    assert operator.latency == kept.latency
    assert operator.subtasks[0].idle_us == 1_000_000
    assert (operator.backpressure, operator.throughput) == (0, 0)  # of the moment, which has passed
    run.metrics("in", records_in=50, latency_ms=[1000] * 900)
    metrics = reported(run, store)
    assert metrics.totals.records_in == 150
    assert metrics.latency is not None
    assert metrics.latency.p50 == pytest.approx(1000, rel=0.01)


def test_a_run_without_a_checkpoint_counts_from_nothing(store: JobStore) -> None:
    run = running(store, max_attempts=5, retry=AT_ONCE)
    run.metrics("in", records_in=100)
    run.fail("disk gone")
    assert store.metrics(run).totals.records_in == 100
    run = claimed(store, store.get(run.id))
    assert store.metrics(run).operators == ()


def test_a_restart_goes_on_from_the_counters_of_its_checkpoint(store: JobStore) -> None:
    run = running(store)
    run.metrics("in", kind="source", records_in=100)
    run.checkpoint()
    run.metrics("in", records_in=11)
    run.fail("disk gone", retryable=False)
    again = store.restart(run)
    assert store.metrics(again).operators == ()  # it has no run yet
    new = claimed(store, again)
    new.metrics("in", records_in=1)
    assert reported(new, store).totals.records_in == 101
    assert store.metrics(run).totals.records_in == 111


def test_counters_are_written_before_a_job_ends_and_never_after(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    run.metrics("in", records_in=1)
    run.complete()
    assert store.metrics(run).totals.records_in == 1
    lost = running(store)
    clock.advance(LEASE)
    store.sweep()
    lost.metrics("in", records_in=1)
    with pytest.raises(LeaseLost):
        lost.flush()
    assert store.metrics(lost).operators == ()


def test_what_was_counted_in_a_transaction_that_was_undone_is_written_again(store: JobStore) -> None:
    run = running(store)
    with pytest.raises(ZeroDivisionError), store.batch():
        run.metrics("in", records_in=1)
        run.flush()
        raise ZeroDivisionError
    assert store.metrics(run).operators == ()
    run.metrics("in", records_in=1)
    assert reported(run, store).totals.records_in == 2


def test_counting_after_a_checkpoint_makes_a_stop_unclean(store: JobStore) -> None:
    outcomes = []
    for counts_after in (False, True):
        run = running(store)
        run.metrics("in", records_in=1)
        run.checkpoint()
        if counts_after:
            run.metrics("in", records_in=1)
        run.log.info("ending")
        run.emit("in", {"last": True})
        store.stop(run)
        stop = run.finish_stop().stop
        assert stop is not None
        outcomes.append(stop.outcome)
    assert outcomes == ["checkpointed", "no_checkpoint"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "spring"),
        ("name", ""),
        ("subtask", -1),
        ("subtask", True),
        ("subtask", 10_000),
        ("records_in", -1),
        ("records_out", 1.5),
        ("bytes_in", None),
        ("bytes_out", 2**63),
        ("errors", "1"),
        ("backpressure", 1.01),
        ("backpressure", float("nan")),
        ("idle", -1),
        ("latency_ms", -0.1),
        ("latency_ms", [1, float("inf")]),
        ("latency_ms", ["1"]),
        ("operator_id", ""),
    ],
)
def test_a_wrong_number_is_named_and_nothing_is_counted(store: JobStore, field: str, value: Any) -> None:
    run = running(store)
    arguments: dict[str, Any] = {"operator_id": "in", "records_in": 5, field: value}
    with pytest.raises(InvalidRequest) as refused:
        run.metrics(**arguments)
    assert refused.value.field == field
    assert reported(run, store).operators == ()


def test_a_counter_that_would_overflow_is_refused_and_stays(store: JobStore) -> None:
    run = running(store)
    run.metrics("in", records_in=2**63 - 1, records_out=1)
    with pytest.raises(InvalidRequest, match="records_in"):
        run.metrics("in", records_out=1, records_in=1)
    assert reported(run, store).operators[0].counters == Counters(2**63 - 1, 1)


def test_idle_time_that_would_overflow_is_refused_and_the_worker_lives_on(store: JobStore) -> None:
    run = running(store)
    with pytest.raises(InvalidRequest, match="idle"):
        for _ in range(10):
            run.metrics("in", idle=timedelta.max)
    run.flush()
    assert store.metrics(run).operators[0].subtasks[0].idle_us <= 2**63 - 1


def test_the_number_of_operators_is_bounded(store: JobStore) -> None:
    run = running(store)
    for number in range(1_000):
        run.metrics(f"operator-{number}", records_in=1)
    with pytest.raises(InvalidRequest, match="operator_id"):
        run.metrics("one more", records_in=1)
    assert len(reported(run, store).operators) == 1_000


def test_metrics_go_with_their_job(store: JobStore) -> None:
    run = running(store)
    run.metrics("in", records_in=1)
    run.log.info("done")
    run.emit("in", 1)
    run.complete()
    store.delete(run)
    assert store.audit().ok
    with pytest.raises(JobNotFound):
        store.metrics(run)


def test_one_operator_is_that_of_the_job(store: JobStore) -> None:
    run = running(store)
    run.metrics("in", kind="source", records_in=3)
    run.metrics("out", kind="sink", records_out=2)
    assert reported(run, store).operators[1] == store.operator_metrics(run, "out")


def test_an_operator_that_counted_nothing_is_refused_by_name(store: JobStore) -> None:
    job = submitted(store)
    with pytest.raises(OperatorNotFound, match="'out'") as refused:
        store.operator_metrics(job, "out")
    assert (refused.value.job_id, refused.value.operator_id) == (job.id, "out")
    with pytest.raises(JobNotFound):
        store.operator_metrics(99, "out")
