"""What workers report, as JSON in the pipeline dialect: metrics, logs with their errors, and output rows.

Instants are milliseconds since 1970 UTC. Latencies are milliseconds, throughput is records per second, backpressure a
part of 1, idle time a part of 100; each rounded to three decimal places, and null before the first report. All keys are
always present.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from jobstate.domain.latency import Quantiles
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.domain.metrics import (
    JobMetrics,
    MetricGroup,
    OperatorKind,
    OperatorMetrics,
    SubtaskMetrics,
)
from jobstate.domain.output import OutputRow
from jobstate.ports.queries import LogPage, OutputPage
from jobstate.wire.formats import milliseconds

Document = dict[str, Any]

GROUPS: Final = {
    OperatorKind.SOURCE: "sources",
    OperatorKind.SINK: "sinks",
    OperatorKind.TRANSFORM: "transforms",
}
"""The name of each group: the operators of one kind."""
LOG_PREFIX: Final = "log_"
ERROR_PREFIX: Final = "err_"
ERROR_LEVELS: Final = {LogLevel.ERROR: "error", LogLevel.WARN: "warning"}
"""How the list of errors spells the levels."""
BOM: Final = "\ufeff"
"""The byte order mark by which a spreadsheet recognizes UTF-8."""
ROW_COLUMNS: Final = ("timestamp", "operator_id")
"""The columns that precede those of the records."""
RECORD_COLUMN: Final = "record"
"""The column of a record that is not an object."""
_DIGITS: Final = 3
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""A spreadsheet takes a text that begins with one of these for a formula."""


def metrics_document(metrics: JobMetrics) -> Document:
    """The metrics of a job, with a summary of each operator."""
    return {
        **metrics.totals._asdict(),
        **_latency(metrics.latency),
        "throughput": _number(metrics.throughput),
        "backpressure": _number(metrics.backpressure),
        "operators": [_operator_summary(operator) for operator in metrics.operators],
    }


def operator_document(operator: OperatorMetrics) -> Document:
    """The metrics of one operator and of each of its subtasks."""
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


def logs_document(page: LogPage) -> Document:
    """A page of a log. The job wrote `total` entries; the store keeps `retained` of them."""
    return _page([log_document(entry) for entry in page], page)


def errors_document(page: LogPage) -> Document:
    """A page of warnings and errors; `total` and `retained` are those of the whole log."""
    return _page([error_document(entry) for entry in page], page)


def log_document(entry: LogEntry) -> Document:
    """A log entry. `details` is an object or null; a text becomes `{"text": ...}`."""
    details = entry.details
    return {
        "id": f"{LOG_PREFIX}{entry.number}",
        "timestamp": milliseconds(entry.time),
        "level": entry.level.value,
        "operator_id": entry.operator_id,
        "task_index": entry.task_index,
        "message": entry.message,
        "details": {"text": details} if isinstance(details, str) else details,
        "record": entry.record,
    }


def error_document(entry: LogEntry) -> Document:
    """A warning or an error. `details` is text or null; an object becomes JSON text."""
    details = entry.details
    return {
        "id": f"{ERROR_PREFIX}{entry.number}",
        "timestamp": milliseconds(entry.time),
        "level": ERROR_LEVELS[entry.level],
        "operator_id": entry.operator_id,
        "task_index": entry.task_index,
        "message": entry.message,
        "details": details if details is None or isinstance(details, str) else json.dumps(details, ensure_ascii=False),
        "record": entry.record,
    }


def output_document(page: OutputPage, operator_id: str | None) -> Document:
    """Output rows in the order in which the job wrote them.

    `operator_id` is the one that the request names, or null. The job wrote `total_records` rows; the store keeps
    `retained` of them.
    """
    return {
        "data": [
            {"timestamp": milliseconds(row.time), "operator_id": row.operator_id, "record": row.record} for row in page
        ],
        "operator_id": operator_id,
        "total_records": page.total,
        "retained": page.retained,
        "has_more": page.has_more,
    }


def output_csv(rows: Iterable[OutputRow]) -> str:
    """Output rows as comma separated values (RFC 4180), with a header line and a `BOM` before it.

    The columns are `timestamp`, `operator_id` and every key of the records, in order of first appearance; a key that
    equals one of those two gets the prefix `record.`. A record that is not an object goes to the column `record`. A
    value that is neither text nor number becomes JSON; a missing one is empty. A text that a spreadsheet would take
    for a formula begins with `'`.
    """
    records = [(row, fields_of(row.record)) for row in rows]
    keys = list(dict.fromkeys(key for _, fields in records for key in fields))
    text = io.StringIO()
    text.write(BOM)
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow([_defused(title) for title in (*ROW_COLUMNS, *column_titles(keys))])
    for row, fields in records:
        values = [_cell(fields[key]) if key in fields else "" for key in keys]
        table.writerow([milliseconds(row.time), _defused(row.operator_id), *values])
    return text.getvalue()


def fields_of(record: Any) -> Mapping[str, Any]:
    """The fields of a record; one that is not an object is a single field."""
    return record if isinstance(record, Mapping) else {RECORD_COLUMN: record}


def column_titles(keys: Iterable[str]) -> list[str]:
    """The titles of the columns of these keys: all different, and different from `ROW_COLUMNS`."""
    taken, titles = set(ROW_COLUMNS), []
    for key in keys:
        title = key
        while title in taken:
            title = f"{RECORD_COLUMN}.{title}"
        taken.add(title)
        titles.append(title)
    return titles


def cell_text(value: Any) -> str:
    """A value of a record as text in one cell: text as it is, null as nothing, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
    values = (None,) * len(Quantiles._fields) if latency is None else tuple(_number(value) for value in latency)
    return {f"latency_{name}": value for name, value in zip(Quantiles._fields, values, strict=True)}


def _number(value: float) -> float:
    """Rounded; an integer where the result is whole."""
    rounded = round(float(value), _DIGITS)  # `sum` of nothing is an integer
    return int(rounded) if rounded.is_integer() else rounded


def _page(data: list[Document], page: LogPage) -> Document:
    return {"data": data, "has_more": page.has_more, "total": page.total, "retained": page.retained}


def _cell(value: Any) -> str:
    return _defused(value) if isinstance(value, str) else cell_text(value)


def _defused(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
