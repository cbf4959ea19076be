"""A backup is of one moment, however many write meanwhile."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

import jobstate
from tests.processes.team import member

pytestmark = pytest.mark.alone


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_backup_that_is_made_while_others_write_is_consistent(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    sizes = []
    with jobstate.open(path, durability="normal", timeout=30) as jobs, ExitStack() as stack:
        jobs.submit_many({"kind": "filler", "descriptor": {"pad": "x" * 3500}, "hold": True} for _ in range(3000))
        writers = [stack.enter_context(member("chatter", path)) for _ in range(3)]
        for writer in writers:
            assert writer.receive() == "ready"
        for number in range(4):
            time.sleep(0.3)
            newest = max(event.id for event in jobs.events(jobs.list("all", limit=1).jobs[0]))
            target = tmp_path / f"copy-{number}.db"
            steps: list[tuple[int, int]] = []
            jobs.backup(target, progress=lambda *counts, steps=steps: steps.append(counts))
            assert steps == sorted(steps), "it began again because somebody wrote: it may never end"
            assert len({total for _, total in steps}) == 1
            assert steps[-1][0] == steps[-1][1]
            with jobstate.open(target, create=False) as copy:
                audit = copy.audit()
                assert audit.findings == ()
                assert audit.events >= newest
                sizes.append(audit.events)
            connection = sqlite3.connect(target)
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()
        for writer in writers:
            assert writer.process.poll() is None
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
