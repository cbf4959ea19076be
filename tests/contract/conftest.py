"""Our kinds of store, which the suite runs against: the only place that lists them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

import peewee
import pytest

import jobstate
from jobstate import Observer
from jobstate.testing.contract import StoreKind

EMBEDDED: Final[dict[str, Any]] = {"table_prefix": "queue_"}
QUICK: Final[dict[str, Any]] = {"durability": "normal"}


class LogRange:
    """Where the stores of one test are made: a folder of its own, and what is to be closed after it."""

    def __init__(self, folder: Path, blanks: dict[str, Path], after: ExitStack) -> None:
        self._folder = folder
        self._blanks = blanks
        self._after = after
        self._numbers = count(1)

    def path(self, kind: str) -> Path:
        """The path of one more empty store of that kind; copying one takes less time than making its schema."""
        path = self._folder / f"{next(self._numbers)}.db"
        shutil.copy(self._blanks[kind], path)
        return path

    def database(self, path: Path) -> peewee.SqliteDatabase:
        """A database as a caller has opened it."""
        database = _database(path)
        self._after.callback(database.close)
        return database


def _database(path: Path) -> peewee.SqliteDatabase:
    database = peewee.SqliteDatabase(str(path), pragmas={"journal_mode": "wal", "synchronous": "normal"}, timeout=5)
    database.connect()
    return database


def _memory(place: LogRange) -> StoreKind:
    return StoreKind(make=lambda: ":memory:", again=None, from_backup=lambda path: path)


def _file(place: LogRange) -> StoreKind:
    return StoreKind(
        make=lambda: place.path("file"), again=lambda path: path, from_backup=lambda path: path, options=QUICK
    )


def _observed(place: LogRange) -> StoreKind:
    return StoreKind(
        make=lambda: place.path("file"),
        again=lambda path: path,
        from_backup=lambda path: path,
        options={**QUICK, "observers": [Observer()]},
    )


def _database_of_the_caller(place: LogRange) -> StoreKind:
    return StoreKind(
        make=lambda: place.database(place.path("database of the caller")),
        again=lambda database: place.database(Path(database.database)),
        from_backup=place.database,
        options=EMBEDDED,
    )


KINDS: Final = (
    pytest.param(_memory, id="memory"),
    pytest.param(_file, id="file"),
    pytest.param(_observed, id="observed", marks=pytest.mark.slow),
    pytest.param(_database_of_the_caller, id="database of the caller", marks=pytest.mark.slow),
)


MORE_THAN_MEMORY: Final = frozenset(
    {"TestBackups", "TestSettling", "TestSharing", "TestTransactions", "TestWaiting", "TestWorkerLoop"}
)
"""The areas where a file can behave unlike memory; the everyday suite runs the others over memory alone."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Leave the other areas over a file to the full suite."""
    kind = item.callspec.params.get("store_kind") if hasattr(item, "callspec") else None
    area = item.parent.name if item.parent is not None else ""
    if kind is _file and area.startswith("Test") and area not in MORE_THAN_MEMORY:
        item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def blanks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An empty store of each kind that lives in a file."""
    folder = tmp_path_factory.mktemp("blank")
    paths = {"file": folder / "file.db", "database of the caller": folder / "embedded.db"}
    jobstate.open(paths["file"], **QUICK).close()
    database = _database(paths["database of the caller"])
    jobstate.open(database, **EMBEDDED).close()
    database.close()
    return paths


@pytest.fixture(params=KINDS)
def store_kind(request: pytest.FixtureRequest, blanks: dict[str, Path], tmp_path: Path) -> Iterator[StoreKind]:
    """The kind of store under test."""
    with ExitStack() as after:
        kind: StoreKind = request.param(LogRange(tmp_path, blanks, after))
        yield kind
