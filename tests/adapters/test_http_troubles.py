"""A store that is locked, away, replaced or damaged while it is served: said as it is, and over when it is over."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import jobstate
from jobstate import State
from tests.adapters.served import connected, head
from tests.adapters.server import Answer, Server, serving
from tests.processes.team import eventually, member

SHORT = 0.2
"""Seconds that a writer waits for another one here."""


@dataclass(frozen=True)
class Scene:
    """A served store, and where it is."""

    path: Path
    server: Server

    def submit(self, kind: str = "extract") -> Answer:
        return self.server.ask("POST", "/jobs", body={"kind": kind})

    def kinds(self) -> list[str]:
        return [job["kind"] for job in self.server.ask("GET", "/jobs?status=all").json["jobs"]]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    path = tmp_path / "jobs.db"
    reopen = partial(jobstate.open, path, durability="normal", timeout=SHORT, create=False)
    with jobstate.open(path, durability="normal", timeout=SHORT) as store, serving(store, reopen=reopen) as server:
        yield Scene(path, server)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program is in the middle of a write."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def unavailable(answer: Answer, code: str) -> None:
    assert (answer.status, answer.json["error_code"]) == (503, code)
    assert answer.headers["Retry-After"] == "1"


def overdue(path: Path, lease: float = 0.000001) -> int:
    """A job that a sweep is to settle once its lease has run out: its worker died."""
    with jobstate.open(path, durability="normal") as store:
        job = store.submit("overdue")
        store.claim("dead", kinds=["overdue"], lease=lease)
        return job.id


def is_settled(scene: Scene, job_id: int) -> Callable[[], bool]:
    """Whether a sweep of the server was there."""
    return lambda: scene.server.ask("GET", f"/jobs/{job_id}").json.get("state") == State.RECOVERING


# Locked


def test_a_store_that_another_process_holds_is_busy_for_writers_and_open_for_readers(scene: Scene) -> None:
    assert scene.submit().status == 201
    with locked(scene.path):
        for method, path in (("PUT", "/jobs/1/stop"), ("PUT", "/jobs/1/schedule"), ("PUT", "/jobs/1/fail")):
            unavailable(scene.server.ask(method, path, headers={"X-Jobstate-Reason": "x"}), "STORE_BUSY")
        unavailable(scene.submit(), "STORE_BUSY")
        for path in ("/jobs", "/jobs/1", "/jobs/1/events", "/workers", "/healthz", "/metrics"):
            assert scene.server.ask("GET", path).status == 200
    assert scene.submit().status == 201
    assert scene.kinds() == ["extract", "extract"]


def test_a_hundred_writers_that_wait_for_a_lock_leave_readers_their_threads(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal", timeout=60) as store, serving(store) as server:
        crowd = ThreadPoolExecutor(100)
        with locked(path):
            writers = [crowd.submit(server.ask, "POST", "/jobs", body={"kind": "extract"}) for _ in range(100)]
            for _ in range(50):
                assert server.ask("GET", "/healthz").status == 200
            assert not any(writer.done() for writer in writers)
        assert {writer.result().status for writer in writers} == {201}
        crowd.shutdown()


def test_sweeping_goes_on_when_the_lock_is_gone(scene: Scene) -> None:
    job_id = overdue(scene.path, lease=0.5)
    with locked(scene.path):
        failed = re.compile(r"^jobstate_failed_sweeps_total [1-9]", re.MULTILINE)
        eventually(lambda: failed.search(scene.server.ask("GET", "/metrics").text) is not None)
    eventually(is_settled(scene, job_id))


# Away


def test_a_file_that_is_taken_away_is_missed_at_once_and_used_again_when_it_is_back(scene: Scene) -> None:
    assert scene.submit("before").status == 201
    away = scene.path.rename(scene.path.with_name("away.db"))
    for method, path in (("GET", "/jobs"), ("GET", "/jobs/1"), ("PUT", "/jobs/1/stop"), ("DELETE", "/jobs/1")):
        unavailable(scene.server.ask(method, path), "STORE_UNAVAILABLE")
    for path in ("/healthz", "/metrics", "/events", "/jobs/1/wait", "/workers"):
        unavailable(scene.server.ask("GET", path), "STORE_UNAVAILABLE")
    unavailable(scene.submit("lost"), "STORE_UNAVAILABLE")
    assert not scene.path.exists()
    away.rename(scene.path)
    assert scene.submit("after").status == 201
    assert scene.kinds() == ["after", "before"]
    eventually(is_settled(scene, overdue(scene.path)))


def insisted(scene: Scene) -> int:
    """The status of a submission that is repeated while others keep the store busy, as the answer says."""
    while (answer := scene.submit()).status == 503:
        assert answer.json["error_code"] == "STORE_BUSY"
    return answer.status


def test_what_a_new_thread_does_while_the_file_is_away_makes_no_file(scene: Scene) -> None:
    away = scene.path.rename(scene.path.with_name("away.db"))
    with ThreadPoolExecutor(60) as crowd:
        found = list(crowd.map(lambda _: scene.submit().status, range(60)))
    assert set(found) == {503}
    assert not scene.path.exists()
    away.rename(scene.path)
    with ThreadPoolExecutor(60) as crowd:
        assert set(crowd.map(lambda _: insisted(scene), range(60))) == {201}
    with jobstate.open(scene.path) as store:
        assert store.counts()[State.SCHEDULED] == 60


def test_a_stream_outlives_an_absence(scene: Scene) -> None:
    stream = connected(scene.server.port, "GET /events?after=0 HTTP/1.1", "Host: localhost")
    head(stream)
    away = scene.path.rename(scene.path.with_name("away.db"))
    unavailable(scene.submit("lost"), "STORE_UNAVAILABLE")
    away.rename(scene.path)
    assert scene.submit("after").status == 201
    assert b"event: submit" in _until(stream, b"event: submit")
    stream.close()


def _until(stream: socket.socket, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        more = stream.recv(4096)
        assert more, seen
        seen += more
    return seen


@pytest.mark.parametrize("turns", [8, pytest.param(29, marks=pytest.mark.slow)])
def test_nothing_is_acknowledged_that_went_away_with_the_file(scene: Scene, turns: int) -> None:
    """Writers go on while the file is moved away and back again and again."""
    acknowledged: list[int] = []
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            answer = scene.submit()
            if answer.status == 201:
                acknowledged.append(answer.json["id"])
            else:
                unavailable(answer, answer.json["error_code"])

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    away = scene.path.with_name("away.db")
    for turn in range(1, turns + 1):
        eventually(lambda least=turn: len(acknowledged) >= least)  # type: ignore[misc]
        scene.path.rename(away)
        assert not scene.path.exists()
        away.rename(scene.path)
    over.set()
    for writer in writers:
        writer.join()
    with jobstate.open(scene.path) as store:
        there = {job.id for job in store.iterate("all")}
        assert set(acknowledged) <= there
        assert store.audit().ok


def test_a_write_whose_file_is_taken_away_under_it_is_not_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    reopen = partial(jobstate.open, path, create=False)
    with (
        jobstate.open(path, timeout=30) as store,
        serving(store, reopen=reopen) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        with locked(path):
            writing = pool.submit(server.ask, "POST", "/jobs", body={"kind": "extract"})
            assert server.ask("GET", "/healthz").status == 200
            assert not writing.done()  # it waits for the lock
            path.rename(path.with_name("away.db"))
        unavailable(writing.result(), "STORE_UNAVAILABLE")
        path.with_name("away.db").rename(path)


# Replaced


def other_store(folder: Path, kind: str, jobs: int) -> Path:
    path = folder / f"{kind}.db"
    with jobstate.open(path, durability="normal") as store:
        store.submit_many({"kind": kind} for _ in range(jobs))
    return path


def test_a_file_that_another_store_takes_the_place_of_is_served_without_a_trace_of_the_old_one(scene: Scene) -> None:
    for _ in range(3):
        assert scene.submit("old").status == 201
    assert scene.path.with_name("jobs.db-wal").stat().st_size  # what was acknowledged stands in the log
    os.replace(other_store(scene.path.parent, "new", 2), scene.path)
    assert scene.kinds() == ["new", "new"]
    assert scene.submit("newer").status == 201
    assert scene.kinds() == ["newer", "new", "new"]
    eventually(is_settled(scene, overdue(scene.path)))
    with jobstate.open(scene.path) as store:
        assert store.audit().ok


def test_the_log_of_a_replaced_file_is_kept_so_that_what_was_acknowledged_there_is_found(scene: Scene) -> None:
    for _ in range(3):
        assert scene.submit("old").status == 201
    scene.path.rename(scene.path.with_name("moved.db"))
    os.replace(other_store(scene.path.parent, "new", 2), scene.path)
    assert scene.kinds() == ["new", "new"]
    (log,) = scene.path.parent.glob("jobs.db-wal.of-replaced-*")
    log.rename(scene.path.with_name("moved.db-wal"))
    with jobstate.open(scene.path.with_name("moved.db")) as store:
        assert [job.kind for job in store.list("all").jobs] == ["old", "old", "old"]
        assert store.audit().ok


def test_a_stream_of_a_replaced_file_ends_and_its_reader_begins_anew(scene: Scene) -> None:
    for _ in range(5):
        assert scene.submit("old").status == 201
    stream = connected(scene.server.port, "GET /events?after=0 HTTP/1.1", "Host: localhost")
    _until(stream, b"id: 5\n")
    os.replace(other_store(scene.path.parent, "new", 2), scene.path)
    _until(stream, b"0\r\n\r\n")
    again = connected(scene.server.port, "GET /events HTTP/1.1", "Host: localhost", "Last-Event-ID: 5")
    head(again)
    assert scene.submit("newer").status == 201
    assert b"id: 3\n" in _until(again, b"id: 3\n")
    stream.close()
    again.close()


def test_an_empty_file_is_one_that_is_still_being_copied(scene: Scene) -> None:
    new = other_store(scene.path.parent, "new", 2)
    scene.path.unlink()
    scene.path.touch()
    unavailable(scene.submit("lost"), "STORE_UNAVAILABLE")
    assert scene.path.stat().st_size == 0
    shutil.copyfile(new, scene.path)
    eventually(lambda: scene.server.ask("GET", "/jobs").status == 200)
    assert scene.kinds() == ["new", "new"]


# Damaged


def test_a_file_that_is_no_database_is_a_database_error_until_it_is_one_again(scene: Scene) -> None:
    assert scene.submit("old").status == 201
    damaged = scene.path.with_name("damaged")
    damaged.write_bytes(b"this is no database, though it is as long as one might be" * 100)
    good = other_store(scene.path.parent, "good", 1)
    os.replace(damaged, scene.path)
    for method, path in (("GET", "/jobs"), ("GET", "/healthz"), ("GET", "/metrics"), ("PUT", "/jobs/1/stop")):
        answer = scene.server.ask(method, path)
        assert (answer.status, answer.json["error_code"]) == (500, "DATABASE_ERROR")
        assert str(scene.path) in answer.json["error_message"]
    os.replace(good, scene.path)
    assert scene.kinds() == ["good"]
    eventually(is_settled(scene, overdue(scene.path)))


def test_what_is_known_of_an_error_stands_in_a_header_for_our_client(scene: Scene) -> None:
    with locked(scene.path):
        answer = scene.submit()
    assert json.loads(answer.headers["X-Jobstate-Error-Fields"])[0] == str(scene.path)


# Beside other processes


def test_a_busy_neighbour_costs_nobody_an_acknowledged_job(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as store, serving(store) as server, member("chatter", path) as other:
        assert other.receive() == "ready"
        ids = [server.ask("POST", "/jobs", body={"kind": "ours"}).json["id"] for _ in range(30)]
        other.kill()
        assert {job.id for job in store.iterate("all", kind="ours")} == set(ids)
        assert store.audit().ok
