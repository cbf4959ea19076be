"""What the operators of a job have counted, and what follows from it: totals, groups, throughput, latency.

Counters are cumulative per operator and subtask, over all runs of the job: a run starts from those of the checkpoint
that it restores, so that work which is done again does not count twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple

from jobstate.domain.latency import Quantiles, quantiles

THROUGHPUT_WINDOW_US: Final = 60_000_000
"""Throughput is computed from the reports of the last minute, and the one before if they are fewer than two."""
_SAMPLES: Final = 12
"""How many samples of the window are kept, beside the newest and the one before the window."""


class OperatorKind(StrEnum):
    """What an operator does with records."""

    SOURCE = "source"
    TRANSFORM = "transform"
    SINK = "sink"


OperatorWord = Literal["source", "transform", "sink"] | OperatorKind


class Counters(NamedTuple):
    """What was counted so far."""

    records_in: int = 0
    records_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    errors: int = 0
    warnings: int = 0

    def plus(self, other: Counters) -> Counters:
        """Both together."""
        return Counters(*map(sum, zip(self, other, strict=True)))


class Sample(NamedTuple):
    """What had been counted at one moment (microseconds since 1970 UTC)."""

    at_us: int
    records_in: int
    records_out: int


@dataclass(frozen=True, slots=True)
class SubtaskMetrics:
    """The counters of one subtask of one operator; `at_us` is its last report."""

    operator_id: str
    index: int
    kind: OperatorKind
    name: str | None
    at_us: int
    counters: Counters
    backpressure: float
    """The share of time in which downstream held it up, 0..1, as of its last report."""
    idle_us: int
    """How long it had nothing to do, in all."""
    observed_us: int
    """How long it ran, in all."""
    latency_json: str | None
    """Its histogram of latencies, as `jobstate.domain.latency` reads it."""
    samples: tuple[Sample, ...]
    """Earlier states of the counters, oldest first, back to the beginning of the window."""

    @property
    def throughput_in(self) -> float:
        """Records read per second, over the last reports."""
        return self._rate(1)

    @property
    def throughput_out(self) -> float:
        """Records written per second, over the last reports."""
        return self._rate(2)

    def _rate(self, column: int) -> float:
        oldest, newest = self.samples[0], self.samples[-1]
        seconds = (newest.at_us - oldest.at_us) / 1_000_000
        return (newest[column] - oldest[column]) / seconds if seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class OperatorMetrics:
    """One operator: its subtasks together."""

    operator_id: str
    name: str | None
    kind: OperatorKind
    counters: Counters
    backpressure: float
    """That of the subtask that is held up most, 0..1."""
    idle_percent: float
    """How much of the time its subtasks had nothing to do, 0..100."""
    throughput: float
    """Records per second over the last reports: read by a source, written by any other."""
    subtasks: tuple[SubtaskMetrics, ...]
    """In the order of their indexes."""

    @property
    def latency(self) -> Quantiles | None:
        """None before any was reported. Reckoned at every access."""
        return quantiles(_histograms(self.subtasks))


@dataclass(frozen=True, slots=True)
class MetricGroup:
    """The operators of one kind together."""

    total_records: int
    """Sources: what they read, together. Sinks: what they wrote, together. Transforms: the most that one wrote."""
    throughput: float
    """Records per second, reckoned in the same way."""
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class JobMetrics:
    """The metrics of a job: its operators, and their totals."""

    operators: tuple[OperatorMetrics, ...]
    """Sources first, then transforms, then sinks, each by id."""

    @property
    def latency(self) -> Quantiles | None:
        """Of every record whose latency an operator reported; None before any was. Reckoned at every access."""
        return quantiles(_histograms(subtask for operator in self.operators for subtask in operator.subtasks))

    @property
    def totals(self) -> Counters:
        """What its sources read and its sinks wrote; errors and warnings of all operators."""
        sources, sinks = self.group(OperatorKind.SOURCE), self.group(OperatorKind.SINK)
        read = _sum(self._of(OperatorKind.SOURCE))
        written = _sum(self._of(OperatorKind.SINK))
        everything = _sum(self.operators)
        if not sources.operators and not sinks.operators:  # one that is no pipeline: the most that passed through
            most = Counters(*(max(counted, default=0) for counted in zip(*self._counters(), strict=True)))
            return most._replace(errors=everything.errors, warnings=everything.warnings)
        return Counters(
            read.records_in,
            written.records_out,
            read.bytes_in,
            written.bytes_out,
            everything.errors,
            everything.warnings,
        )

    @property
    def throughput(self) -> float:
        """Records per second over the last reports: what sources read; without any, what sinks or transforms wrote."""
        for kind in (OperatorKind.SOURCE, OperatorKind.SINK, OperatorKind.TRANSFORM):
            group = self.group(kind)
            if group.operators:
                return group.throughput
        return 0.0

    @property
    def backpressure(self) -> float:
        """That of the operator that is held up most, 0..1."""
        return max((operator.backpressure for operator in self.operators), default=0.0)

    def group(self, kind: OperatorKind) -> MetricGroup:
        """The operators of a kind together."""
        within = self._of(kind)
        together = max if kind is OperatorKind.TRANSFORM else sum
        passed = [_passed(operator) for operator in within] or [0]
        rates = [operator.throughput for operator in within] or [0.0]
        return MetricGroup(together(passed), together(rates), tuple(operator.operator_id for operator in within))

    def _counters(self) -> list[Counters]:
        return [Counters(), *(operator.counters for operator in self.operators)]

    def _of(self, kind: OperatorKind) -> list[OperatorMetrics]:
        return [operator for operator in self.operators if operator.kind is kind]


def job_metrics(reported: Sequence[SubtaskMetrics], running_at: int | None) -> JobMetrics:
    """The totals of these subtasks.

    Args:
        reported: The subtasks, those of one operator side by side.
        running_at: Now, where the job runs: what has not reported for the whole window stands still. None where it
            does not run: the last reports stand.
    """
    within = [
        _operator(list(subtasks), running_at)
        for _, subtasks in groupby(reported, key=lambda subtask: subtask.operator_id)
    ]
    order = list(OperatorKind)
    within.sort(key=lambda operator: (order.index(operator.kind), operator.operator_id))
    return JobMetrics(tuple(within))


def thinned(samples: tuple[Sample, ...], newest: Sample) -> tuple[Sample, ...]:
    """The samples with a newer one: those of the window, and the one before it, at most 14 in all.

    The newest takes the place of one that came soon after another, so that a job which reports often keeps the whole
    window too. Where the clock was set back since, the samples are moved back with it.
    """
    ahead = max(0, samples[-1].at_us - newest.at_us) if samples else 0
    kept = [sample._replace(at_us=sample.at_us - ahead) for sample in samples] if ahead else list(samples)
    if len(kept) >= 2 and kept[-1].at_us - kept[-2].at_us < THROUGHPUT_WINDOW_US // _SAMPLES:
        kept.pop()
    kept.append(newest)
    while len(kept) > 2 and kept[1].at_us <= newest.at_us - THROUGHPUT_WINDOW_US:
        kept.pop(0)
    return tuple(kept)


def to_plain(reported: Iterable[SubtaskMetrics]) -> list[Any]:
    """Cumulative numbers as a checkpoint keeps them, without backpressure and samples, which are momentary."""
    return [
        [
            subtask.operator_id,
            subtask.index,
            subtask.kind,
            subtask.name,
            *subtask.counters,
            subtask.idle_us,
            subtask.observed_us,
        ]
        + ([] if subtask.latency_json is None else [subtask.latency_json])
        for subtask in reported
    ]


def from_plain(stored: Iterable[Sequence[Any]], at_us: int) -> Iterator[SubtaskMetrics]:
    """The numbers that `to_plain` kept, as those of a run that begins at that instant."""
    for operator_id, index, kind, name, *numbers in stored:
        counters = Counters(*numbers[:6])
        idle, observed, *latency = numbers[6:]
        yield SubtaskMetrics(
            operator_id,
            index,
            OperatorKind(kind),
            name,
            at_us,
            counters,
            0.0,
            idle,
            observed,
            latency[0] if latency else None,
            (Sample(at_us, counters.records_in, counters.records_out),),
        )


def _operator(subtasks: list[SubtaskMetrics], running_at: int | None) -> OperatorMetrics:
    newest = max(subtasks, key=lambda subtask: subtask.at_us)
    moving = [
        subtask for subtask in subtasks if running_at is None or subtask.at_us > running_at - THROUGHPUT_WINDOW_US
    ]
    counters = Counters()
    for subtask in subtasks:
        counters = counters.plus(subtask.counters)
    observed = sum(subtask.observed_us for subtask in subtasks)
    idle = sum(subtask.idle_us for subtask in subtasks)
    return OperatorMetrics(
        newest.operator_id,
        newest.name,
        newest.kind,
        counters,
        max(subtask.backpressure for subtask in subtasks),
        min(100.0, 100 * idle / observed) if observed else 0.0,
        math.fsum(
            subtask.throughput_in if newest.kind is OperatorKind.SOURCE else subtask.throughput_out
            for subtask in moving
        ),
        tuple(sorted(subtasks, key=lambda subtask: subtask.index)),
    )


def _histograms(subtasks: Iterable[SubtaskMetrics]) -> list[str]:
    return [subtask.latency_json for subtask in subtasks if subtask.latency_json is not None]


def _passed(operator: OperatorMetrics) -> int:
    return operator.counters.records_in if operator.kind is OperatorKind.SOURCE else operator.counters.records_out


def _sum(operators: Iterable[OperatorMetrics]) -> Counters:
    total = Counters()
    for operator in operators:
        total = total.plus(operator.counters)
    return total
