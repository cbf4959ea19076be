"""kill -9 before each statement of a creation and of an upgrade: the file is as before, and opens."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import jobstate
from jobstate.storage.schema import migrations
from jobstate.testing.clock import ManualClock
from tests.guards.ledger import NAMES
from tests.guards.old_files import first_version
from tests.processes.team import ROOT


def killed_openings(source: Path, folder: Path) -> int:
    """How often opening was killed; each time before another statement."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.upgrading", source, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def _version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return 0
        (version,) = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
        return int(version)


def test_an_upgrade_killed_before_any_statement_leaves_the_old_file(tmp_path: Path) -> None:
    killed = killed_openings(first_version(tmp_path), tmp_path / "killed")
    statements = [one for step in migrations.MIGRATIONS[1:] for one in step.statements("")]
    versions = []
    for number in range(1, killed + 1):
        path = tmp_path / "killed" / f"{number}.db"
        versions.append(_version(path))
        with jobstate.open(path, clock=ManualClock(), durability="normal") as jobs:
            assert jobs.schema_version == migrations.newest()
            assert {job.kind: job.state for job in jobs.list("all", limit=99).jobs} == NAMES
            assert jobs.audit().findings == ()
    assert set(versions) <= {1, migrations.newest()}
    assert versions.count(1) > len(statements)  # up to the COMMIT of them all
    assert _version(tmp_path / "killed" / f"{killed + 1}.db") == migrations.newest()


def test_a_creation_killed_before_any_statement_leaves_an_empty_file(tmp_path: Path) -> None:
    killed = killed_openings(tmp_path / "none.db", tmp_path / "killed")
    statements = [one for step in migrations.MIGRATIONS for one in step.statements("")]
    versions = []
    for number in range(1, killed + 1):
        path = tmp_path / "killed" / f"{number}.db"
        versions.append(_version(path) if path.exists() else 0)
        with jobstate.open(path, durability="normal") as jobs:
            assert jobs.submit("extract").id == 1
            assert jobs.audit().findings == ()
    assert set(versions) <= {0, migrations.newest()}
    assert versions.count(0) > len(statements)  # up to the COMMIT of them all
    assert _version(tmp_path / "killed" / f"{killed + 1}.db") == migrations.newest()
