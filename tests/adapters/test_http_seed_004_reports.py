"""The published description of the pipelines' API: what jobs report. Each reply in its shape and arithmetic."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import jobstate
from jobstate import Run
from jobstate.domain import validation
from jobstate.http import Settings
from jobstate.testing.clock import ManualClock
from tests.adapters.jobs_in_states import LEASE, next_id
from tests.adapters.server import Answer, Server, serving

NOW: Final = 1704067200000
METRICS: Final = json.loads("""
{
  "records_in": 1000000,
  "records_out": 950000,
  "bytes_in": 104857600,
  "bytes_out": 99614720,
  "errors": 0,
  "warnings": 5,
  "latency_p50": 45,
  "latency_p95": 120,
  "latency_p99": 250,
  "throughput": 10000,
  "backpressure": 0.15,
  "operators": [
    {
      "operator_id": "source_1",
      "operator_name": "KafkaSource",
      "records_in": 1000000,
      "records_out": 1000000,
      "errors": 0
    }
  ]
}
""")
OPERATOR: Final = json.loads("""
{
  "operator_id": "source_1",
  "operator_name": "KafkaSource",
  "subtasks": 4,
  "metrics": {
    "records_in": 1000000,
    "records_out": 1000000,
    "bytes_in": 104857600,
    "bytes_out": 104857600,
    "errors": 0,
    "warnings": 0,
    "backpressure": 0.0,
    "idle_time_percent": 5.2
  },
  "subtask_metrics": [
    {
      "subtask_index": 0,
      "records_in": 250000,
      "records_out": 250000
    }
  ]
}
""")
GROUPS: Final = json.loads("""
{
  "sources": {
    "total_records": 1000000,
    "throughput": 10000,
    "operators": ["source_1", "source_2"]
  },
  "sinks": {
    "total_records": 950000,
    "throughput": 9500,
    "operators": ["sink_1"]
  },
  "transforms": {
    "total_records": 950000,
    "operators": ["filter_1", "map_1"]
  }
}
""")
OUTPUT: Final = json.loads("""
{
  "data": [
    {
      "timestamp": 1704067200000,
      "record": {
        "id": 1,
        "message": "Test message",
        "value": 99.99
      }
    }
  ],
  "operator_id": "sink_1",
  "total_records": 1000
}
""")
ERRORS: Final = json.loads(r"""
{
  "data": [
    {
      "id": "err_123",
      "timestamp": 1704067200000,
      "level": "error",
      "operator_id": "source_1",
      "task_index": 0,
      "message": "Failed to parse JSON",
      "details": "Invalid JSON at line 1: unexpected character",
      "record": "{\"bad json"
    }
  ]
}
""")
LOGS: Final = json.loads("""
{
  "data": [
    {
      "id": "log_123",
      "timestamp": 1704067200000,
      "level": "info",
      "operator_id": "source_1",
      "task_index": 0,
      "message": "Connected to Kafka broker",
      "details": {
        "broker": "localhost:9092",
        "topic": "events"
      }
    }
  ]
}
""")


class World:
    """A server whose job is the published one."""

    def __init__(self, store: jobstate.JobStore, clock: ManualClock, server: Server, run: Run) -> None:
        self.store, self.clock, self.server, self.run = store, clock, server, run

    def of_job(self, path: str) -> Answer:
        answer = self.server.ask("GET", f"/api/v1/jobs/job_9876543210{path}")
        assert answer.status == 200, answer.text
        return answer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = ManualClock(validation.instant(NOW * 1000))
    with jobstate.open(tmp_path / "jobs.db", durability="normal", clock=clock) as store:
        next_id(store, 9876543210)
        store.submit("etl", pipeline_id="pipe_1234567890", parallelism=4)
        (run,) = store.claim("worker-01", lease=LEASE)
        with serving(store, Settings(sweep_every=3600)) as server:
            yield World(store, clock, server, run)
        assert store.audit().ok


def published(found: Any, document: Any) -> Any:
    """What the published document has of the one that was found, all the way down."""
    if isinstance(document, dict):
        assert found.keys() >= document.keys()
        return {name: published(found[name], value) for name, value in document.items()}
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return [published(one, document[0]) for one in found]
    return found


def one_source(run: Run, clock: ManualClock) -> None:
    """The operators of the published metrics, a hundred seconds after the beginning."""
    clock.advance(100)
    for index in range(4):
        run.metrics(
            "source_1",
            kind="source",
            name="KafkaSource",
            subtask=index,
            records_in=250_000,
            records_out=250_000,
            bytes_in=26_214_400,
            bytes_out=26_214_400,
            idle=5.2,
        )
    run.metrics("filter_1", records_in=1_000_000, records_out=950_000, warnings=5, backpressure=0.15)
    latencies = [45.0] * 90 + [120.0] * 8 + [250.0] * 2
    run.metrics("sink_1", kind="sink", records_out=950_000, bytes_out=99_614_720, latency_ms=latencies)
    run.flush()


def test_the_published_metrics_are_answered_in_their_shape_and_arithmetic(world: World) -> None:
    one_source(world.run, world.clock)
    found = world.of_job("/metrics").json
    source, *_ = found["operators"]
    told = published({**found, "operators": [source]}, METRICS)
    for part in ("latency_p50", "latency_p95", "latency_p99"):  # within 1 %
        assert told.pop(part) == pytest.approx(METRICS[part], rel=0.01)
    assert told == {name: value for name, value in METRICS.items() if name in told}
    assert [operator["operator_id"] for operator in found["operators"]] == ["source_1", "filter_1", "sink_1"]
    assert (source["kind"], source["subtasks"], source["bytes_in"]) == ("source", 4, 104857600)
    job = world.of_job("").json
    assert job["metrics"] == {name: METRICS[name] for name in job["metrics"]}


def test_the_published_operator_is_answered_with_its_subtasks(world: World) -> None:
    one_source(world.run, world.clock)
    found = world.of_job("/operators/source_1/metrics").json
    assert published({**found, "subtask_metrics": found["subtask_metrics"][:1]}, OPERATOR) == OPERATOR
    parts = found["subtask_metrics"]
    assert [part["subtask_index"] for part in parts] == [0, 1, 2, 3]
    for counter in ("records_in", "records_out", "bytes_in", "bytes_out"):
        assert sum(part[counter] for part in parts) == OPERATOR["metrics"][counter]
    assert found["metrics"]["latency_p50"] is None


def test_the_published_groups_are_answered_with_their_sums(world: World) -> None:
    run, clock = world.run, world.clock
    clock.advance(100)
    for name in ("source_1", "source_2"):
        run.metrics(name, kind="source", records_in=500_000, records_out=500_000)
    run.metrics("filter_1", records_in=1_000_000, records_out=950_000)
    run.metrics("map_1", records_in=950_000, records_out=940_000)
    run.metrics("sink_1", kind="sink", records_in=950_000, records_out=950_000)
    run.flush()
    found = world.of_job("/metric-groups").json
    assert list(found) == list(GROUPS)
    assert published(found, GROUPS) == GROUPS
    assert found["transforms"]["throughput"] == 9500


def test_the_published_output_is_answered_with_how_much_there_was(world: World) -> None:
    row = OUTPUT["data"][0]["record"]
    world.run.emit("sink_1", row)
    for number in range(2, 1_001):
        world.run.emit("sink_1", {**row, "id": number})
    world.run.emit("other", 1)
    world.run.flush()
    found = world.of_job("/output?operator_id=sink_1&limit=1&format=json").json
    assert published(found, OUTPUT) == OUTPUT
    assert (found["has_more"], found["retained"], found["data"][0]["operator_id"]) == (True, 1000, "sink_1")
    everything = world.of_job("/output").json
    assert (everything["operator_id"], everything["total_records"], len(everything["data"])) == (None, 1001, 50)
    assert world.of_job("/output?operator_id=sink_1&offset=999").json["data"][0]["record"]["id"] == 1000


def test_the_published_output_is_answered_as_a_table(world: World) -> None:
    world.run.emit("sink_1", OUTPUT["data"][0]["record"])
    world.run.emit("sink_1", {"id": 2, "formula": "=1+1"})
    world.run.flush()
    answer = world.of_job("/output?format=csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="job_9876543210.csv"'
    assert answer.text.startswith("\ufeff")
    assert list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"), newline=""))) == [
        ["timestamp", "operator_id", "id", "message", "value", "formula"],
        [str(NOW), "sink_1", "1", "Test message", "99.99", ""],
        [str(NOW), "sink_1", "2", "", "", "'=1+1"],
    ]
    assert answer.text.count("\r\n") == answer.text.count("\n") == 3


def test_the_published_error_is_answered_field_for_field(world: World) -> None:
    for _ in range(122):
        world.run.log.info("fine")
    error = ERRORS["data"][0]
    told = {name: error[name] for name in ("operator_id", "task_index", "details", "record")}
    world.run.log.error(error["message"], **told)
    world.run.log.warning("slow")
    world.run.flush()
    found = world.of_job("/errors?level=error&operator_id=source_1&limit=10").json
    assert found == {**ERRORS, "has_more": False, "total": 124, "retained": 124}
    assert [one["level"] for one in world.of_job("/errors").json["data"]] == ["warning", "error"]
    assert [one["message"] for one in world.of_job("/errors?level=warning").json["data"]] == ["slow"]
    assert [one["id"] for one in world.of_job("/errors?before=err_124").json["data"]] == ["err_123"]


def test_the_published_log_entry_is_answered_field_for_field(world: World) -> None:
    for _ in range(122):
        world.run.log.warning("early")
    entry = LOGS["data"][0]
    told = {name: entry[name] for name in ("operator_id", "task_index", "details")}
    world.run.log.info(entry["message"], **told)
    world.run.flush()
    found = world.of_job("/logs?level=info&operator_id=source_1&task_index=0").json
    assert found["data"] == [{**entry, "record": None}]
    assert (found["has_more"], found["total"], found["retained"]) == (False, 123, 123)


def test_logs_are_filtered_from_a_time_on_and_before_another(world: World) -> None:
    for number in range(4):
        world.run.log.info("%d", number)
        world.clock.advance(1)
    world.run.flush()

    def said(query: str) -> list[str]:
        return [entry["message"] for entry in world.of_job(f"/logs?{query}").json["data"]]

    assert said("") == ["3", "2", "1", "0"]
    assert said(f"since={NOW + 1000}&until={NOW + 3000}") == ["2", "1"]
    assert said("since=2024-01-01T00:00:01Z&until=2024-01-01T01:00:03%2B01:00") == ["2", "1"]
    assert said(f"since={NOW + 1001}") == ["3", "2"]
    assert said("before=log_2") == ["0"]
    assert said("after=log_2") == said("after=2") == ["2", "3"]
    assert said("after=0&limit=1") == ["0"]
    assert said("after=1&before=4") == ["1", "2"]
    assert said("level=warn") == []
    assert said("level=info,error&limit=1") == ["3"]


def test_a_job_that_reported_nothing_is_answered_with_nothing(world: World) -> None:
    nothing = {"data": [], "has_more": False, "total": 0, "retained": 0}
    assert world.of_job("/logs").json == world.of_job("/errors").json == nothing
    assert world.of_job("/output").json == {
        "data": [],
        "operator_id": None,
        "total_records": 0,
        "retained": 0,
        "has_more": False,
    }
    assert world.of_job("/metrics").json["latency_p50"] is None
    assert world.of_job("/output?format=csv").text == "\ufefftimestamp,operator_id\r\n"
