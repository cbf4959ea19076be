"""Metrics, logs, errors and output as the pipeline dialect spells them, and rows as a table for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from jobstate.domain.latency import Quantiles
from jobstate.domain.logs import LogEntry, LogLevel
from jobstate.domain.metrics import Counters, JobMetrics, OperatorKind, Sample, SubtaskMetrics, job_metrics
from jobstate.domain.output import OutputRow
from jobstate.ports.queries import LogPage, OutputPage
from jobstate.wire import telemetry

NOON_US = 1_704_110_400_000_999
NOON_MS = 1_704_110_400_000


def subtask(operator: str, index: int, kind: OperatorKind, counters: Counters, **changes: Any) -> SubtaskMetrics:
    told: dict[str, Any] = {"name": None, "backpressure": 0.0, "idle_us": 0, "latency_json": None, **changes}
    began, ended = Sample(0, 0, 0), Sample(3_000_000, counters.records_in, counters.records_out)
    return SubtaskMetrics(
        operator_id=operator,
        index=index,
        kind=kind,
        at_us=3_000_000,
        counters=counters,
        observed_us=3_000_000,
        samples=(began, ended),
        **told,
    )


class Known(JobMetrics):
    """Metrics with these latencies."""

    __slots__ = ()

    @property
    def latency(self) -> Quantiles:
        return Quantiles(45.0, 120.123456, 250.0)


def counted() -> JobMetrics:
    source = [
        subtask("in", index, OperatorKind.SOURCE, Counters(10, 9, 100, 90, 1, 2), name="Kafka", idle_us=156_000)
        for index in (0, 1)
    ]
    sink = [subtask("out", 0, OperatorKind.SINK, Counters(18, 17, 180, 170), backpressure=0.25)]
    return job_metrics([*source, *sink], None)


def entry(level: LogLevel = LogLevel.INFO, details: Any = None, record: str | None = None) -> LogEntry:
    stored = None if details is None else json.dumps(details)
    return LogEntry(123, NOON_US, level, "source_1", 0, "Connected", stored, record)


def page_of(*entries: LogEntry) -> LogPage:
    return LogPage(list(entries), True, 12, 11)


def rows_of(*records: Any) -> list[OutputRow]:
    return [OutputRow("sink_1", number, NOON_US, json.dumps(record)) for number, record in enumerate(records, 1)]


def table_of(*records: Any) -> list[list[str]]:
    """What a spreadsheet reads from the rows."""
    text = telemetry.output_csv(rows_of(*records))
    assert text.startswith(telemetry.BOM)
    return list(csv.reader(io.StringIO(text.removeprefix(telemetry.BOM), newline="")))


def test_the_metrics_of_a_job_hold_its_totals_and_its_operators() -> None:
    document = telemetry.metrics_document(Known(counted().operators))
    assert {name: value for name, value in document.items() if name != "operators"} == {
        "records_in": 20,
        "records_out": 17,
        "bytes_in": 200,
        "bytes_out": 170,
        "errors": 2,
        "warnings": 4,
        "latency_p50": 45,
        "latency_p95": 120.123,
        "latency_p99": 250,
        "throughput": 6.667,
        "backpressure": 0.25,
    }
    assert [operator["operator_id"] for operator in document["operators"]] == ["in", "out"]
    assert document["operators"][0] == {
        "operator_id": "in",
        "operator_name": "Kafka",
        "kind": "source",
        "subtasks": 2,
        "records_in": 20,
        "records_out": 18,
        "bytes_in": 200,
        "bytes_out": 180,
        "errors": 2,
        "warnings": 4,
        "throughput": 6.667,
        "backpressure": 0,
        "idle_time_percent": 5.2,
    }
    assert '"latency_p50": 45, "latency_p95": 120.123' in json.dumps(document)


def test_what_nobody_reported_is_null_and_what_nobody_counted_is_zero() -> None:
    document = telemetry.metrics_document(JobMetrics(()))
    assert [document[f"latency_{part}"] for part in ("p50", "p95", "p99")] == [None] * 3
    assert (document["throughput"], document["records_in"], document["operators"]) == (0, 0, [])
    assert telemetry.groups_document(JobMetrics(()))["transforms"] == {
        "total_records": 0,
        "throughput": 0,
        "operators": [],
    }


def test_an_operator_holds_its_subtasks() -> None:
    document = telemetry.operator_document(counted().operators[0])
    assert (document["operator_id"], document["subtasks"], len(document["subtask_metrics"])) == ("in", 2, 2)
    assert document["metrics"]["records_in"] == sum(part["records_in"] for part in document["subtask_metrics"])
    assert document["metrics"]["idle_time_percent"] == 5.2
    assert document["metrics"]["latency_p50"] is None
    assert [part["subtask_index"] for part in document["subtask_metrics"]] == [0, 1]


def test_groups_are_those_of_each_kind() -> None:
    document = telemetry.groups_document(counted())
    assert list(document) == ["sources", "sinks", "transforms"]
    assert document["sources"] == {"total_records": 20, "throughput": 6.667, "operators": ["in"]}
    assert document["sinks"] == {"total_records": 17, "throughput": 5.667, "operators": ["out"]}


@pytest.mark.parametrize(
    ("details", "in_log", "in_error"),
    [
        (None, None, None),
        ({"broker": "local", "n": 1}, {"broker": "local", "n": 1}, '{"broker": "local", "n": 1}'),
        ("Traceback …\n  end", {"text": "Traceback …\n  end"}, "Traceback …\n  end"),
    ],
)
def test_details_are_an_object_in_a_log_and_a_text_among_errors(details: Any, in_log: Any, in_error: Any) -> None:
    failed = entry(LogLevel.ERROR, details, '{"bad json')
    log, error = telemetry.log_document(failed), telemetry.error_document(failed)
    assert (log["details"], error["details"]) == (in_log, in_error)
    assert (log["id"], error["id"]) == ("log_123", "err_123")
    assert log["timestamp"] == error["timestamp"] == NOON_MS
    assert log["record"] == error["record"] == '{"bad json'


def test_each_list_spells_levels_in_its_own_way() -> None:
    warned = entry(LogLevel.WARN)
    assert (telemetry.log_document(warned)["level"], telemetry.error_document(warned)["level"]) == ("warn", "warning")
    assert (telemetry.log_document(entry())["level"], telemetry.error_document(entry(LogLevel.ERROR))["level"]) == (
        "info",
        "error",
    )


def test_a_page_of_a_log_says_how_much_there_was_and_is() -> None:
    document = telemetry.logs_document(page_of(entry(), entry()))
    assert {name: value for name, value in document.items() if name != "data"} == {
        "has_more": True,
        "total": 12,
        "retained": 11,
    }
    assert len(document["data"]) == 2
    assert telemetry.errors_document(page_of(entry(LogLevel.ERROR)))["data"][0]["id"] == "err_123"


def test_output_says_whose_it_is_and_how_much_there_was() -> None:
    page = OutputPage(rows_of({"id": 1}), False, 1000, 900)
    row = {"timestamp": NOON_MS, "operator_id": "sink_1", "record": {"id": 1}}
    told = {"total_records": 1000, "retained": 900, "has_more": False}
    assert telemetry.output_document(page, "sink_1") == {"data": [row], "operator_id": "sink_1", **told}
    assert telemetry.output_document(page, None)["operator_id"] is None


def test_the_columns_of_a_table_are_the_keys_of_all_records() -> None:
    assert table_of({"id": 1, "message": "Täst"}, {"value": 99.99, "id": -2}, {}) == [
        ["timestamp", "operator_id", "id", "message", "value"],
        [str(NOON_MS), "sink_1", "1", "Täst", ""],
        [str(NOON_MS), "sink_1", "-2", "", "99.99"],
        [str(NOON_MS), "sink_1", "", "", ""],
    ]


def test_a_table_without_rows_has_titles() -> None:
    assert table_of() == [["timestamp", "operator_id"]]


def test_a_key_that_is_called_like_a_column_of_ours_is_told_apart() -> None:
    titles, row = table_of({"timestamp": 5, "record.timestamp": 6, "operator_id": 7})
    assert titles[2:] == ["record.timestamp", "record.record.timestamp", "record.operator_id"]
    assert row[2:] == ["5", "6", "7"]


def test_a_record_that_is_no_object_has_a_column() -> None:
    assert [row[2:] for row in table_of("text", [1, 2], {"a": 1})] == [
        ["record", "a"],
        ["text", ""],
        ["[1,2]", ""],
        ["", "1"],
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        ({"a": ["ü"]}, '{"a":["ü"]}'),
        ("two\r\nlines", "two\r\nlines"),
        ('say "yes", please', 'say "yes", please'),
        (2**70, str(2**70)),
        (-5, "-5"),
    ],
)
def test_a_value_is_read_as_it_was(value: Any, cell: str) -> None:
    assert table_of({"a": value, "b": 1})[1][2] == cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_what_a_spreadsheet_would_take_for_a_formula_is_told_as_text(text: str) -> None:
    titles, row = table_of({text: text})
    assert (titles[2], row[2]) == (f"'{text}", f"'{text}")
    (row_of_operator,) = [OutputRow(text.strip(), 1, NOON_US, "1")]
    assert f",'{text.strip()}," in telemetry.output_csv([row_of_operator])


def test_lines_of_a_table_end_as_the_standard_has_it() -> None:
    assert telemetry.output_csv(rows_of({"id": 1})) == f"\ufefftimestamp,operator_id,id\r\n{NOON_MS},sink_1,1\r\n"
