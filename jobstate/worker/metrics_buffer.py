"""The counters of one run by operator and subtask, buffered in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.domain.latency import Histogram
from jobstate.domain.metrics import Counters, OperatorKind, Sample, SubtaskMetrics, thinned

MAX_OPERATORS: Final = 1_000
MAX_SUBTASKS: Final = 10_000
_LONGEST_LATENCY: Final = 1e15


class _Operator:
    """An operator: its kind and name, and its subtasks."""

    def __init__(self) -> None:
        self.kind = OperatorKind.TRANSFORM
        self.name: str | None = None
        self.subtasks: dict[int, _Subtask] = {}


class _Subtask:
    """The counters of one subtask so far."""

    def __init__(self, started: int, restored: SubtaskMetrics | None) -> None:
        self.counters = Counters() if restored is None else restored.counters
        self.backpressure = 0.0
        self.idle_us = 0 if restored is None else restored.idle_us
        self.observed_us = 0 if restored is None else restored.observed_us
        self.observed_at = started
        self.latency: Histogram | None = None
        self.latency_json = None if restored is None else restored.latency_json
        self.samples: tuple[Sample, ...] = (Sample(started, self.counters.records_in, self.counters.records_out),)

    def observe(self, latencies: Sequence[float]) -> None:
        if self.latency is None:
            self.latency = Histogram(self.latency_json)
        for latency in latencies:
            self.latency.add(latency)

    def snapshot(self, operator_id: str, operator: _Operator, index: int, now: int) -> SubtaskMetrics:
        """What to write of it now."""
        self.observed_us += max(0, now - self.observed_at)  # the clock may have been set back
        self.observed_at = now
        self.samples = thinned(self.samples, Sample(now, self.counters.records_in, self.counters.records_out))
        if self.latency is not None:
            self.latency_json = self.latency.to_json()
        return SubtaskMetrics(
            operator_id,
            index,
            operator.kind,
            operator.name,
            now,
            self.counters,
            self.backpressure,
            self.idle_us,
            self.observed_us,
            self.latency_json,
            self.samples,
        )


class MetricsBuffer:
    """Cumulative counters, and which subtasks are unwritten. Safe to use from several threads.

    Args:
        restored: The counters in the checkpoint that the run starts from.
        started: When the run began (microseconds).
    """

    def __init__(self, restored: Iterable[SubtaskMetrics], started: int) -> None:
        self._started = started
        self._operators: dict[str, _Operator] = {}
        self._unwritten: set[tuple[str, int]] = set()
        self._lock = threading.Lock()
        for counted in restored:
            operator = self._operators.setdefault(counted.operator_id, _Operator())
            operator.kind, operator.name = counted.kind, counted.name
            operator.subtasks[counted.index] = _Subtask(started, counted)

    @property
    def dirty(self) -> bool:
        """Whether a subtask is unwritten."""
        return bool(self._unwritten)

    def count(
        self,
        operator_id: str,
        index: int,
        *,
        kind: str | None,
        name: str | None,
        counted: Counters,
        backpressure: float | None,
        idle: float | timedelta,
        latency_ms: float | Iterable[float],
    ) -> None:
        """Add to the counters of a subtask; see `Run.metrics`."""
        checked_kind = None if kind is None else _kind(kind)
        if name is not None:
            validation.text("name", name)
        for field, number in zip(Counters._fields, counted, strict=True):
            validation.integer(field, number, 0, validation.MAX_ID)
        blocked = None if backpressure is None else _fraction("backpressure", backpressure)
        idle_us = validation.duration_us("idle", idle) if idle else 0
        latencies = _latencies(latency_ms)
        with self._lock:
            operator, subtask = self._subtask(operator_id, index)
            total = subtask.counters.plus(counted)
            for field, number in zip(Counters._fields, total, strict=True):
                validation.integer(field, number, 0, validation.MAX_ID)
            idle_total = validation.integer("idle", subtask.idle_us + idle_us, 0, validation.MAX_ID)
            subtask.counters, subtask.idle_us = total, idle_total
            if blocked is not None:
                subtask.backpressure = blocked
            if latencies:
                subtask.observe(latencies)
            if (checked_kind or operator.kind, name or operator.name) != (operator.kind, operator.name):
                operator.kind, operator.name = checked_kind or operator.kind, name or operator.name
                self._unwritten.update((operator_id, other) for other in operator.subtasks)
            self._unwritten.add((operator_id, index))

    def take(self, now: int) -> list[SubtaskMetrics]:
        """Take the subtasks to write; they count as written until `put_back`."""
        if not self._unwritten:
            return []
        with self._lock:
            taken = []
            for operator_id, index in sorted(self._unwritten):
                operator = self._operators[operator_id]
                taken.append(operator.subtasks[index].snapshot(operator_id, operator, index, now))
            self._unwritten.clear()
            return taken

    def put_back(self, taken: Iterable[SubtaskMetrics]) -> None:
        """Requeue subtasks after a failed write; the next write takes their newest counters."""
        with self._lock:
            self._unwritten.update((subtask.operator_id, subtask.index) for subtask in taken)

    def _subtask(self, operator_id: str, index: int) -> tuple[_Operator, _Subtask]:
        operator = self._operators.get(operator_id) if isinstance(operator_id, str) else None
        if operator is None:
            validation.text("operator_id", operator_id)
            if len(self._operators) >= MAX_OPERATORS:
                raise InvalidRequest("operator_id", f"would be one of more than {MAX_OPERATORS} operators of one job")
            operator = _Operator()
        validation.integer("subtask", index, 0, MAX_SUBTASKS - 1)
        subtask = operator.subtasks.get(index)
        if subtask is None:
            subtask = operator.subtasks[index] = _Subtask(self._started, None)
        self._operators[operator_id] = operator
        return operator, subtask


def _kind(value: str) -> OperatorKind:
    try:
        return OperatorKind(value)
    except ValueError:
        raise InvalidRequest("kind", f"must be one of {', '.join(OperatorKind)}, not {value!r}") from None


def _fraction(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidRequest(field, f"must be a number in 0..1, not {value!r}")
    return float(value)


def _latencies(given: float | Iterable[float]) -> list[float]:
    values = [given] if isinstance(given, int | float) else validation.several("latency_ms", given, "milliseconds")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_LATENCY:
            raise InvalidRequest("latency_ms", f"must be milliseconds >= 0, or several of them, not {value!r}")
    return values
