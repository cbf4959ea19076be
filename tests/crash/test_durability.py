"""Durability full syncs each change before it is acknowledged; normal leaves that to the checkpoints of the log."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import jobstate
from jobstate import JobStore, Run, State
from jobstate.storage import connections
from jobstate.store.open import migrate
from jobstate.testing.clock import ManualClock
from tests.guards.ledger import stranger
from tests.guards.old_files import first_version

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


# The durability of a file is that of its creator, and a floor for everyone.


@pytest.mark.parametrize("created", ["full", "normal"])
@pytest.mark.parametrize("opened", ["full", "normal"])
def test_a_store_syncs_at_least_as_the_creator_of_its_file_asked(
    tmp_path: Path,
    created: Literal["full", "normal"],
    opened: Literal["full", "normal"],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "jobs.db"
    jobstate.open(path, durability=created).close()
    found = set()
    for _ in range(2):
        with jobstate.open(path, durability=opened) as jobs:
            found.add(synchronous(jobs))
            other = threading.Thread(target=lambda store=jobs: found.add(synchronous(store)))
            other.start()
            other.join()
    assert found == {max(SYNCHRONOUS[created], SYNCHRONOUS[opened])}
    assert caplog.text.count("jobstate migrate --durability normal") == (created == "full" and opened == "normal")


def test_only_migrate_lowers_the_durability_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    jobstate.open(path).close()
    with stranger(path) as sql:
        for statement in (
            "UPDATE meta SET value = 'normal' WHERE name = 'durability'",
            "DELETE FROM meta WHERE name = 'durability'",
            "INSERT OR REPLACE INTO meta VALUES ('durability', 'normal')",
            "UPDATE meta SET name = 'fingerprint' WHERE name = 'durability'",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="part of the program"):
                sql.execute(statement)
    assert migrate(path) == "full"
    assert migrate(path, durability="normal") == "normal"
    with jobstate.open(path, durability="normal") as jobs:
        assert synchronous(jobs) == SYNCHRONOUS["normal"]
        assert jobs.audit().findings == ()
    with stranger(path) as sql:
        sql.execute("UPDATE meta SET value = 'full' WHERE name = 'durability'")
    assert migrate(path) == "full"
    with pytest.raises(jobstate.InvalidRequest, match="durability: must be one of full, normal, not 'off'"):
        migrate(path, durability="off")  # type: ignore[arg-type]


@pytest.mark.parametrize("change", ["DELETE FROM meta WHERE name = 'durability'", "UPDATE meta SET value = 'off'"])
def test_a_file_whose_durability_was_taken_away_by_force_counts_as_full(tmp_path: Path, change: str) -> None:
    path = tmp_path / "jobs.db"
    jobstate.open(path, durability="normal").close()
    with stranger(path) as sql:
        for guard in ("update", "delete"):
            sql.execute(f"DROP TRIGGER meta_{guard}_guard")
        sql.execute(change if "WHERE" in change else f"{change} WHERE name = 'durability'")
    with jobstate.open(path, durability="normal") as jobs:
        assert synchronous(jobs) == SYNCHRONOUS["full"]
        assert any("meta_delete_guard is missing" in str(finding) for finding in jobs.audit().findings)
    assert migrate(path, durability="full") == "full"


def test_a_file_of_an_older_version_counts_as_full(tmp_path: Path) -> None:
    path = first_version(tmp_path)
    with jobstate.open(path, durability="normal", clock=ManualClock()) as jobs:
        assert synchronous(jobs) == SYNCHRONOUS["full"]


# What a heartbeat writes: renewals and reports may wait for the disk, what it settles may not.


class Disk:
    """What of the write-ahead log is on the disk: what was in it at the newest commit that was synced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.synced = 0
        self.levels: set[int] = set()
        """How commits synced."""
        self.lock = threading.RLock()
        """Held from a commit to the note of it, and by every read: nobody sees a commit that is not noted."""

    def after_power_cut(self, folder: Path) -> Path:
        """The store that a power cut at this moment would leave."""
        cut = folder / "cut.db"
        shutil.copy(self.path, cut)
        Path(f"{cut}-wal").write_bytes(Path(f"{self.path}-wal").read_bytes()[: self.synced])
        return cut


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Watches the commits of every connection that this process opens."""
    watched = Disk(tmp_path / "jobs.db")

    class Watched(connections.Connection):
        changes = 0

        def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
            with watched.lock:
                cursor = super().execute(sql, values)
                if self.total_changes != self.changes and not self.in_transaction:
                    self.changes = self.total_changes
                    (level,) = super().execute("PRAGMA synchronous").fetchone()
                    if level == SYNCHRONOUS["full"]:
                        watched.synced = os.path.getsize(f"{watched.path}-wal")
                    watched.levels.add(level)
                return cursor

    jobstate.open(watched.path).close()
    monkeypatch.setattr(connections, "Connection", Watched)
    yield watched


def test_a_stop_that_a_heartbeat_settled_survives_a_power_cut_once_anyone_has_seen_it(
    disk: Disk, tmp_path: Path
) -> None:
    seen = threading.Event()

    def handler(run: Run) -> None:
        run.log.info("waiting for the other job")
        assert seen.wait(60)

    with jobstate.open(disk.path) as jobs:
        stopped = jobs.submit("lost", key="k")
        jobs.claim("gone", lease=60)
        jobs.stop(stopped, timeout=0.1)
        jobs.submit("waits")
        worker = jobs.worker("w1", kinds=["waits"], lease=0.6, until_idle=True)
        serving = threading.Thread(target=worker.serve, args=({"waits": handler},))
        serving.start()
        try:
            until = time.monotonic() + 60
            while jobs.get(stopped).state is not State.STOPPED:
                assert time.monotonic() < until
                time.sleep(0.01)
            cut = disk.after_power_cut(tmp_path)
        finally:
            seen.set()
            serving.join()
    with jobstate.open(cut, create=False) as jobs:
        assert jobs.get(stopped).state is State.STOPPED
        assert not jobs.submit("lost", key="k").deduplicated
        assert jobs.audit().ok
    assert disk.levels == {*SYNCHRONOUS.values()}  # renewals and reports need not sync
