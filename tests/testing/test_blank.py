"""A store that begins as a copy of the blank is the store that its statements would have made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

import jobstate
from jobstate.storage import blank
from jobstate.storage.schema import migrations
from jobstate.testing import staged
from tests.processes.roles import install_later_version

PRAGMAS: Final = (
    *("application_id", "auto_vacuum", "encoding", "foreign_keys", "journal_mode", "page_size", "recursive_triggers"),
    *("journal_size_limit", "page_count", "synchronous", "temp_store", "trusted_schema", "user_version"),
)


def content(connection: sqlite3.Connection) -> dict[str, Any]:
    """All that a database says of itself, and all of its rows."""
    found: dict[str, Any] = {name: connection.execute(f"PRAGMA {name}").fetchall() for name in PRAGMAS}
    found["schema"] = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    found["rows"] = list(connection.iterdump())
    return found


def opened(target: Any) -> dict[str, Any]:
    with jobstate.open(target, durability="normal") as store:
        assert store.audit().ok
        found: Any = store.repository
        return content(found._engine.connections.connection())


@pytest.fixture
def by_statements(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No blank is at hand."""
    monkeypatch.setattr(blank, "_image", lambda version, durability: None)
    return monkeypatch


def test_a_store_in_memory_equals_one_made_by_statements(by_statements: pytest.MonkeyPatch) -> None:
    ordinary = opened(":memory:")
    by_statements.undo()
    assert opened(":memory:") == ordinary
    assert ordinary["application_id"] == [(migrations.APPLICATION_ID,)]
    assert len(ordinary["schema"]) > 50


def test_a_staged_file_equals_one_made_by_statements(tmp_path: Path, by_statements: pytest.MonkeyPatch) -> None:
    ordinary = opened(tmp_path / "ordinary.db")
    by_statements.undo()
    with staged(tmp_path / "staged.db"):
        pass
    assert opened(tmp_path / "staged.db") == ordinary
    with closing(sqlite3.connect(tmp_path / "staged.db")) as plain:
        assert plain.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_blank_file_is_in_wal_mode_from_its_first_byte_on(tmp_path: Path) -> None:
    blank.write(tmp_path / "blank.db", "normal")
    assert (tmp_path / "blank.db").read_bytes()[18:20] == b"\x02\x02"


def test_without_a_blank_a_store_is_staged_all_the_same(tmp_path: Path, by_statements: pytest.MonkeyPatch) -> None:
    for target in (":memory:", tmp_path / "jobs.db"):
        with staged(target) as stage:
            assert stage.store.submit("extract").id == 1


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with staged(path) as stage:
        stage.store.submit("extract")
    with staged(path) as stage:
        assert stage.store.get(1).kind == "extract"
    (tmp_path / "notes.db").write_text(
        "not a database, and longer than a hundred bytes, which is what SQLite reads" * 9
    )
    with pytest.raises(jobstate.StoreCorrupt), staged(tmp_path / "notes.db"):
        pass


def test_what_cannot_be_created_is_refused_as_by_open(tmp_path: Path) -> None:
    with (
        pytest.raises(jobstate.StoreUnavailable, match="its folder does not exist"),
        staged(tmp_path / "a" / "jobs.db"),
    ):
        pass
    with pytest.raises(jobstate.StoreUnavailable, match="no such file"), staged(tmp_path / "jobs.db", create=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_store_sees_what_another_wrote() -> None:
    with jobstate.open(":memory:") as one, jobstate.open(":memory:") as other:
        one.submit("extract")
        assert (len(one.list().jobs), len(other.list().jobs)) == (1, 0)
    with jobstate.open(":memory:") as third:
        assert third.submit("extract").id == 1


def test_a_newer_schema_has_a_blank_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(":memory:")

    newest = migrations.newest()
    monkeypatch.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS)
    install_later_version()
    with jobstate.open(":memory:") as store:
        assert store.repository.schema_version() == newest + 1
    monkeypatch.undo()
    with jobstate.open(":memory:") as store:
        assert store.repository.schema_version() == newest
