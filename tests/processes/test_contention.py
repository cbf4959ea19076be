"""Eight processes at one file: each job goes to exactly one, and none of the eight is starved."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final, Literal

import pytest

import jobstate
from jobstate import State
from jobstate.storage.schema import migrations
from tests.guards.ledger import NAMES
from tests.guards.old_files import first_version
from tests.processes.roles import install_later_version
from tests.processes.team import member, together

pytestmark = pytest.mark.alone

JOBS: Final = 20_000
TEAM: Final = 8


def _filled(path: Path, count: int) -> None:
    with jobstate.open(path, durability="normal") as jobs:
        for _ in range(count // 1000):
            jobs.submit_many({"kind": "extract", "priority": n % 3} for n in range(1000))


@pytest.mark.slow
@pytest.mark.parametrize(("durability", "limit"), [("normal", 1), ("full", 5)])
def test_eight_processes_claim_each_of_20000_jobs_exactly_once_and_share_them_fairly(
    tmp_path: Path, durability: Literal["full", "normal"], limit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "jobs.db"
    _filled(path, JOBS)
    began = time.monotonic()
    answers = together(TEAM, "drain", lambda number: (path, f"w{number}", durability, limit))
    took = time.monotonic() - began
    claimed = [(job_id, token) for one in answers for job_id, token in one["claimed"]]
    shares = sorted(len(one["claimed"]) for one in answers)
    with capsys.disabled():
        print(
            f"\n  {durability}, limit {limit}: {JOBS / took:.0f} jobs/s, least-served {shares[0] / (JOBS / TEAM):.2f} "
            f"of a fair share, slowest round {max(one['slowest'] for one in answers):.3f} s"
        )
    assert sorted(job_id for job_id, _ in claimed) == list(range(1, JOBS + 1))
    assert {token for _, token in claimed} == {1}
    assert shares[0] >= JOBS / TEAM / 2
    with jobstate.open(path) as jobs:
        assert jobs.counts()[State.COMPLETED] == JOBS
        assert jobs.audit().findings == ()


@pytest.mark.parametrize("team", [2, 8])
def test_processes_that_submit_one_key_at_once_make_one_job(tmp_path: Path, team: int) -> None:
    path = tmp_path / "jobs.db"
    jobstate.open(path).close()
    keys = 60
    answers = together(team, "submit_key", lambda _: (path, keys))
    for number in range(keys):
        of_key = [one[number] for one in answers]
        assert len({job_id for job_id, _ in of_key}) == 1
        assert [deduplicated for _, deduplicated in of_key].count(False) == 1
    with jobstate.open(path) as jobs:
        assert sum(jobs.counts().values()) == keys
        assert jobs.audit().ok


@pytest.mark.parametrize(
    "durability", ["full", "normal", *[pytest.param(name, marks=pytest.mark.slow) for name in ("full", "normal")]]
)
def test_eight_processes_that_open_a_new_file_at_once_share_it(tmp_path: Path, durability: str) -> None:
    path = tmp_path / "jobs.db"
    answers = together(TEAM, "open_first", lambda _: (path, durability))
    assert sorted(job_id for job_id, _ in answers) == list(range(1, TEAM + 1))
    assert all(ok for _, ok in answers)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM meta").fetchone() == (3,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_processes_that_upgrade_a_file_at_once_do_it_once(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        jobs.submit("extract")
    answers = together(TEAM, "upgrade", lambda _: (path,))
    assert sorted(job_id for job_id, _ in answers) == list(range(2, TEAM + 2))
    assert all(ok for _, ok in answers)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (migrations.newest() + 1,)
    connection.close()


def test_a_file_that_a_newer_program_upgraded_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jobs.db"
    with monkeypatch.context() as later:
        later.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS)
        install_later_version()
        with jobstate.open(path) as jobs:
            jobs.submit("extract")
    before = path.read_bytes()
    with pytest.raises(
        jobstate.SchemaMismatch, match=rf"version {migrations.newest() + 1}.*upgrade jobstate"
    ) as caught:
        jobstate.open(path)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before


def test_processes_that_open_a_file_of_the_first_version_at_once_upgrade_it_once(tmp_path: Path) -> None:
    path = first_version(tmp_path)
    answers = together(TEAM, "open_first", lambda _: (path, "normal"))
    assert sorted(job_id for job_id, _ in answers) == list(range(len(NAMES) + 1, len(NAMES) + TEAM + 1))
    assert all(ok for _, ok in answers)


def test_an_older_program_that_still_has_a_file_open_is_refused_after_its_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        first = jobs.submit("extract")
        with member("upgrade", path) as newer:
            assert newer.receive() == "ready"
            newer.send()
            assert newer.receive()[1]
            assert newer.ended() == 0
        with pytest.raises(jobstate.SchemaMismatch, match="upgrade jobstate"):
            jobs.submit("extract")
        assert [job.id for job in jobs.list().jobs] == [first.id + 1, first.id]
