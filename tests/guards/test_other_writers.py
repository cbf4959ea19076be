"""What others write beside the jobs, refused or found: counters, records of deletions, workers, foreign indexes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobstate
from jobstate.testing.clock import ManualClock
from tests.guards.ledger import stranger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a job that was deleted, one that has ended, a pipeline with two runs, and a worker."""
    path = tmp_path / "jobs.db"
    with jobstate.open(path, clock=ManualClock(), durability="normal") as jobs:
        for _ in range(2):
            jobs.stop(jobs.submit("extract", pipeline_id="p"), mode="force")
        jobs.delete(1)
        jobs.submit("load", pipeline_id="q")
        worker = jobs.worker("w1", kinds=["nothing"], until_idle=True)
        with worker:
            pass
    with stranger(path) as sql:
        sql.execute("INSERT INTO workers VALUES ('w2', 1, 1, 'here', 1, '[\"extract\"]', 2)")
    assert found(path) == []
    return path


@pytest.fixture
def sql(path: Path) -> Iterator[sqlite3.Connection]:
    with stranger(path) as connection:
        yield connection


def found(path: Path) -> list[str]:
    """The findings of an audit."""
    with jobstate.open(path, clock=ManualClock(), durability="normal") as jobs:
        return [str(finding) for finding in jobs.audit().findings]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE pipelines SET last_run_id = 9223372036854775807", "run numbers only rise, by one"),
        ("UPDATE pipelines SET last_run_id = last_run_id + 2", "run numbers only rise, by one"),
        ("UPDATE pipelines SET last_run_id = last_run_id - 1", "run numbers only rise, by one"),
        ("UPDATE pipelines SET last_run_id = last_run_id", "run numbers only rise, by one"),
        ("UPDATE pipelines SET pipeline_id = 'r', last_run_id = last_run_id + 1", "run numbers only rise, by one"),
        ("INSERT INTO pipelines VALUES ('r', 7)", "run numbers only rise, by one"),
        ("INSERT OR REPLACE INTO pipelines VALUES ('p', 1)", "run numbers only rise, by one"),
        ("DELETE FROM pipelines", "run numbers only rise, by one"),
        ("UPDATE workers SET kinds = 'garbage'", "a worker has a list of kinds"),
        ("UPDATE workers SET kinds = '{}'", "a worker has a list of kinds"),
        ("UPDATE workers SET kinds = ''", "a worker has a list of kinds"),
        ("UPDATE workers SET concurrency = -1", "a worker has a list of kinds"),
        ("INSERT INTO workers VALUES ('w3', 1, 1, 'here', 1, 'x', 2)", "a worker has a list of kinds"),
    ],
)
def test_a_counter_that_jumps_and_a_worker_that_cannot_be_read_are_refused(
    sql: sqlite3.Connection, statement: str, message: str
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=message):
        sql.execute(statement)


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("UPDATE sqlite_sequence SET seq = 0 WHERE name = 'jobs'", "the counter of jobs is 0, below the number 3"),
        ("DELETE FROM sqlite_sequence WHERE name = 'jobs'", "the counter of jobs is 0, below the number 3"),
        ("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'job_events'", "the counter of job_events is 1, below"),
        ("INSERT INTO deletions VALUES (2, 'x', 'Completed', 1, 'sql', NULL)", "job 2: it is there, and recorded as"),
        ("INSERT INTO deletions VALUES (99, 'x', 'Completed', 1, 'sql', NULL)", "job 99: it is recorded as deleted, a"),
        ("INSERT INTO deletions VALUES (-4, 'x', 'Completed', 1, 'sql', NULL)", "job -4: it is recorded as deleted, a"),
        ("UPDATE deletions SET state = 'Running'", "job 1: it is recorded as deleted in the state 'Running'"),
        ("CREATE UNIQUE INDEX evil ON jobs (kind, created_at)", "schema: index evil is foreign"),
        ("CREATE INDEX own ON job_events (actor)", "schema: index own is foreign"),
        ("CREATE TRIGGER own AFTER UPDATE ON jobs BEGIN SELECT 1; END", "schema: trigger own is foreign"),
        ("DROP INDEX jobs_live", "schema: jobs_live is missing"),
        ("DROP TABLE job_output", "schema: job_output is missing"),
        ("DROP TABLE deletions", "schema: deletions is missing"),
    ],
)
def test_what_no_guard_can_refuse_is_found_by_the_audit(
    path: Path, sql: sqlite3.Connection, statement: str, finding: str
) -> None:
    sql.execute(statement)
    assert any(one.startswith(finding) for one in found(path)), found(path)


def test_a_run_number_that_two_jobs_have_is_found(path: Path, sql: sqlite3.Connection) -> None:
    sql.execute("DROP TRIGGER job_specs_update_guard")
    sql.execute("UPDATE job_specs SET pipeline_id = 'p', run_id = 2 WHERE job_id = 3")
    assert "job 3: run 2 of pipeline 'p' is there 2 times" in found(path)


def test_a_forged_record_of_a_deletion_gives_way_to_the_true_one(path: Path, sql: sqlite3.Connection) -> None:
    sql.execute("INSERT INTO deletions VALUES (2, 'x', 'Failed', 1, 'sql', NULL)")
    with jobstate.open(path, clock=ManualClock(), durability="normal", actor="ana") as jobs:
        assert jobs.delete(2)
    assert sql.execute("SELECT kind, state, actor FROM deletions WHERE id = 2").fetchall() == [
        ("extract", "Stopped", "ana")
    ]
    assert found(path) == []


def test_an_index_that_lacks_a_row_is_found(path: Path, sql: sqlite3.Connection) -> None:
    wanted = "type = 'index' AND tbl_name = 'jobs' AND sql IS NOT NULL OR type = 'trigger'"
    kept = sql.execute(f"SELECT * FROM sqlite_master WHERE {wanted}").fetchall()
    sql.execute("PRAGMA writable_schema = ON")
    sql.execute(f"DELETE FROM sqlite_master WHERE {wanted}")
    sql.execute("PRAGMA schema_version = 990")
    sql.close()
    with stranger(path) as bare:
        for table, column in (("jobs", "id"), ("job_specs", "job_id"), ("job_events", "job_id")):
            bare.execute(f"DELETE FROM {table} WHERE {column} = 2")
        bare.execute("PRAGMA writable_schema = ON")
        bare.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
        bare.execute("PRAGMA schema_version = 991")
    assert any("file: " in finding for finding in found(path)), found(path)
