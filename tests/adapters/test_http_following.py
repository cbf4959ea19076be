"""Requests that wait and streams of events: told of every change, whoever makes it, and of each exactly once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

import jobstate
from jobstate.http import Settings
from tests.adapters.served import connected, served
from tests.adapters.server import Server, serving
from tests.processes.team import eventually, member

HOST = "Host: localhost"
SOON = 2.0
"""Seconds; far less than any of the waits here, and enough for a machine that is busy."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[jobstate.JobStore]:
    with jobstate.open(tmp_path / "jobs.db", durability="normal") as store:
        yield store


@pytest.fixture
def server(store: jobstate.JobStore) -> Iterator[Server]:
    with serving(store) as server:
        yield server


_readers: list[Reader] = []


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    """Let go what readers left open."""
    yield
    while _readers:
        _readers.pop().close()


class Reader:
    """One reader of the stream of events; it is connected once it is made."""

    def __init__(self, server: Server, query: str = "", last: str | None = None) -> None:
        headers = {} if last is None else {"Last-Event-ID": last}
        self.seen: list[dict[str, Any]] = []
        self._pool = urllib3.PoolManager(retries=False, timeout=30)
        self._answer = self._pool.request("GET", f"{server.url}/events{query}", headers=headers, preload_content=False)
        assert self._answer.status == 200
        assert self._answer.headers["Content-Type"].startswith("text/event-stream")
        self._parts = self._answer.stream()
        assert next(self._parts) == b": connected\n\n"
        self._text = ""
        _readers.append(self)

    @property
    def ids(self) -> list[int]:
        return [event["id"] for event in self.seen]

    def read(self, events: int) -> list[dict[str, Any]]:
        """Read on until so many events were seen in all."""
        while len(self.seen) < events:
            assert self._more(), f"the stream ended after {len(self.seen)} events"
        return self.seen

    def ended(self) -> bool:
        """Read to the end of the stream, which is an error when it is cut off."""
        while self._more():
            pass
        return True

    def close(self) -> None:
        self._answer.close()
        self._pool.clear()

    def _more(self) -> bool:
        part = next(self._parts, None)
        if part is None:
            return False
        *blocks, self._text = (self._text + part.decode()).split("\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:  # else it says that the reader has caught up
                event = json.loads(fields["data"])
                assert (fields["event"], fields["id"]) == (event["event_type"], str(event["id"]))
                self.seen.append(event)
        return True


# Waiting


def test_a_wait_ends_with_a_change_that_another_process_makes(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract")
    with member("stop_when_told", store.path, job.id) as other, ThreadPoolExecutor(1) as pool:
        assert other.receive() == "ready"
        waiting = pool.submit(server.ask, "GET", f"/jobs/{job.id}/wait?timeout=30")
        assert server.ask("GET", "/healthz").status == 200
        assert not waiting.done()
        other.send()
        stopped = other.receive()
        answer = waiting.result()
        assert time.time() - stopped < SOON
    assert (answer.status, answer.json["status"]) == (200, "Stopped")


def test_a_wait_is_over_in_time(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract")
    began = time.monotonic()
    answer = server.ask("GET", f"/jobs/{job.id}/wait?timeout=0.3")
    assert 0.3 <= time.monotonic() - began < 0.3 + SOON
    assert (answer.status, answer.json["error_code"]) == (408, "WAIT_TIMEOUT")
    assert server.ask("GET", f"/jobs/{job.id}/wait?timeout=0").status == 408


def test_a_wait_may_be_for_any_state(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract")
    assert server.ask("GET", f"/jobs/{job.id}/wait?timeout=0&until=scheduled").status == 200
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, "GET", f"/jobs/{job.id}/wait?until=running,terminal")
        store.claim("w1")
        assert waiting.result().json["status"] == "Running"


def test_a_wait_for_what_will_not_come_any_more_ends_at_once(store: jobstate.JobStore, server: Server) -> None:
    job = store.stop(store.submit("extract"), mode="force").job
    assert server.ask("GET", f"/jobs/{job.id}/wait?until=completed").status == 408
    assert server.ask("GET", "/jobs/99/wait").status == 404


def test_a_wait_for_a_job_that_is_removed_ends(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract", hold=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.ask, "GET", f"/jobs/{job.id}/wait?until=running")
        store.stop(job, mode="force")
        store.delete(job)
        assert waiting.result().status in (404, 408)  # removed, or seen in between as ended


def test_a_wait_on_a_job_whose_worker_died_ends_though_nobody_else_looks(
    store: jobstate.JobStore, server: Server
) -> None:
    job = store.submit("extract", max_attempts=1)
    store.claim("w1", lease=0.2)
    answer = server.ask("GET", f"/jobs/{job.id}/wait")
    assert (answer.status, answer.json["status"], answer.json["failure"]["domain"]) == (200, "Failed", "lease")


def test_a_wait_on_a_job_that_is_past_its_stop_deadline_ends(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract")
    store.claim("w1", lease=300)
    assert server.ask("PUT", f"/jobs/{job.id}/stop?timeout_seconds=0.2").status == 200
    answer = server.ask("GET", f"/jobs/{job.id}/wait")
    assert answer.json["stop"]["outcome"] == "timed_out"


def test_a_hundred_that_wait_are_all_woken(store: jobstate.JobStore, server: Server) -> None:
    jobs = store.submit_many({"kind": "extract"} for _ in range(100))
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(server.ask, "GET", f"/jobs/{job.id}/wait") for job in jobs]
        with store.batch():
            for job in jobs:
                store.stop(job, mode="force")
        began = time.monotonic()
        answers = [one.result() for one in waiting]
        assert time.monotonic() - began < 5 * SOON
    assert [(answer.status, answer.json["id"]) for answer in answers] == [(200, job.id) for job in jobs]


def test_a_hundred_that_wait_beside_a_busy_store_leave_the_server_time_for_others(
    store: jobstate.JobStore, server: Server
) -> None:
    job = store.submit("waited for")
    with member("chatter", store.path) as other, ThreadPoolExecutor(100) as pool:
        assert other.receive() == "ready"
        waiting = [pool.submit(server.ask, "GET", f"/jobs/{job.id}/wait") for _ in range(100)]
        for _ in range(20):
            assert server.ask("GET", "/healthz").status == 200
        store.stop(job, mode="force")
        assert {one.result().status for one in waiting} == {200}


# Streams


def test_a_stream_is_connected_at_once_and_tells_what_happens_from_then_on(
    store: jobstate.JobStore, server: Server
) -> None:
    job = store.submit("before")
    reader = Reader(server)
    assert reader.seen == []
    store.stop(job, mode="force")
    (event,) = reader.read(1)
    assert (event["job_id"], event["from"], event["to"]) == (job.id, "Scheduled", "Stopped")


def test_a_stream_tells_what_another_process_does(store: jobstate.JobStore, server: Server) -> None:
    job = store.submit("extract")
    reader = Reader(server, f"?job_id={job.id}")
    with member("stop_when_told", store.path, job.id) as other:
        assert other.receive() == "ready"
        other.send()
        stopped = other.receive()
        reader.read(1)
        assert time.time() - stopped < SOON


def test_a_stream_may_begin_behind_any_event(store: jobstate.JobStore, server: Server) -> None:
    ids = [event.id for job in store.submit_many({"kind": "extract"} for _ in range(5)) for event in store.events(job)]
    for query, last, expected in (
        ("?after=0", None, ids),
        (f"?after={ids[1]}", None, ids[2:]),
        ("?after=0", str(ids[2]), ids[3:]),  # a reader that comes back asks as it did first
        ("", str(ids[3]), ids[4:]),
    ):
        reader = Reader(server, query, last)
        reader.read(len(expected))
        assert reader.ids == expected


@pytest.mark.parametrize("last", ["", "0", "-1", "x", "1x", "9" * 30, "\xb2", "1.0"])
def test_a_last_event_id_that_is_none_of_ours_counts_for_nothing(
    last: str, store: jobstate.JobStore, server: Server
) -> None:
    job = store.submit("extract")
    assert [event["job_id"] for event in Reader(server, "?after=0", last).read(1)] == [job.id]


def test_a_stream_of_one_job_tells_of_no_other(store: jobstate.JobStore, server: Server) -> None:
    first, second = store.submit_many([{"kind": "extract"}, {"kind": "extract"}])
    reader = Reader(server, f"?after=0&job_id={second.id}")
    store.stop(first, mode="force")
    store.stop(second, mode="force")
    assert {event["job_id"] for event in reader.read(2)} == {second.id}


def test_a_reader_that_is_cut_off_again_and_again_misses_nothing_and_sees_nothing_twice(
    store: jobstate.JobStore, server: Server
) -> None:
    over = threading.Event()

    def pour() -> None:
        while not over.is_set():
            for job in store.submit_many({"kind": "extract"} for _ in range(3)):
                store.stop(job, mode="force")
            eventually(lambda: over.is_set() or len(seen) > store.newest_event() - 400)

    seen: list[int] = []
    pouring = threading.Thread(target=pour)
    pouring.start()
    for turn in range(1, 16):
        reader = Reader(server, "?after=0", str(seen[-1]) if seen else None)
        reader.read(turn * 10)
        seen += reader.ids
        reader.close()
    over.set()
    pouring.join()
    newest = store.newest_event()
    seen += [event["id"] for event in Reader(server, "?after=0", str(seen[-1])).read(newest - seen[-1])]
    assert seen == list(range(1, newest + 1))


def test_a_store_that_fails_for_a_moment_costs_a_stream_no_event(
    store: jobstate.JobStore, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(server)
    failing = {"left": 3}
    real = type(store.repository.history).after

    def after(self: Any, *arguments: Any) -> Any:
        if failing["left"]:
            failing["left"] -= 1
            raise jobstate.StoreBusy("jobs.db", "for a moment")
        return real(self, *arguments)

    monkeypatch.setattr(type(store.repository.history), "after", after)
    ids = [store.events(job)[0].id for job in store.submit_many({"kind": "extract"} for _ in range(4))]
    reader.read(4)
    assert (reader.ids, failing["left"]) == (ids, 0)


def test_a_stream_that_lasted_long_enough_ends_properly(store: jobstate.JobStore) -> None:
    with serving(store, Settings(stream_seconds=0.1)) as server:
        assert Reader(server).ended()


def test_streams_end_properly_when_the_server_does(store: jobstate.JobStore) -> None:
    with serving(store) as server:
        readers = [Reader(server) for _ in range(20)]
    assert all(reader.ended() for reader in readers)


def test_readers_that_vanish_or_read_nothing_hold_up_nobody(store: jobstate.JobStore, server: Server) -> None:
    store.submit_many({"kind": "extract", "descriptor": {"pad": "x" * 100}} for _ in range(500))
    for _ in range(5):
        connected(server.port, "GET /events?after=0 HTTP/1.1", HOST).close()
    deaf = [Reader(server, "?after=0") for _ in range(5)]
    reader = Reader(server, "?after=0")
    reader.read(500)
    assert reader.ids == list(range(1, 501))
    assert all(one.seen == [] for one in deaf)


# At rest


@pytest.mark.slow
def test_a_server_that_is_asked_nothing_and_has_twenty_waiting_rests(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as store, served(path) as server:
        job = store.submit("extract")
        readers = [Reader(server) for _ in range(10)]
        waiting = [connected(server.port, f"GET /jobs/{job.id}/wait HTTP/1.1", HOST) for _ in range(10)]
        eventually(lambda: _share_of_a_core(server.process.pid, 1.0) < 0.05, within=20)
        assert len(readers) == 10
        for connection in waiting:
            connection.close()


def _share_of_a_core(pid: int, seconds: float) -> float:
    before = _ticks(pid)
    time.sleep(seconds)  # what is measured is this time
    return (_ticks(pid) - before) / 100 / seconds


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
