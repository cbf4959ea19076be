"""The published description of the pipelines' API: each command as written, each reply in its shape and arithmetic.

The `curl` lines stand here as they were published; only the host and the port are replaced.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

import jobstate
from jobstate import OperatorState, Run
from jobstate.domain import validation
from jobstate.domain.lifecycle import LIFECYCLE, State, Trigger
from jobstate.http import Settings
from jobstate.testing.clock import ManualClock
from tests.adapters.jobs_in_states import LEASE, brought, next_id
from tests.adapters.server import Answer, Server, serving

RUNNING: Final = 'curl "http://localhost:5115/api/v1/jobs?running=true"'
FAILED: Final = 'curl "http://localhost:5115/api/v1/jobs?state=Failed"'
GET: Final = "curl http://localhost:5115/api/v1/jobs/job_9876543210"

NOW: Final = 1704067200000
JOB: Final[dict[str, Any]] = {
    "id": "job_9876543210",
    "pipeline_id": "pipe_1234567890",
    "running_desired": True,
    "state": "Running",
    "run_id": 3,
    "start_time": NOW,
    "finish_time": None,
    "tasks": 4,
    "failure_message": None,
    "created_at": NOW,
    "metrics": {
        "records_in": 1000000,
        "records_out": 950000,
        "bytes_in": 104857600,
        "bytes_out": 99614720,
        "errors": 0,
        "warnings": 5,
    },
}
ADDED: Final = ["lifecycle", "allowed_actions", "configuration", "stop", "restarted_from"]
LISTED: Final = json.loads("""
{
  "data": [
    {
      "id": "job_9876543210",
      "pipeline_id": "pipe_1234567890",
      "state": "Running",
      "run_id": 3,
      "start_time": 1704067200000,
      "tasks": 4
    }
  ],
  "has_more": false
}
""")
CHECKPOINTS: Final = json.loads("""
{
  "data": [
    {
      "id": "chk_123456",
      "job_id": "job_9876543210",
      "epoch": 10,
      "start_time": 1704067200000,
      "finish_time": 1704067205000,
      "state": "completed",
      "size_bytes": 1048576,
      "operator_states": [
        {
          "operator_id": "source_1",
          "state_size": 524288
        }
      ]
    }
  ]
}
""")
CHECKPOINT: Final = json.loads("""
{
  "id": "chk_123456",
  "job_id": "job_9876543210",
  "epoch": 10,
  "start_time": 1704067200000,
  "finish_time": 1704067205000,
  "state": "completed",
  "size_bytes": 1048576,
  "backend": "filesystem",
  "location": "s3://checkpoints/job_9876543210/epoch_10",
  "operator_states": [
    {
      "operator_id": "source_1",
      "operator_name": "KafkaSource",
      "state_size": 524288,
      "subtask_states": [
        {
          "subtask_index": 0,
          "state_size": 131072
        }
      ]
    }
  ]
}
""")
STOP: Final = '{"mode": "checkpoint", "timeout_seconds": 30}'
RESTART: Final = '{"checkpoint_id": "chk_123456", "parallelism": 4}'
STATES: Final = (
    *("Created", "Scheduling", "Running", "Stopping", "Stopped", "Failed", "Finished", "Rescaling", "Recovering"),
)
"""Every state that the published table has."""


class World:
    """A server whose job and checkpoint are those of the published replies."""

    def __init__(self, store: jobstate.JobStore, server: Server, run: Run) -> None:
        self.store = store
        self.server = server
        self.run = run

    def curl(self, line: str) -> Answer:
        """What `curl` would do with this line, at another address."""
        program, *arguments = shlex.split(line)
        assert program == "curl"
        where = urlsplit(arguments[-1])
        assert where.netloc == "localhost:5115"
        return self.server.ask("GET", f"{where.path}?{where.query}" if where.query else where.path)

    def of_job(self, path: str, method: str = "GET", body: str | None = None) -> Answer:
        """A request about the published job, with a published body."""
        headers = {} if body is None else {"Content-Type": "application/json"}
        return self.server.ask(method, f"/api/v1/jobs/job_9876543210{path}", raw=body, headers=headers)


def next_checkpoint(store: jobstate.JobStore, number: int) -> None:
    """Have the next checkpoint be this one, as if all before it had been there."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'job_checkpoints'", (number - 1,))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = ManualClock(validation.instant(NOW * 1000))
    with jobstate.open(tmp_path / "jobs.db", durability="normal", clock=clock) as store:
        for _ in range(2):  # the first two runs of the pipeline
            store.stop(store.submit("etl", pipeline_id="pipe_1234567890"), mode="force")
        store.prune("terminal")
        next_id(store, 9876543210)
        store.submit("etl", {"sink": "warehouse"}, pipeline_id="pipe_1234567890", parallelism=4)
        (run,) = store.claim("worker-01", lease=LEASE)
        counted = JOB["metrics"]
        run.metrics("source_1", kind="source", records_in=counted["records_in"], bytes_in=counted["bytes_in"])
        run.metrics("sink_1", kind="sink", records_out=counted["records_out"], bytes_out=counted["bytes_out"])
        run.metrics("map_1", records_in=999_999, records_out=960_000, warnings=counted["warnings"])
        for _ in range(9):
            run.checkpoint()
        next_checkpoint(store, 123456)
        point = run.begin_checkpoint(backend="filesystem", location="s3://checkpoints/job_9876543210/epoch_10")
        clock.advance(5)
        source = OperatorState("source_1", 524288, "KafkaSource", {0: 131072})
        run.complete_checkpoint(point, size_bytes=1048576, operators=[source])
        with serving(store, Settings(sweep_every=3600)) as server:
            yield World(store, server, run)
        assert store.audit().ok


