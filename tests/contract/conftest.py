"""The kinds of store that the suite runs against: the only place that lists them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import peewee
import pytest

import jobstate
from jobstate import JobStore, Observer
from jobstate.testing.clock import ManualClock


class OpenStore(Protocol):
    """Opens one more store of the kind under test, empty and apart from the others."""

    def __call__(self, **options: Any) -> JobStore:
        """Takes the options of `jobstate.open`; the clock is turned by hand unless another one is given."""


class Kind(NamedTuple):
    """A kind of store: what `jobstate.open` is given, and the options that belong to it."""

    target: Callable[[Path, ExitStack], Any]
    """From the path of the store, and what is to be closed after it."""
    options: dict[str, Any]
    in_a_file: bool = True


def _database_of_the_caller(path: Path, after: ExitStack) -> peewee.SqliteDatabase:
    database = peewee.SqliteDatabase(str(path), pragmas={"journal_mode": "wal", "synchronous": "normal"}, timeout=5)
    database.connect()
    after.callback(database.close)
    return database


KINDS: Final[dict[str, Kind]] = {
    "memory": Kind(lambda path, after: ":memory:", {}, in_a_file=False),
    "file": Kind(lambda path, after: path, {"durability": "normal"}),
    "observed": Kind(lambda path, after: path, {"durability": "normal", "observers": [Observer()]}),
    "database of the caller": Kind(_database_of_the_caller, {"table_prefix": "queue_"}),
}


@pytest.fixture
def clock() -> ManualClock:
    """The hand-turned clock of the store."""
    return ManualClock()


_SLOW: Final = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("observed", "database of the caller")]


@pytest.fixture(params=["memory", "file", *_SLOW])
def kind_of_store(request: pytest.FixtureRequest) -> str:
    """The name of the kind of store under test."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def blanks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An empty store of each kind that lives in a file: copying one takes less time than making its schema."""
    folder = tmp_path_factory.mktemp("blank")
    made = {}
    for name, kind in KINDS.items():
        if kind.in_a_file:
            made[name] = folder / f"{name}.db"
            with ExitStack() as after:
                after.enter_context(jobstate.open(kind.target(made[name], after), **kind.options))
    return made


@pytest.fixture
def open_store(kind_of_store: str, blanks: dict[str, Path], tmp_path: Path, clock: ManualClock) -> Iterator[OpenStore]:
    """Opens stores of each kind in turn; they are closed after the test."""
    target, belonging, in_a_file = KINDS[kind_of_store]
    with ExitStack() as after:
        opened = 0

        def open_one(**options: Any) -> JobStore:
            nonlocal opened
            opened += 1
            path = tmp_path / f"{opened}.db"
            if in_a_file:
                shutil.copy(blanks[kind_of_store], path)
            chosen = {"clock": clock, "actor": "test:suite", **belonging, **options}
            return after.enter_context(jobstate.open(target(path, after), **chosen))

        yield open_one


@pytest.fixture
def store(open_store: OpenStore) -> JobStore:
    """One empty store with the default options."""
    return open_store()
