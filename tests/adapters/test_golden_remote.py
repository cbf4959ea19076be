"""What the commands about reports and restarts show is the same through a server as on the file, to the letter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import jobstate
from jobstate.cli.registry import cli
from jobstate.http import Settings
from jobstate.system import SystemClock
from jobstate.testing.clock import ManualClock
from tests.adapters.golden.cases import CASES
from tests.adapters.golden.screens import ENVIRONMENT
from tests.adapters.golden.story import NIGHT, STORIES, tell
from tests.adapters.server import serving

NOW = int(NIGHT.timestamp()) * 1_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stories")
    return {name: tell(name, folder) for name in STORIES}


@pytest.mark.parametrize("name", ["checkpoints", "errors", "logs", "metrics", "output", "rescale", "restart"])
def test_a_command_shows_through_a_server_what_it_shows_on_the_file(
    name: str, stories: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not in a forked child, as those of the golden files: the server has threads.
    monkeypatch.setattr(SystemClock, "now", lambda _clock: NOW)
    for number, case in enumerate(CASES[name]):
        here, there = (tmp_path / f"{number}-{place}.db" for place in ("here", "there"))
        for path in (here, there):
            shutil.copy(stories[case.story or "empty"], path)
        clock = ManualClock(NIGHT)
        with (
            jobstate.open(there, clock=clock, durability="normal") as store,
            serving(store, Settings(sweep_every=3600)) as server,
        ):
            told = shown(case.line, "--admin-url", server.url)
        assert told == shown(case.line, "--db", str(here)), case.line


def shown(line: str, *place: str) -> tuple[int, str, str]:
    """What a command ends with and says."""
    plain = {"JOBSTATE_DB": None, "JOBSTATE_ADMIN_URL": None, "JOBSTATE_AUTH_TOKEN": None}
    result = CliRunner().invoke(cli, [*line.split(), *place], env={**plain, **ENVIRONMENT})
    return result.exit_code, result.stdout, result.stderr
