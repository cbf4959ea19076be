"""Histograms put together are the histogram of everything; counters do not care how they were split or stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobstate.domain.checkpoints import Checkpoint, CheckpointState, snapshot_to_json
from jobstate.domain.latency import ACCURACY, Histogram, MergedHistograms, quantiles
from jobstate.domain.metrics import (
    THROUGHPUT_WINDOW_US,
    Counters,
    OperatorKind,
    Sample,
    SubtaskMetrics,
    job_metrics,
    thinned,
)
from jobstate.domain.progress import MAX_COUNT
from tests.property.walking import law

SECOND = 1_000_000
NOW = 1_700_000_000 * SECOND
PARTS = (0.0, 0.01, 0.5, 0.95, 0.99, 1.0)
MOST_BUCKETS = 2048
DDSKETCH: list[dict[str, Any]] = json.loads(Path(__file__).with_name("ddsketch_histograms.json").read_text())
"""Histograms that ddsketch 3.0.1 stored: after some latencies, and read back and extended by more, with quantiles."""
MOST_SAMPLES = 14
"""One for each twelfth of the window, the newest, and the one before the window."""

milliseconds = st.floats(1e-3, 1e9) | st.just(0.0) | st.integers(1, 1000)
latencies = st.lists(milliseconds, min_size=1, max_size=60)
groups = st.lists(st.lists(milliseconds, max_size=20), min_size=1, max_size=8)
counters = st.builds(Counters, *[st.integers(0, MAX_COUNT // 100)] * len(Counters._fields))
parts = st.sampled_from(PARTS) | st.floats(0, 1)
gaps = st.lists(st.tuples(st.integers(0, 20 * SECOND), st.integers(1, 60)), max_size=4).map(
    lambda steady: [wait for wait, times in steady for _ in range(times)]
)
"""Waits between reports: for a while always the same, then another."""


def histogram(seen: Sequence[float]) -> Histogram:
    made = Histogram()
    for latency in seen:
        made.add(latency)
    return made


def together(*histograms: Histogram) -> MergedHistograms:
    return MergedHistograms(histogram.to_json() for histogram in histograms)


def told(*histograms: Histogram) -> list[float | None]:
    return [together(*histograms).quantile(part) for part in PARTS]


def exact(seen: Sequence[float], part: float) -> float:
    """The lower quantile: the latency at the rank `part * (n - 1)`, rounded down."""
    return sorted(seen)[int(part * (len(seen) - 1))]


@law
@given(latencies, parts)
def test_a_quantile_is_within_one_per_cent_of_the_exact_one(seen: list[float], part: float) -> None:
    assert together(histogram(seen)).quantile(part) == pytest.approx(
        exact(seen, part), rel=ACCURACY * (1 + 1e-9), abs=0
    )


@pytest.mark.parametrize("case", DDSKETCH, ids=lambda case: case["name"])
def test_a_histogram_that_ddsketch_stored_is_read_and_extended_as_ddsketch_did(case: dict[str, Any]) -> None:
    assert histogram(case["seen"]).to_json() == case["stored"]
    again = Histogram(case["stored"])
    assert again.to_json() == case["stored"]
    for latency in case["more"]:
        again.add(latency)
    assert again.to_json() == case["extended"]
    found = [together(again).quantile(part) for part in PARTS]
    assert found == pytest.approx(case["quantiles"], rel=1e-9, abs=0)


@law
@given(st.lists(st.floats(-300, 15).map(lambda power: 10.0**power), min_size=1, max_size=40), parts)
def test_only_latencies_far_below_the_largest_share_a_bucket(seen: list[float], part: float) -> None:
    stored = histogram(seen).to_json()
    buckets = [bucket for bucket, _ in json.loads(stored)[1]]
    assert buckets[-1] - buckets[0] < MOST_BUCKETS
    assert sum(count for _, count in json.loads(stored)[1]) == len(seen)
    wanted = exact(seen, part)
    if wanted > max(seen) / 10**17:
        assert MergedHistograms([stored]).quantile(part) == pytest.approx(wanted, rel=ACCURACY * (1 + 1e-9), abs=0)


@law
@given(groups, st.randoms(use_true_random=False))
def test_histograms_put_together_in_any_grouping_and_order_are_the_histogram_of_all(
    apart: list[list[float]], chance: Random
) -> None:
    whole = histogram([latency for group in apart for latency in group])
    shuffled = chance.sample(apart, len(apart))
    assert told(*map(histogram, apart)) == told(*map(histogram, shuffled)) == told(whole)


@law
@given(st.lists(milliseconds, max_size=60), st.lists(milliseconds, max_size=60))
def test_a_histogram_survives_storage_and_goes_on(seen: list[float], more: list[float]) -> None:
    stored = histogram(seen).to_json()
    again = Histogram(stored)
    assert (again.to_json(), told(again)) == (stored, told(histogram(seen)))
    for latency in more:
        again.add(latency)
    assert again.to_json() == histogram([*seen, *more]).to_json()


@law
@given(st.integers(1, 50), st.integers(0, 50))
def test_records_that_took_no_time_count(zeros: int, ones: int) -> None:
    seen = [0.0] * zeros + [1.0] * ones
    for part in PARTS:
        assert together(histogram(seen)).quantile(part) == pytest.approx(exact(seen, part), rel=ACCURACY)
    assert json.loads(histogram(seen).to_json())[0] == zeros


def test_nothing_has_no_quantiles() -> None:
    assert quantiles([]) is None
    assert quantiles([Histogram().to_json()]) is None


def subtask(
    index: int, counted: Counters, *, operator_id: str = "read", kind: OperatorKind = OperatorKind.SOURCE
) -> SubtaskMetrics:
    sample = Sample(NOW, counted.records_in, counted.records_out)
    return SubtaskMetrics(operator_id, index, kind, None, NOW, counted, 0.0, 0, 0, None, (sample,))


subtasks = st.builds(
    SubtaskMetrics,
    st.text(min_size=1, max_size=10),
    st.integers(0, 9_999),
    st.sampled_from(OperatorKind),
    st.none() | st.text(min_size=1, max_size=10),
    st.just(NOW),
    counters,
    st.floats(0, 1),
    st.integers(0, MAX_COUNT),
    st.integers(0, MAX_COUNT),
    st.none() | latencies.map(lambda seen: histogram(seen).to_json()),
    st.lists(st.builds(Sample, st.just(NOW), st.integers(0, 9), st.integers(0, 9)), min_size=1).map(tuple),
)


@law
@given(st.lists(subtasks, max_size=6))
def test_a_checkpoint_gives_back_what_was_counted_and_nothing_of_the_moment(counted: list[SubtaskMetrics]) -> None:
    snapshot = snapshot_to_json({}, counted)
    status = CheckpointState.COMPLETED
    point = Checkpoint(1, 1, 1, status, 1, NOW, NOW, 0, None, None, None, None, None, snapshot)
    later = NOW + SECOND
    again = point.counted(later)
    assert snapshot_to_json({}, again) == snapshot
    for before, after in zip(counted, again, strict=True):
        kept = replace(before, at_us=later, backpressure=0.0, samples=after.samples)
        assert after == kept
        assert after.samples == (Sample(later, before.counters.records_in, before.counters.records_out),)


@law
@given(st.lists(st.tuples(st.sampled_from(OperatorKind), counters, st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_the_totals_do_not_depend_on_how_counts_are_split_over_subtasks(
    reports: list[tuple[OperatorKind, Counters, int, int]],
) -> None:
    def reported(way: int) -> list[SubtaskMetrics]:
        found: dict[tuple[OperatorKind, int], Counters] = {}
        for kind, counted, *splits in reports:
            place = kind, [*splits, 0][way]
            found[place] = found.get(place, Counters()).plus(counted)
        return [subtask(index, found[kind, index], operator_id=kind, kind=kind) for kind, index in sorted(found)]

    one, other, whole = (job_metrics(reported(way), None) for way in range(3))
    assert one.totals == other.totals == whole.totals
    for kind in OperatorKind:
        assert one.group(kind) == other.group(kind) == whole.group(kind)


def samples(reports: Sequence[Sample]) -> tuple[Sample, ...]:
    """What is kept after these reports, of a run that began at NOW."""
    kept: tuple[Sample, ...] = (Sample(NOW, 0, 0),)
    for report in reports:
        kept = thinned(kept, report)
    return kept


@law
@given(gaps)
def test_few_samples_are_kept_however_often_a_job_reports_and_they_span_the_window(waits: list[int]) -> None:
    times = [NOW, *accumulate(waits, initial=NOW)]
    kept = [sample.at_us for sample in samples([Sample(at, 0, 0) for at in times[1:]])]
    assert len(kept) <= MOST_SAMPLES
    assert set(kept) <= set(times)
    assert all(before <= after for before, after in pairwise(kept))
    assert kept[-1] == times[-1]
    # The window is covered, and nothing older is kept than is needed for that.
    assert kept[0] == NOW or kept[0] <= times[-1] - THROUGHPUT_WINDOW_US
    assert all(at > times[-1] - THROUGHPUT_WINDOW_US for at in kept[1:-1])


@law
@given(gaps, st.integers(1, 1_000_000))
def test_the_throughput_of_a_constant_rate_is_that_rate_however_often_it_is_reported(
    waits: list[int], rate: int
) -> None:
    kept = samples(
        [Sample(at, rate * (at - NOW), 2 * rate * (at - NOW)) for at in accumulate([1, *waits], initial=NOW)]
    )
    reading = replace(subtask(0, Counters()), samples=kept)
    assert reading.throughput_in == pytest.approx(rate * SECOND)
    assert reading.throughput_out == pytest.approx(2 * rate * SECOND)


@law
@given(gaps, st.integers(1, 3600 * SECOND), gaps, st.integers(1, 1_000_000))
def test_a_clock_that_is_set_back_changes_no_throughput_and_leaves_no_sample_of_a_time_to_come(
    waits: list[int], back: int, more: list[int], rate: int
) -> None:
    passed = list(accumulate([*waits, 0, *more], initial=1))
    times = [NOW + at - (back if number > len(waits) else 0) for number, at in enumerate(passed)]
    kept = samples([Sample(time, rate * at, 0) for time, at in zip(times, passed, strict=True)])
    assert all(before.at_us <= after.at_us for before, after in pairwise(kept))
    assert kept[-1].at_us == times[-1]
    assert replace(subtask(0, Counters()), samples=kept).throughput_in == pytest.approx(rate * SECOND)
