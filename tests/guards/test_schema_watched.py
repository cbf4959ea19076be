"""Whoever may write the file may drop a guard: comparing the schema finds it, and so does `audit`."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate.storage.schema.constraints import indexes, views
from jobstate.storage.schema.guards import guards
from jobstate.storage.schema.migrations import differences
from jobstate.storage.schema.tables import define
from jobstate.testing.clock import ManualClock

TABLES: Final = define("")
TRIGGERS: Final = [statement.split()[2] for statement in guards("")]
INDEXES: Final = [statement.split(" INDEX ")[1].split()[0] for statement in indexes("")]
VIEWS: Final = [statement.split()[2] for statement in views("")]


def test_an_untouched_file_differs_in_nothing(path: Path, sql: sqlite3.Connection) -> None:
    assert differences(sql, TABLES) == []
    with jobstate.open(path, clock=ManualClock()) as jobs:
        assert jobs.audit().findings == ()


@pytest.mark.parametrize("name", TRIGGERS)
def test_a_dropped_trigger_is_noticed(path: Path, sql: sqlite3.Connection, name: str) -> None:
    sql.execute(f"DROP TRIGGER {name}")
    assert differences(sql, TABLES) == [f"{name} is missing"]
    assert _audited(path) == [f"schema: {name} is missing"]


@pytest.mark.parametrize("name", TRIGGERS)
def test_an_altered_trigger_is_noticed(path: Path, sql: sqlite3.Connection, name: str) -> None:
    (text,) = sql.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()
    sql.execute(f"DROP TRIGGER {name}")
    sql.execute(text.replace(" BEGIN ", " BEGIN SELECT 0; ", 1))
    assert differences(sql, TABLES) == [f"{name} is not as it was created"]
    assert _audited(path) == [f"schema: {name} is not as it was created"]


@pytest.mark.parametrize("table", [model._meta.table_name for model in TABLES.models])
def test_a_foreign_trigger_on_any_table_is_noticed(path: Path, sql: sqlite3.Connection, table: str) -> None:
    sql.execute(f"CREATE TRIGGER a_stranger AFTER INSERT ON {table} BEGIN SELECT 1; END")
    assert differences(sql, TABLES) == ["trigger a_stranger is foreign"]
    assert _audited(path) == ["schema: trigger a_stranger is foreign"]


@pytest.mark.parametrize(("kind", "name"), [("INDEX", n) for n in INDEXES] + [("VIEW", n) for n in VIEWS])
def test_a_dropped_index_or_view_is_noticed(sql: sqlite3.Connection, kind: str, name: str) -> None:
    sql.execute(f"DROP {kind} {name}")
    assert differences(sql, TABLES) == [f"{name} is missing"]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO lifecycle_edges VALUES ('Completed', 'schedule', 'Scheduled')",
        "DELETE FROM lifecycle_edges WHERE trigger = 'halt'",
        "UPDATE lifecycle_edges SET to_state = 'Failed' WHERE from_state = 'Running' AND trigger = 'complete'",
    ],
)
def test_a_changed_edge_table_is_noticed_though_its_guards_are_back(
    path: Path, sql: sqlite3.Connection, change: str
) -> None:
    ours = [statement for statement in guards("") if " ON lifecycle_edges " in statement]
    assert len(ours) == 3
    for statement in ours:
        sql.execute(f"DROP TRIGGER {statement.split()[2]}")
    sql.execute(change)
    for statement in ours:
        sql.execute(statement)
    assert differences(sql, TABLES) == ["lifecycle_edges does not hold the lifecycle"]
    assert _audited(path) == ["schema: lifecycle_edges does not hold the lifecycle"]


@pytest.mark.parametrize(
    "change",
    ["ALTER TABLE jobs ADD COLUMN extra TEXT", "ALTER TABLE jobs RENAME COLUMN reason TO why", "DROP TABLE meta"],
)
def test_an_altered_or_dropped_table_is_noticed(sql: sqlite3.Connection, change: str) -> None:
    sql.execute(change)
    assert differences(sql, TABLES)


@pytest.mark.parametrize("prefix", ["jobstate_", "q"])
def test_a_store_inside_another_database_is_watched_under_its_prefix_alone(tmp_path: Path, prefix: str) -> None:
    peewee = pytest.importorskip("peewee")
    database = peewee.SqliteDatabase(tmp_path / "app.db")
    try:
        database.execute_sql("CREATE TABLE account (id INTEGER PRIMARY KEY)")
        database.execute_sql("CREATE TRIGGER account_log AFTER INSERT ON account BEGIN SELECT 1; END")
        with jobstate.open(database, table_prefix=prefix) as jobs:
            assert jobs.audit().findings == ()
            database.execute_sql(f"DROP TRIGGER {prefix}jobs_update_guard")
            problems = [finding.problem for finding in jobs.audit().findings]
            assert problems == [f"schema: {prefix}jobs_update_guard is missing"]
    finally:
        database.close()


def test_rows_that_belong_to_no_job_are_noticed(path: Path, sql: sqlite3.Connection, ids: dict[str, int]) -> None:
    sql.execute("DROP TRIGGER jobs_delete_cleanup")
    sql.execute("DELETE FROM jobs WHERE id = :completed", ids)
    problems = _audited(path)
    assert [p for p in problems if "job_events belong to no job" in p]
    assert [p for p in problems if "job_specs belong to no job" in p]


def test_a_row_that_was_changed_past_a_dropped_guard_is_noticed(
    path: Path, sql: sqlite3.Connection, ids: dict[str, int]
) -> None:
    (text,) = sql.execute("SELECT sql FROM sqlite_master WHERE name = 'jobs_update_guard'").fetchone()
    sql.execute("DROP TRIGGER jobs_update_guard")
    sql.execute("UPDATE jobs SET state = 'Scheduled', finished_at = NULL WHERE id = :completed", ids)
    sql.execute(text)
    assert any("its history ends in Completed, its row says Scheduled" in problem for problem in _audited(path))


def _audited(path: Path) -> list[str]:
    with jobstate.open(path, clock=ManualClock()) as jobs:
        return [finding.problem for finding in jobs.audit().findings]
