"""Signals in the middle of anything, a store that is closed under its users, and handlers that fork."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import FrameType

import pytest

import jobstate
from jobstate.storage.transaction import Transaction

STORM = """
import os, random, signal, sys, threading, time
import jobstate

jobs = jobstate.open(sys.argv[1], durability="normal", timeout=2)
acknowledged, over = [], False

def storm():
    until = time.monotonic() + 4
    while time.monotonic() < until:
        time.sleep(random.random() * 0.004)
        os.kill(os.getpid(), signal.SIGINT)
    global over
    over = True

threading.Thread(target=storm, daemon=True).start()
while not over:
    try:
        while not over:
            acknowledged.append(jobs.submit("work").id)
    except KeyboardInterrupt:
        pass
signal.signal(signal.SIGINT, signal.SIG_IGN)
jobs.submit("last")
print(*acknowledged)
"""

CLOSING = """
import sys, threading, time
import jobstate

def use(jobs):
    try:
        while True:
            jobs.submit("work")
            for run in jobs.claim("w"):
                run.complete()
    except jobstate.StoreClosed:
        pass

for round in range(5):
    jobs = jobstate.open(sys.argv[1], durability="normal")
    threads = [threading.Thread(target=use, args=(jobs,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    jobs.close()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
print("closed")
"""

FORKING = """
import multiprocessing, sys
import jobstate

def square(number):
    return number * number

def handler(run):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(square, [1, 2, 3]) == [1, 4, 9]

with jobstate.open(sys.argv[1]) as jobs:
    job = jobs.submit("work", max_attempts=1)
    jobs.worker("w", until_idle=True).serve({"work": handler})
    print(jobs.get(job).state)
"""


def run(script: str, path: Path) -> str:
    """What the script prints; it must end well, and soon."""
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, (result.returncode, result.stderr)
    return result.stdout


@pytest.mark.alone
@pytest.mark.slow
def test_what_was_acknowledged_in_a_storm_of_interrupts_is_there_and_nobody_is_locked_out(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    acknowledged = [int(word) for word in run(STORM, path).split()]
    assert len(acknowledged) > 20
    with jobstate.open(path, timeout=1) as jobs:
        there = {job.id for job in jobs.iterate("all")}
        assert set(acknowledged) <= there
        jobs.submit("another")
        assert jobs.audit().ok


def test_a_store_may_be_closed_while_other_threads_use_it(tmp_path: Path) -> None:
    assert run(CLOSING, tmp_path / "jobs.db") == "closed\n"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_handler_may_fork_processes_and_end_them(tmp_path: Path) -> None:
    assert run(FORKING, tmp_path / "jobs.db") == "Completed\n"


def test_what_follows_a_transaction_whose_end_was_interrupted_is_kept(tmp_path: Path) -> None:
    """A single statement is its own transaction again, and no part of one that will be undone."""

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is Transaction.__exit__.__code__:
            sys.settrace(None)
            raise InterruptedError

    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs, jobstate.open(path, timeout=0) as others:
        job = jobs.submit("work")
        (run,) = jobs.claim("w")
        sys.settrace(interrupt)
        with pytest.raises(InterruptedError):
            jobs.submit("undone")
        gc.collect()
        run.complete()
        assert run.settled
        assert others.get(job).state == "Completed"
        assert others.submit("another").id == jobs.submit("last").id - 1
        assert jobs.audit().ok
