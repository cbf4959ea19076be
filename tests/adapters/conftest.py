"""A server and a command line to ask about jobs in every state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import jobstate
from jobstate import State
from jobstate.cli.registry import cli
from jobstate.cli.session import DONE
from jobstate.http import Settings
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import Entry, everything
from jobstate.wire.states import Dialect
from tests.adapters.expectations import AGE, by_id
from tests.adapters.jobs_in_states import emptied, one_per_state
from tests.adapters.server import Answer, Server, serving


@dataclass
class Api:
    """A server, its store and the profile it speaks."""

    store: jobstate.JobStore
    clock: ManualClock
    server: Server
    dialect: Dialect
    left: list[Entry] | None = None
    """What a test left behind that was to change nothing."""

    def ask(self, method: str, path: str) -> Answer:
        return self.server.ask(method, path)


@pytest.fixture(scope="module", params=[Dialect.DOCS, Dialect.SDK])
def running_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    clock = ManualClock()
    path = tmp_path_factory.mktemp("matrix") / "jobs.db"
    with (
        jobstate.open(path, durability="normal", clock=clock) as store,
        serving(store, Settings(dialect=request.param, sweep_every=3600)) as server,
    ):
        yield Api(store, clock, server, request.param)


@pytest.fixture
def api(running_api: Api) -> Iterator[Api]:
    """A server over an empty store, whose audit is clean afterwards."""
    emptied(running_api.store)
    yield running_api
    assert running_api.store.audit().ok


@pytest.fixture
def untouched(running_api: Api) -> Iterator[Api]:
    """A server with a job in every state, which are as they were afterwards."""
    store = running_api.store
    if everything(store) != running_api.left:  # making them takes longer than looking at them
        emptied(store)
        one_per_state(store)
        running_api.left = everything(store)
    newest = store.newest_event()
    yield running_api
    assert everything(store) == running_api.left
    assert store.newest_event() == newest
    assert store.audit().ok


@dataclass
class Shell:
    """The command line over a file with an old and a young job in every state."""

    db: Path
    old: dict[State, int]
    young: dict[State, int]

    def __call__(self, *arguments: object, code: int = DONE) -> Result:
        said = [str(argument) for argument in arguments]
        result = CliRunner().invoke(cli, said, env={"JOBSTATE_DB": str(self.db)})
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: object, code: int = DONE) -> Any:
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def entries(self) -> dict[int, Entry]:
        with jobstate.open(self.db, create=False) as store:
            return by_id(store)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    clock = ManualClock(datetime.now(UTC) - AGE)
    with jobstate.open(path, durability="normal", clock=clock) as store:
        old = one_per_state(store)
        clock.set(datetime.now(UTC))
        return Shell(path, old, one_per_state(store))


@pytest.fixture
def shell(template: Shell, tmp_path: Path) -> Iterator[Shell]:
    """A command line over a file of its own, whose audit is clean afterwards."""
    path = tmp_path / "jobs.db"
    shutil.copy(template.db, path)
    yield Shell(path, template.old, template.young)
    with jobstate.open(path, create=False) as store:
        assert store.audit().ok
