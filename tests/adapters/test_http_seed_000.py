"""The published description of the API, line by line: each command as written, each reply and each response code.

The `curl` lines stand here as they were published; only the host and the port are replaced.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

import jobstate
from jobstate.domain.lifecycle import State
from jobstate.http import Settings
from jobstate.testing.clock import ManualClock
from jobstate.wire.states import Dialect
from tests.adapters.jobs_in_states import LEASE, brought, next_id
from tests.adapters.server import Answer, Server, serving

LIST: Final = 'curl "http://localhost:1610/jobs?limit=10&status=active"'
GET: Final = "curl http://localhost:1610/jobs/12345"
PROGRESS: Final = "curl http://localhost:1610/jobs/12345/progress"
STOP: Final = "curl -X PUT http://localhost:1610/jobs/12345/stop"
DELETE: Final = "curl -X DELETE http://localhost:1610/jobs/12345"
PRUNE: Final = 'curl -X DELETE "http://localhost:1610/jobs?status=completed"'

JOB: Final[dict[str, Any]] = {
    "id": 12345,
    "created_at": "2025-01-15T14:30:00.123456Z",
    "updated_at": "2025-01-15T17:20:15.456789Z",
    "node_id": "worker-01h2xcejqtf2nbrexx3vqjhp41",
    "status": "Running",
    "descriptor": {"dataset": "eth/[email protected]", "start_block": 0, "end_block": None},
}
PROGRESS_REPLY: Final[dict[str, Any]] = {
    "job_id": 12345,
    "job_status": "Running",
    "tables": {
        "blocks": {"files_count": 150, "total_size_bytes": 5368709120, "start_block": 0, "current_block": 15000000},
        "transactions": {
            "files_count": 280,
            "total_size_bytes": 12884901888,
            "start_block": 0,
            "current_block": 15000000,
        },
    },
}
ADDED: Final = frozenset(
    (
        *("state", "kind", "key", "pipeline_id", "run_id", "labels", "priority", "available_at", "parallelism"),
        *("attempt", "failures", "max_attempts", "started_at", "finished_at", "stop", "failure", "restarted_from"),
    )
)
"""What a job has beside the published fields, as our contract lists it."""
SDK_SPELLING: Final = {"Running": "RUNNING", "StopRequested": "STOP_REQUESTED"}


class World:
    """A server whose job 12345 is the one of the published replies."""

    def __init__(self, store: jobstate.JobStore, server: Server, dialect: Dialect) -> None:
        self.store = store
        self.server = server
        self.dialect = dialect

    def curl(self, line: str) -> Answer:
        """What `curl` would do with this line, at another address."""
        program, *arguments = shlex.split(line)
        assert program == "curl"
        method = arguments[1] if arguments[0] == "-X" else "GET"
        where = urlsplit(arguments[-1])
        assert where.netloc == "localhost:1610"
        return self.server.ask(method, f"{where.path}?{where.query}" if where.query else where.path)

    def spelled(self, published: str) -> str:
        """The published word, as the profile spells it."""
        return published if self.dialect is Dialect.DOCS else SDK_SPELLING[published]


@contextmanager
def published(path: Path, dialect: Dialect) -> Iterator[World]:
    clock = ManualClock(datetime.fromisoformat(JOB["created_at"]))
    with jobstate.open(path, durability="normal", clock=clock) as store:
        next_id(store, JOB["id"])
        store.submit("extract", JOB["descriptor"])
        clock.set(datetime.fromisoformat(JOB["updated_at"]))
        (run,) = store.claim(JOB["node_id"], lease=LEASE)
        for table, figures in PROGRESS_REPLY["tables"].items():
            run.set_progress(table, **figures)
        run.flush()
        with serving(store, Settings(dialect=dialect, sweep_every=3600)) as server:
            yield World(store, server, dialect)
        assert store.audit().ok


@pytest.fixture(scope="module", params=[Dialect.DOCS, Dialect.SDK])
def server_of_all(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with published(tmp_path_factory.mktemp("shared") / "jobs.db", request.param) as found:
        yield found


@pytest.fixture
def world(server_of_all: World) -> World:
    """For tests that leave job 12345 as it is."""
    for job in server_of_all.store.iterate("all"):
        if job.id != JOB["id"]:
            server_of_all.store.stop(job, mode="force")
            server_of_all.store.delete(job)
    return server_of_all


@pytest.fixture(params=[Dialect.DOCS, Dialect.SDK])
def own_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """For tests that stop or remove job 12345."""
    with published(tmp_path / "jobs.db", request.param) as found:
        yield found


def test_the_published_listing_is_answered_field_for_field(world: World) -> None:
    answer = world.curl(LIST)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    (job,) = answer.json["jobs"]
    expected = {**JOB, "status": world.spelled("Running")}
    assert {name: job[name] for name in expected} == expected
    assert list(job)[: len(JOB)] == list(JOB)
    assert job.keys() - JOB.keys() == ADDED


def test_the_cursor_of_the_last_page_is_null_and_left_out_for_the_sdk(own_world: World) -> None:
    last = {"next_cursor": None} if own_world.dialect is Dialect.DOCS else {}
    answer = own_world.curl(LIST).json
    assert {name: value for name, value in answer.items() if name != "jobs"} == last
    own_world.store.submit_many([{"kind": "extract"}] * 9)
    assert {name: value for name, value in own_world.curl(LIST).json.items() if name != "jobs"} == last
    own_world.store.submit("extract")
    answer = own_world.curl(LIST).json
    assert [job["id"] for job in answer["jobs"]] == list(range(12355, 12345, -1))
    assert answer["next_cursor"] == 12346


def test_the_listing_shows_live_jobs_alone(own_world: World) -> None:
    own_world.store.stop(12345, mode="force")
    held = own_world.store.submit("extract", hold=True)
    assert [job["id"] for job in own_world.curl(LIST).json["jobs"]] == [held.id]


def test_the_published_job_is_answered_field_for_field(world: World) -> None:
    answer = world.curl(GET)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    expected = {**JOB, "status": world.spelled("Running")}
    assert {name: answer.json[name] for name in expected} == expected
    assert answer.json.keys() - JOB.keys() == ADDED
    assert answer.json["state"] == "Running"


def test_the_published_progress_is_answered_exactly(world: World) -> None:
    answer = world.curl(PROGRESS)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {**PROGRESS_REPLY, "job_status": world.spelled("Running")}


def test_the_published_stop_is_answered_with_nothing_and_may_be_repeated(own_world: World) -> None:
    for _ in range(2):
        answer = own_world.curl(STOP)
        assert (answer.status, answer.text, answer.headers["content-length"]) == (200, "", "0")
        assert own_world.curl(GET).json["status"] == own_world.spelled("StopRequested")
    assert len(own_world.store.events(12345)) == 3


def test_the_published_deletion_is_refused_while_the_job_lives_and_then_done_and_may_be_repeated(
    own_world: World,
) -> None:
    refused = own_world.curl(DELETE)
    assert (refused.status, refused.json["error_code"]) == (409, "JOB_CONFLICT")
    own_world.store.stop(12345, mode="force")
    for _ in range(2):
        answer = own_world.curl(DELETE)
        assert (answer.status, answer.text) == (204, "")
        assert own_world.curl(GET).status == 404


def test_the_published_bulk_deletion_removes_what_is_completed(world: World) -> None:
    completed, failed = brought(world.store, State.COMPLETED), brought(world.store, State.FAILED)
    for removed in ("1", "0"):
        answer = world.curl(PRUNE)
        assert (answer.status, answer.text, answer.headers["x-deleted-count"]) == (204, "", removed)
    assert {job.id for job in world.store.iterate("all")} == {12345, failed}
    assert completed not in {12345, failed}


NO_ID: Final = ("12345", "eth-mainnet")
ABSENT: Final = ("12345", "54321")
AS_WRITTEN: Final = ("", "")


@pytest.mark.parametrize(
    ("line", "replaced", "status", "code"),
    [
        (LIST, AS_WRITTEN, 200, None),
        (LIST, ("limit=10", "limit=1000"), 200, None),
        (LIST, ("limit=10&status=active", ""), 200, None),
        (LIST, ("status=active", "status=all"), 200, None),
        (LIST, ("status=active", "status=scheduled,running"), 200, None),
        (LIST, ("limit=10", "last_job_id=12345"), 200, None),
        (LIST, ("limit=10", "limit=0"), 400, "LIMIT_INVALID"),
        (LIST, ("limit=10", "limit=1001"), 400, "LIMIT_TOO_LARGE"),
        (LIST, ("limit=10", "last_job_id=eth"), 400, "INVALID_QUERY_PARAMETERS"),
        (LIST, ("status=active", "status=busy"), 400, "INVALID_QUERY_PARAMETERS"),
        (GET, AS_WRITTEN, 200, None),
        (GET, NO_ID, 400, "INVALID_JOB_ID"),
        (GET, ABSENT, 404, "JOB_NOT_FOUND"),
        (PROGRESS, AS_WRITTEN, 200, None),
        (PROGRESS, NO_ID, 400, "INVALID_JOB_ID"),
        (PROGRESS, ABSENT, 404, "JOB_NOT_FOUND"),
        (STOP, NO_ID, 400, "INVALID_JOB_ID"),
        (STOP, ABSENT, 404, "JOB_NOT_FOUND"),
        (DELETE, ABSENT, 204, None),
        (DELETE, NO_ID, 400, "INVALID_JOB_ID"),
        (DELETE, AS_WRITTEN, 409, "JOB_CONFLICT"),
        (PRUNE, AS_WRITTEN, 204, None),
        (PRUNE, ("completed", "terminal"), 204, None),
        (PRUNE, ("completed", "stopped"), 204, None),
        (PRUNE, ("completed", "error"), 204, None),
        (PRUNE, ("completed", "running"), 400, "INVALID_QUERY_PARAM"),
        (PRUNE, ("?status=completed", ""), 400, "INVALID_QUERY_PARAM"),
    ],
)
def test_each_published_response_code_is_answered(
    world: World, line: str, replaced: tuple[str, str], status: int, code: str | None
) -> None:
    answer = world.curl(line.replace(*replaced))
    assert answer.status == status
    if code is not None:
        assert answer.json.keys() == {"error_code", "error_message"}
        assert answer.json["error_code"] == code


@pytest.mark.parametrize("line", [LIST, GET, PROGRESS, STOP, DELETE, PRUNE])
def test_a_database_error_is_answered_with_500(damaged: World, line: str) -> None:
    answer = damaged.curl(line)
    assert answer.status == 500
    assert answer.json.keys() == {"error_code", "error_message"}
    assert answer.json["error_code"] == "DATABASE_ERROR"


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server over a store whose file became damaged."""
    path = tmp_path_factory.mktemp("damaged") / "jobs.db"
    with jobstate.open(path) as store:
        store.submit("extract")
    with jobstate.open(path) as store, serving(store, Settings(sweep_every=3600)) as server:
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * (path.stat().st_size - 100))
        yield World(store, server, Dialect.DOCS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (State.SCHEDULED, State.STOP_REQUESTED),
        (State.RUNNING, State.STOP_REQUESTED),
        (State.STOPPED, State.STOPPED),
        (State.COMPLETED, State.COMPLETED),
        (State.FAILED, State.FAILED),
    ],
)
def test_each_published_transition_of_a_stop_is_kept(world: World, before: State, after: State) -> None:
    job_id = brought(world.store, before)
    assert world.curl(STOP.replace("12345", str(job_id))).status == 200
    assert world.store.get(job_id).state is after


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State.COMPLETED, 204),
        (State.STOPPED, 204),
        (State.FAILED, 204),
        (State.SCHEDULED, 409),
        (State.RUNNING, 409),
        (State.STOP_REQUESTED, 409),
        (State.STOPPING, 409),
    ],
)
def test_each_published_state_is_deleted_or_protected(world: World, state: State, status: int) -> None:
    job_id = brought(world.store, state)
    assert world.curl(DELETE.replace("12345", str(job_id))).status == status
    assert (job_id in {job.id for job in world.store.iterate("all")}) is (status == 409)
