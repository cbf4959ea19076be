"""The event loops that `jobstate.aio` runs on, and a check that each test leaves no thread and no connection."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import anyio
import pytest
import uvloop

import jobstate
from jobstate import JobStore
from jobstate.storage.connections import _open

T = TypeVar("T")


class RunMain(Protocol):
    """Runs the main coroutine function of a program."""

    def __call__(self, main: Callable[[], Coroutine[Any, Any, T]], /) -> T:
        """Its result."""


def with_asyncio(main: Callable[[], Coroutine[Any, Any, T]], /) -> T:
    return asyncio.run(main())


def with_uvloop(main: Callable[[], Coroutine[Any, Any, T]], /) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def with_anyio(main: Callable[[], Coroutine[Any, Any, T]], /) -> T:
    return anyio.run(main)


LOOPS: Final[dict[str, RunMain]] = {"asyncio": with_asyncio, "uvloop": with_uvloop, "anyio": with_anyio}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> RunMain:
    """Each kind of loop in turn."""
    return LOOPS[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a store."""
    return tmp_path / "jobs.db"


@pytest.fixture
def store(path: Path) -> Iterator[JobStore]:
    """A store in a file, by the clock of the machine, for code outside the tasks."""
    with jobstate.open(path, durability="normal", actor="test:suite") as opened:
        yield opened


def threads() -> set[str]:
    """The names of the threads of jobstate."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("jobstate")}


def connections() -> int:
    """How many connections of stores are open in this process."""
    databases = [engine.database for engine in _open]
    return sum(_is_open(found) for database in databases for found in getattr(database, "opened", ()))


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        connection.total_changes  # noqa: B018
    except sqlite3.ProgrammingError:
        return False
    return True


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test leaves a thread or a connection."""
    before = connections()
    yield
    assert threads() == set()
    left = connections() - before - ("store" in request.fixturenames)
    assert left <= 0
