"""SIGTERM and SIGINT: what is held is handed back, uncharged, and the process ends; a stop is noticed at once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

import jobstate
from jobstate import State
from tests.processes.team import eventually, member

SIGNALS = (signal.SIGTERM, signal.SIGINT)
NOTICED = 0.5
"""Seconds; the promise is milliseconds, and a busy machine may be slow."""


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("role", ["loop", "serve"])
def test_a_signal_makes_a_worker_hand_back_what_it_holds_uncharged(
    tmp_path: Path, role: str, number: signal.Signals
) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs, member(role, path, "w1", "yes", 10) as worker:
        assert worker.receive() == "ready"
        held = 1 if role == "loop" else 3
        ids = [jobs.submit("extract").id for _ in range(held + 2)]
        assert sorted(worker.receive()["began"] for _ in range(held)) == ids[:held]
        began = time.monotonic()
        worker.process.send_signal(number)
        asked = [worker.receive() for _ in range(held)]
        assert sorted(one["asked"] for one in asked) == ids[:held]
        assert {one["mode"] for one in asked} == {"shutdown"}
        assert worker.receive() == "left"
        assert worker.ended() == 0
        assert time.monotonic() - began < 3
        for job_id in ids[:held]:
            job = jobs.get(job_id)
            assert (job.state, job.attempt, job.failures, job.worker_id) == (State.SCHEDULED, 1, 0, None)
            assert jobs.events(job_id)[-1].trigger == "release"
        assert {jobs.get(job_id).attempt for job_id in ids[held:]} == {0}
        assert jobs.workers() == []
        assert jobs.audit().findings == ()


def at_work(jobs: jobstate.JobStore) -> None:
    """Wait until the worker is listed: it handles signals since before that."""
    until = time.monotonic() + 30
    while not jobs.workers():
        assert time.monotonic() < until, "the worker did not start"
        time.sleep(0.01)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("role", ["loop", "serve"])
def test_an_idle_worker_leaves_at_a_signal(tmp_path: Path, role: str, number: signal.Signals) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs, member(role, path, "w1", "yes", 10) as worker:
        assert worker.receive() == "ready"
        at_work(jobs)
        worker.process.send_signal(number)
        assert worker.receive() == "left"
        assert worker.ended(3) == 0
        assert jobs.workers() == []


@pytest.mark.parametrize("role", ["loop", "serve"])
def test_a_second_signal_interrupts_a_worker_that_takes_too_long(tmp_path: Path, role: str) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs, member(role, path, "w1", "no", 600) as worker:
        assert worker.receive() == "ready"
        job = jobs.submit("extract")
        assert worker.receive()["began"] == job.id
        worker.process.terminate()
        time.sleep(0.2)
        assert jobs.get(job).state is State.RUNNING
        assert worker.process.poll() is None
        worker.process.send_signal(signal.SIGINT)
        assert worker.ended(3) != 0
        back = jobs.get(job)
        assert (back.state, back.failures) == (State.SCHEDULED, 0)
        assert jobs.audit().findings == ()


@pytest.mark.parametrize("role", ["loop", "serve"])
def test_the_job_of_a_handler_that_does_not_listen_is_handed_back_after_the_shutdown_timeout(
    tmp_path: Path, role: str
) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs, member(role, path, "w1", "no", 0.5) as worker:
        assert worker.receive() == "ready"
        job = jobs.submit("extract")
        assert worker.receive()["began"] == job.id
        worker.process.terminate()
        took = eventually(lambda: jobs.get(job).state is State.SCHEDULED)
        assert 0.2 <= took < 3
        back = jobs.get(job)
        assert (back.failures, back.attempt) == (0, 1)
        if role == "serve":  # its handlers are daemon threads, and end with the process
            assert worker.receive() == "left"
            assert worker.ended(3) == 0
        (run,) = jobs.claim("w2")
        assert run.token > job.lease_token
        assert jobs.audit().findings == ()


@pytest.mark.alone
def test_a_stop_that_another_process_asks_for_is_noticed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobs.db"
    delays = []
    with jobstate.open(path, durability="normal") as jobs, member("serve", path, "w1", "yes", 10) as worker:
        assert worker.receive() == "ready"
        for _ in range(5):
            job = jobs.submit("extract")
            assert worker.receive()["began"] == job.id
            time.sleep(0.05)
            asked_at = time.time()
            assert jobs.stop(job, reason="wrong input").job.state is State.STOP_REQUESTED
            noticed = worker.receive()
            assert (noticed["asked"], noticed["mode"]) == (job.id, "checkpoint")
            delays.append(noticed["at"] - asked_at)
            assert jobs.wait(job, timeout=5).state is State.STOPPED
    with capsys.disabled():
        print(f"\n  stop noticed after {sorted(round(delay * 1000) for delay in delays)} ms")
    assert max(delays) < NOTICED


@pytest.mark.alone
def test_work_that_another_process_submits_is_noticed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobs.db"
    delays = []
    with jobstate.open(path, durability="normal") as jobs, member("serve", path, "w1", "yes", 10) as worker:
        assert worker.receive() == "ready"
        for _ in range(5):
            time.sleep(0.3)  # idle, and between two of its own polls
            submitted_at = time.time()
            job = jobs.submit("extract")
            delays.append(worker.receive()["at"] - submitted_at)
            jobs.stop(job, mode="force")
            eventually(lambda: jobs.claim("nobody") == [])
            time.sleep(0.1)
    with capsys.disabled():
        print(f"\n  work noticed after {sorted(round(delay * 1000) for delay in delays)} ms")
    assert max(delays) < NOTICED


def test_a_wait_in_this_process_wakes_when_another_ends_the_job(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs:
        job = jobs.submit("extract")
        with member("hold", path, "w1", 60, 1) as holder:
            holder.receive()
            holder.send()
            assert jobs.wait(job, timeout=10).state is State.COMPLETED


@pytest.mark.alone
@pytest.mark.slow
def test_an_idle_worker_leaves_the_processor_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        jobs.submit_many({"kind": f"kind-{n % 20}", "hold": True} for n in range(500))
        with member("idle", path, 3) as idler:
            assert idler.receive() == "ready"
            share = idler.receive()
            assert idler.receive() == "left"
    with capsys.disabled():
        print(f"\n  an idle worker takes {share:.2%} of a core")
    assert share < 0.05
