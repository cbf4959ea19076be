"""Signals at any moment: an interrupted thread holds up no other; no call comes twice or out of order."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import jobstate

STORM: Final = """
import json, os, random, signal, sys, threading, time
import jobstate

class Reported(jobstate.Observer):
    def __init__(self):
        self.ids = []
    def transition(self, transition):
        self.ids.append(transition.event.id)

reported, beside, interrupted, over, ready = Reported(), [], 0, False, threading.Event()
jobs = jobstate.open(sys.argv[1], durability="normal", timeout=5, observers=[reported])

def storm():
    global over
    ready.wait()
    until = time.monotonic() + 4
    while time.monotonic() < until:
        time.sleep(random.random() * 0.004)
        os.kill(os.getpid(), signal.SIGINT)
    over = True

def work():
    while not over:
        beside.append(jobs.submit("beside").id)

def interrupt(number, frame):
    # Between two statements of this script nothing would catch it, and nothing of jobstate runs.
    if frame.f_back is not None and frame.f_code is not interrupt.__code__:
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, interrupt)
threads = [threading.Thread(target=target) for target in (storm, work)]
for thread in threads:
    thread.start()
while not over:
    try:
        ready.set()
        while not over:
            jobs.submit("work")
    except KeyboardInterrupt:
        interrupted += 1
signal.signal(signal.SIGINT, signal.SIG_IGN)
for thread in threads:
    thread.join()
last = jobs.submit("last").id
print(json.dumps({"reported": reported.ids, "beside": beside, "last": last, "interrupted": interrupted}))
"""


@pytest.mark.alone
@pytest.mark.slow
def test_a_storm_of_interrupts_blocks_no_thread_and_keeps_the_order(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    result = subprocess.run([sys.executable, "-c", STORM, str(path)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    reported: list[int] = found["reported"]
    assert found["interrupted"] > 100
    assert reported == sorted(set(reported))
    with jobstate.open(path) as jobs:
        entries = {event.job_id: event.id for event in jobs.watch(timeout=0)}
        assert set(reported) <= set(entries.values())
        assert {entries[job] for job in (*found["beside"], found["last"])} <= set(reported)
        print(f"{len(entries)} committed, {len(reported)} reported, {found['interrupted']} interrupts")