def test_the_published_job_is_answered_field_for_field_then_ours(world: World) -> None:
    answer = world.curl(GET)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert list(answer.json) == [*JOB, *ADDED]
    assert {name: answer.json[name] for name in JOB} == JOB
    assert {name: answer.json[name] for name in ADDED} == {
        "lifecycle": "Running",
        "allowed_actions": ["stop", "rescale", "fail"],
        "configuration": {"kind": "etl", "descriptor": {"sink": "warehouse"}, "parallelism": 4, "max_attempts": 3},
        "stop": None,
        "restarted_from": None,
    }
    assert world.server.ask("GET", "/api/v1/jobs/9876543210").json == answer.json


def test_the_published_listing_of_what_runs_is_answered_in_its_shape(world: World) -> None:
    held = world.store.submit("etl", hold=True)
    answer = world.curl(RUNNING)
    assert (answer.status, list(answer.json), answer.json["has_more"]) == (200, list(LISTED), False)
    (job,), (published,) = answer.json["data"], LISTED["data"]
    assert {name: job[name] for name in published} == published
    assert {**job, "metrics": JOB["metrics"]} == world.curl(GET).json
    world.store.stop(held)
    assert world.curl(RUNNING).json == answer.json


def test_the_published_listing_of_what_failed_is_answered(world: World) -> None:
    assert world.curl(FAILED).json == {"data": [], "has_more": False}
    world.run.fail("disk gone", retryable=False)
    (job,) = world.curl(FAILED).json["data"]
    assert (job["state"], job["failure_message"], job["finish_time"]) == ("Failed", "disk gone", NOW + 5000)
    assert job["running_desired"] is False


def test_the_published_checkpoints_are_answered_with_the_newest_epoch_first(world: World) -> None:
    answer = world.of_job("/checkpoints?limit=1")
    assert (answer.status, answer.json) == (200, {**CHECKPOINTS, "has_more": True})
    everything = world.of_job("/checkpoints").json
    assert [checkpoint["epoch"] for checkpoint in everything["data"]] == list(range(10, 0, -1))
    assert everything["data"][0] == CHECKPOINTS["data"][0]
    assert everything["has_more"] is False


def test_the_published_filter_finds_the_checkpoints_that_were_completed_and_the_others(world: World) -> None:
    world.run.begin_checkpoint()
    failed = world.run.begin_checkpoint()
    world.run.fail_checkpoint(failed, "no space")
    shown = {
        asked: [(found["epoch"], found["state"], found["finish_time"]) for found in answer.json["data"]]
        for asked in ("true", "false")
        for answer in [world.of_job(f"/checkpoints?completed={asked}")]
    }
    assert [epoch for epoch, _, _ in shown["true"]] == list(range(10, 0, -1))
    assert shown["false"] == [(12, "failed", NOW + 5000), (11, "in_progress", None)]
    assert world.of_job("/checkpoints?completed=true&limit=2&offset=8").json["has_more"] is False
    assert world.of_job("/checkpoints?completed=true&limit=2&offset=7").json["has_more"] is True
    assert world.of_job(f"/checkpoints/{failed.id}").json["failure"] == "no space"


