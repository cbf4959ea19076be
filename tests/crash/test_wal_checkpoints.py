"""No commit can happen while the write-ahead log is copied back, and the log stays short all the same."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

import jobstate
from jobstate import JobStore, aio
from jobstate.storage import connections
from jobstate.storage.wal_checkpoints import LONGEST, LOOK_EVERY, WalCheckpoints
from tests.processes.team import ROOT

FRAME: Final = 24 + 4096
WRITER: Final = """
import sys, jobstate
with jobstate.open(sys.argv[1], durability="normal") as jobs:
    for _ in range(int(sys.argv[2])):
        jobs.submit("extract")
        for run in jobs.claim(sys.argv[3]):
            run.complete()
"""


class Watch:
    """The connections of this process, and what happened at each checkpoint of the log."""

    def __init__(self) -> None:
        self.opened: list[sqlite3.Connection] = []
        self.at_checkpoint: Callable[[], None] = lambda: None
        self.checkpoints = 0


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    seen = Watch()

    class Watched(connections.Connection):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            seen.opened.append(self)

        def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
            if "wal_checkpoint" in sql:
                assert sql == "PRAGMA wal_checkpoint(PASSIVE)"  # every other kind may fall back to an unprotected one
                seen.checkpoints += 1
                seen.at_checkpoint()
            return super().execute(sql, values)

    monkeypatch.setattr(connections, "Connection", Watched)
    yield seen


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def frames(path: Path) -> int:
    """How many frames the log has ever held: its file does not shrink while it is open."""
    return os.path.getsize(f"{path}-wal") // FRAME


def work(jobs: JobStore, lifecycles: int) -> None:
    for _ in range(lifecycles):
        jobs.submit("extract")
        (run,) = jobs.claim("w1")
        run.complete()


def checkpoints_of(jobs: JobStore) -> WalCheckpoints:
    found: Any = jobs.repository
    made = found._engine.connections.checkpoints
    assert isinstance(made, WalCheckpoints)
    return made


def test_no_connection_of_a_store_copies_the_log_back_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    connect = connections.OwnDatabase._connect

    def noted(database: connections.OwnDatabase) -> sqlite3.Connection:
        connection = connect(database)
        found.extend(connection.execute("PRAGMA wal_autocheckpoint").fetchone())
        return connection

    async def awaited() -> None:
        async with aio.open(path, durability="normal") as jobs:
            await jobs.submit("extract")
            await jobs.counts()

    monkeypatch.setattr(connections.OwnDatabase, "_connect", noted)
    with jobstate.open(path, durability="normal") as jobs:
        work(jobs, 300)
        jobs.submit("extract")
        jobs.worker("w2", until_idle=True).serve({"extract": lambda run: run.raise_if_stopping()})
        other = threading.Thread(target=jobs.submit, args=("extract",))
        other.start()
        other.join()
        jobs.audit()
    asyncio.run(awaited())
    assert (
        len(found) >= 6
    )  # the checkpoints', the handler's, the heartbeat's, and those of the awaited store among them
    assert set(found) == {0}


def test_nobody_can_commit_while_the_log_is_copied_back(watch: Watch, path: Path) -> None:
    refused = []

    def commit() -> None:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as stranger:
            with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
                stranger.execute("BEGIN IMMEDIATE")
            refused.append(caught.value)

    watch.at_checkpoint = commit
    with jobstate.open(path, durability="normal") as jobs:
        work(jobs, 300)
    assert len(refused) == watch.checkpoints >= 2


def test_a_log_is_copied_back_before_other_programs_would_do_it(watch: Watch, path: Path) -> None:
    with jobstate.open(path, durability="normal") as jobs:
        work(jobs, 600)
        assert LONGEST <= frames(path) < 1_000
        assert jobs.audit().ok


@pytest.mark.parametrize("how", ["by a link", "from its folder"])
def test_the_log_of_a_file_that_is_opened_in_another_way_is_copied_back_too(
    path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobstate.open(path, durability="normal").close()
    link = path.with_name("link.db")
    link.symlink_to(path)
    monkeypatch.chdir(path.parent)
    with jobstate.open(link if how == "by a link" else path.name, durability="normal") as jobs:
        monkeypatch.chdir("/")
        work(jobs, 300)
        assert frames(path) < 1_000


def test_a_reader_that_pins_the_log_costs_few_checkpoints_and_the_log_begins_anew_after_it(
    watch: Watch, path: Path
) -> None:
    with jobstate.open(path, durability="normal") as jobs, closing(sqlite3.connect(path)) as reader:
        work(jobs, 1)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        work(jobs, 600)
        pinned = frames(path)
        assert pinned > 5 * LONGEST
        assert watch.checkpoints <= 4 * pinned / LONGEST
        reader.execute("ROLLBACK")
        work(jobs, 600)
        assert frames(path) <= pinned + LONGEST
        assert jobs.audit().ok


def test_a_store_that_finds_the_lock_taken_leaves_the_checkpoint_to_its_holder(watch: Watch, path: Path) -> None:
    with (
        jobstate.open(path, durability="normal") as jobs,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("PRAGMA wal_autocheckpoint = 0")
        found: Any = jobs.repository
        checkpoints = checkpoints_of(jobs)
        work(jobs, LOOK_EVERY)
        checkpoints._next = 1
        other.execute("BEGIN IMMEDIATE")
        for _ in range(LOOK_EVERY):
            checkpoints.after_commit(found._engine.connections.connection())
        assert watch.checkpoints == 0
        other.execute("ROLLBACK")
        for _ in range(LOOK_EVERY):
            checkpoints.after_commit(found._engine.connections.connection())
        assert watch.checkpoints == 1


def test_a_checkpoint_that_fails_is_logged_once_and_every_commit_is_acknowledged(
    watch: Watch, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    watch.at_checkpoint = fail
    with jobstate.open(path, durability="normal") as jobs, caplog.at_level(logging.WARNING, "jobstate"):
        work(jobs, 400)
        assert watch.checkpoints >= 2
        assert jobs.counts()[jobstate.State.COMPLETED] == 400
        watch.at_checkpoint = lambda: None
        work(jobs, 10)
        assert caplog.text.count("could not be copied back, and grows until it can: disk I/O error") == 1
        assert jobs.audit().ok


def test_a_closed_store_makes_no_checkpoint_and_leaves_no_log(watch: Watch, path: Path) -> None:
    jobs = jobstate.open(path, durability="normal")
    work(jobs, 300)
    checkpoints, before = checkpoints_of(jobs), watch.checkpoints
    jobs.close()
    assert not Path(f"{path}-wal").exists()
    for _ in range(LOOK_EVERY):
        checkpoints.after_commit(watch.opened[0])
    assert watch.checkpoints == before


@pytest.mark.parametrize(
    ("writers", "lifecycles"), [(4, 150), pytest.param(8, 600, marks=[pytest.mark.slow, pytest.mark.alone])]
)
def test_busy_processes_keep_the_log_short_and_all_of_them_end(path: Path, writers: int, lifecycles: int) -> None:
    with jobstate.open(path, durability="normal") as jobs:
        busy = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), str(lifecycles), f"w{number}"],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for number in range(writers)
        ]
        try:
            assert [process.wait(timeout=240) for process in busy] == [0] * writers
        finally:
            for process in busy:
                process.kill()
        assert frames(path) < 4 * LONGEST  # without checkpoints: some 20 frames a lifecycle
        assert jobs.audit().ok
        assert sum(jobs.counts().values()) == writers * lifecycles
