"""kill -9 at a random moment: what was acknowledged is there, and the file adds up."""

from __future__ import annotations

import json
import random
import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import jobstate
from jobstate import JobStore
from tests.processes.team import PATIENCE, Member, member

ROUNDS = 12
ENOUGH = 100
"""Acknowledged changes; on a busy machine that takes more rounds."""


def _acknowledged(victim: Member) -> list[Any]:
    """What the process acknowledged before it died; a line that was cut off does not count."""
    assert victim.process.stdout is not None
    out = victim.process.stdout.read()  # `communicate` would pass over what was read ahead with an earlier line
    victim.process.wait(PATIENCE)
    return [json.loads(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]


def _check(jobs: JobStore, acknowledged: list[Any]) -> None:
    ended_by_us = {job_id for what, job_id, _ in acknowledged if what == "deleted"}
    for job_id in ended_by_us:
        with pytest.raises(jobstate.JobNotFound):
            jobs.get(job_id)
    last_touched = acknowledged[-1][1] if acknowledged else None
    for what, job_id, number in acknowledged:
        if job_id in ended_by_us:
            continue
        try:
            history = {event.seq: event for event in jobs.events(job_id)}
        except jobstate.JobNotFound:
            # Its deletion, which came next, was done but not yet acknowledged.
            assert job_id == last_touched
            continue
        if what == "checkpoint":
            assert number in {checkpoint.epoch for checkpoint in jobs.checkpoints(job_id)}
        else:
            assert history[number].to_state == what


@pytest.mark.slow
@pytest.mark.parametrize(("durability", "crowd"), [("full", 1), ("normal", 1), ("normal", 4)])
def test_every_acknowledged_change_survives_a_kill_at_a_random_moment(
    tmp_path: Path, durability: str, crowd: int
) -> None:
    path = tmp_path / "jobs.db"
    jobstate.open(path).close()
    chance = random.Random(f"{durability}{crowd}")
    acknowledged = 0
    for number in count():
        if acknowledged > ENOUGH and number >= ROUNDS // (1 if crowd == 1 else 2):
            break
        with ExitStack() as stack:
            team = [stack.enter_context(member("crash_loop", path, durability, number)) for _ in range(crowd)]
            for victim in team:
                assert victim.receive() == "ready"
            time.sleep(chance.uniform(0.002, 0.25))
            for victim in team:
                victim.process.kill()
            answers = [_acknowledged(victim) for victim in team]
        with jobstate.open(path, create=False) as jobs:
            assert jobs.audit().findings == ()
            for one in answers:
                _check(jobs, one)
            acknowledged += sum(map(len, answers))