def test_the_published_checkpoint_is_answered_whole(world: World) -> None:
    for name in ("chk_123456", "123456"):
        answer = world.of_job(f"/checkpoints/{name}")
        assert (answer.status, answer.json) == (200, {**CHECKPOINT, "failure": None})


def test_the_published_stop_is_answered_with_when_it_is_over(world: World) -> None:
    answer = world.of_job("/stop", "POST", STOP)
    assert (answer.status, answer.json) == (
        200,
        {"message": "Job stop initiated", "expected_finish_time": NOW + 5000 + 30_000},
    )
    job = world.curl(GET).json
    assert (job["state"], job["lifecycle"], job["running_desired"]) == ("Stopping", "StopRequested", False)
    assert job["stop"] == {"mode": "checkpoint", "deadline": NOW + 35_000, "reason": None, "outcome": None}


def test_the_published_arithmetic_of_a_stop_is_kept(tmp_path: Path) -> None:
    """1704067200000 and 30 seconds are 1704067230000, and 30 seconds go without saying."""
    clock = ManualClock(validation.instant(NOW * 1000))
    with jobstate.open(tmp_path / "jobs.db", clock=clock) as store, serving(store, Settings(sweep_every=60)) as server:
        for body in (json.loads(STOP), None, {}, {"mode": "immediate"}):
            store.submit("etl")
            (run,) = store.claim("worker-01", lease=LEASE)
            answer = server.ask("POST", f"/api/v1/jobs/job_{run.id}/stop", body=body)
            assert answer.json == {"message": "Job stop initiated", "expected_finish_time": 1704067230000}


def test_the_published_restart_is_answered_with_the_new_job(world: World) -> None:
    world.run.fail("disk gone", retryable=False)
    answer = world.of_job("/restart", "POST", RESTART)
    assert (answer.status, answer.json) == (200, {"message": "Job restarted", "new_job_id": "job_9876543211"})
    restarted = world.server.ask("GET", "/api/v1/jobs/job_9876543211").json
    assert (restarted["run_id"], restarted["tasks"], restarted["restarted_from"]) == (4, 4, "job_9876543210")
    assert (restarted["state"], restarted["running_desired"]) == ("Scheduling", True)
    (copied,) = world.server.ask("GET", "/api/v1/jobs/job_9876543211/checkpoints").json["data"]
    published = CHECKPOINTS["data"][0]
    assert copied == {**published, "id": copied["id"], "job_id": "job_9876543211", "epoch": 11}


def test_each_published_state_is_the_word_for_a_job_and_there_is_no_other(world: World) -> None:
    seen = {}
    for state in State:
        job = world.server.ask("GET", f"/api/v1/jobs/job_{brought(world.store, state)}").json
        assert job["lifecycle"] == state.value
        seen[state] = job["state"]
    assert set(seen.values()) == set(STATES)
    for state, shown in seen.items():
        if shown == state.value:
            continue
        assert (state, shown) in {
            (LIFECYCLE[State.CREATED][Trigger.SCHEDULE], "Scheduling"),
            (State.STOP_REQUESTED, "Stopping"),
            (State.COMPLETED, "Finished"),
        }


@pytest.mark.parametrize("state", STATES)
def test_each_published_state_filters(world: World, state: str) -> None:
    for each in State:
        brought(world.store, each)
    found = world.server.ask("GET", f"/api/v1/jobs?state={state}&limit=100").json["data"]
    assert {job["state"] for job in found} == {state}
    assert len(found) == (2 if state in ("Stopping", "Running") else 1)


def test_whether_a_job_runs_divides_all_jobs_in_two(world: World) -> None:
    for each in State:
        brought(world.store, each)
    running, others = (
        {
            job["id"]: job["state"]
            for job in world.server.ask("GET", f"/api/v1/jobs?limit=100&running={said}").json["data"]
        }
        for said in ("true", "false")
    )
    assert sorted(running.values()) == ["Rescaling", "Running", "Running"]
    assert not set(running) & set(others)
    assert len(running) + len(others) == len(State) + 1
    assert {job["id"] for job in world.server.ask("GET", "/api/v1/jobs?running=false&state=active").json["data"]} == {
        f"job_{job.id}" for job in world.store.iterate("active") if f"job_{job.id}" not in running
    }
