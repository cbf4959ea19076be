"""Durability full syncs each change before it is acknowledged; normal leaves that to the checkpoints of the log."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import pytest

import jobstate
from jobstate import JobStore, Run

SYNCHRONOUS = {"normal": 1, "full": 2}


def synchronous(jobs: JobStore) -> int:
    """How the connection of the calling thread syncs."""
    engine: Any = jobs.repository._engine  # type: ignore[attr-defined]
    (level,) = engine.connections.connection().execute("PRAGMA synchronous").fetchone()
    return int(level)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_every_connection_that_acknowledges_a_change_syncs_as_was_asked(
    tmp_path: Path, durability: Literal["full", "normal"]
) -> None:
    found: dict[str, int] = {}
    with jobstate.open(tmp_path / "jobs.db", durability=durability) as jobs:
        found["main"] = synchronous(jobs)
        other = threading.Thread(target=lambda: found.update(thread=synchronous(jobs)))
        other.start()
        other.join()
        with jobs.batch():
            jobs.submit_many({"kind": "extract", "descriptor": {"n": n}} for n in range(4))
            found["batch"] = synchronous(jobs)
        found["acting"] = synchronous(jobs.acting("cron"))

        def handler(run: Run) -> None:
            found[f"handler {run.id}"] = synchronous(jobs)

        jobs.worker("w1", until_idle=True).serve({"extract": handler}, concurrency=2)
        found["after serving"] = synchronous(jobs)
        jobs.submit("load")
        with jobs.worker("w2", until_idle=True) as worker:
            for run in worker:
                with run:
                    found["loop"] = synchronous(jobs)
    assert len(found) == 10
    assert set(found.values()) == {SYNCHRONOUS[durability]}


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_what_was_asked_does_not_depend_on_who_opened_the_file_first(
    tmp_path: Path, durability: Literal["full", "normal"]
) -> None:
    path = tmp_path / "jobs.db"
    for first in ("full", "normal"):
        with jobstate.open(path, durability=first), jobstate.open(path, durability=durability) as jobs:
            assert synchronous(jobs) == SYNCHRONOUS[durability]
