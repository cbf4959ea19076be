"""What the operators of a job have counted, as JSON in the pipeline dialect.

Latencies are milliseconds, throughput is records per second, backpressure a part of 1, idle time a part of 100; each
rounded to three digits behind the point. What nobody reported yet is null. All keys are always present.
"""

from __future__ import annotations

from typing import Any, Final

from jobstate.domain.latency import Quantiles
from jobstate.domain.metrics import (
    JobMetrics,
    MetricGroup,
    OperatorKind,
    OperatorMetrics,
    SubtaskMetrics,
)

Document = dict[str, Any]

_DIGITS: Final = 3
GROUPS: Final = {
    OperatorKind.SOURCE: "sources",
    OperatorKind.SINK: "sinks",
    OperatorKind.TRANSFORM: "transforms",
}
"""What the operators of each kind are called together."""


def metrics_document(metrics: JobMetrics) -> Document:
    """What a job has counted, and each of its operators in short."""
    return {
        **metrics.totals._asdict(),
        **_latency(metrics.latency),
        "throughput": _number(metrics.throughput),
        "backpressure": _number(metrics.backpressure),
        "operators": [_operator_summary(operator) for operator in metrics.operators],
    }


def operator_document(operator: OperatorMetrics) -> Document:
    """What one operator has counted, and each of its subtasks."""
    return {
        "operator_id": operator.operator_id,
        "operator_name": operator.name,
        "kind": operator.kind.value,
        "subtasks": len(operator.subtasks),
        "metrics": {
            **operator.counters._asdict(),
            "backpressure": _number(operator.backpressure),
            "idle_time_percent": _number(operator.idle_percent),
            "throughput": _number(operator.throughput),
            **_latency(operator.latency),
        },
        "subtask_metrics": [_subtask(subtask) for subtask in operator.subtasks],
    }


def groups_document(metrics: JobMetrics) -> Document:
    """The operators of each kind together."""
    return {name: _group(metrics.group(kind)) for kind, name in GROUPS.items()}


def _operator_summary(operator: OperatorMetrics) -> Document:
    return {
        "operator_id": operator.operator_id,
        "operator_name": operator.name,
        "kind": operator.kind.value,
        "subtasks": len(operator.subtasks),
        **operator.counters._asdict(),
        "throughput": _number(operator.throughput),
        "backpressure": _number(operator.backpressure),
        "idle_time_percent": _number(operator.idle_percent),
    }


def _subtask(subtask: SubtaskMetrics) -> Document:
    return {
        "subtask_index": subtask.index,
        **subtask.counters._asdict(),
        "backpressure": _number(subtask.backpressure),
    }


def _group(group: MetricGroup) -> Document:
    return {
        "total_records": group.total_records,
        "throughput": _number(group.throughput),
        "operators": list(group.operators),
    }


def _latency(latency: Quantiles | None) -> Document:
    told = (None,) * len(Quantiles._fields) if latency is None else tuple(_number(part) for part in latency)
    return {f"latency_{name}": part for name, part in zip(Quantiles._fields, told, strict=True)}


def _number(value: float) -> float:
    """Rounded; a whole one without a point."""
    rounded = round(float(value), _DIGITS)  # `sum` of nothing is an integer
    return int(rounded) if rounded.is_integer() else rounded
