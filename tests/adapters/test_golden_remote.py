"""What the commands about reports and restarts show is the same through a server as on the file, to the letter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import jobstate
from jobstate.http import Settings
from jobstate.testing.clock import ManualClock
from tests.adapters.golden.cases import CASES
from tests.adapters.golden.screens import piped
from tests.adapters.golden.story import NAME, NIGHT, STORIES, tell
from tests.adapters.server import serving

NOW = int(NIGHT.timestamp()) * 1_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stories")
    return {name: tell(name, folder) for name in STORIES}


@pytest.mark.parametrize("name", ["checkpoints", "errors", "logs", "metrics", "output", "rescale", "restart"])
def test_a_command_shows_through_a_server_what_it_shows_on_the_file(
    name: str, stories: dict[str, Path], tmp_path: Path
) -> None:
    for number, case in enumerate(CASES[name]):
        here, there = (tmp_path / f"{number}-{place}" for place in ("here", "there"))
        for folder in (here, there):
            folder.mkdir()
            shutil.copy(stories[case.story or "empty"], folder / NAME)
        clock = ManualClock(NIGHT)
        with (
            jobstate.open(there / NAME, clock=clock, durability="normal") as store,
            serving(store, Settings(sweep_every=3600)) as server,
        ):
            told = piped([*case.line.split(), "--admin-url", server.url], there, NOW)
        assert told == piped(case.line.split(), here, NOW), case.line
