"""`jobstate guide`: the guides of the package, formatted on a terminal and plain when piped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobstate.cli.commands.guide import guides
from tests.adapters.golden.screens import GUIDES as SAMPLES
from tests.adapters.golden.screens import Screen, on_a_terminal
from tests.adapters.test_completion import offered
from tests.architecture.documents import GUIDES

JOBSTATE = [sys.executable, "-m", "jobstate"]
LINES = 24
"""The height of the terminal in these tests."""


def test_every_guide_is_found_under_its_name() -> None:
    assert {name: file.read_text("utf-8") for name, file in guides().items()} == {
        name: path.read_text() for name, path in GUIDES.items()
    }
    assert list(guides()) == sorted(GUIDES)


def test_a_piped_guide_is_its_markdown() -> None:
    result = subprocess.run([*JOBSTATE, "guide", "worker"], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, GUIDES["worker"].read_text(), "")


def test_a_reader_that_ends_early_is_no_error() -> None:
    command = f"set -o pipefail; '{sys.executable}' -m jobstate guide worker | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout, result.stderr) == (0, "# Writing workers\n", "")


def test_an_unknown_name_is_a_usage_error_that_lists_the_guides() -> None:
    result = subprocess.run([*JOBSTATE, "guide", "nowhere"], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"there is no guide 'nowhere'; the guides are {', '.join(sorted(GUIDES))}" in result.stderr


def test_guides_as_json() -> None:
    for arguments, expected in (
        (["guide", "--json"], {"guides": [{"name": name, "title": title(name)} for name in sorted(GUIDES)]}),
        (["guide", "cli", "--json"], {"name": "cli", "title": title("cli"), "text": GUIDES["cli"].read_text()}),
    ):
        result = subprocess.run([*JOBSTATE, *arguments], capture_output=True, text=True, timeout=60)
        assert json.loads(result.stdout) == expected


def title(name: str) -> str:
    return GUIDES[name].read_text().splitlines()[0].removeprefix("# ")


def test_names_are_completed(tmp_path: Path) -> None:
    """The process that answers is one of the golden screens, which has guides of its own."""
    names = sorted(("architecture", *(folder.name for folder in SAMPLES.iterdir() if folder.is_dir())))
    assert offered(tmp_path / "none.db", "jobstate guide ") == names
    assert offered(tmp_path / "none.db", "jobstate guide arch") == ["architecture"]


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of guides: one as long as the terminal is high but for the prompt, one a line longer."""
    for name, lines in (("short", LINES - 1), ("long", LINES)):
        (tmp_path / name).mkdir()
        # A title, an empty line, and a list.
        rows = "".join(f"- {number}\n" for number in range(lines - 2))
        (tmp_path / name / "README.md").write_text(f"# {name}\n{rows}")
    monkeypatch.setattr("tests.adapters.golden.screens.GUIDES", tmp_path)
    return tmp_path


def shown(folder: Path, name: str, **environment: str) -> Screen:
    screen = on_a_terminal(["guide", name], folder, 0, 80, environment={"PATH": "/usr/bin:/bin", **environment})
    assert screen.code == 0
    return screen


@pytest.mark.parametrize(("name", "paged"), [("short", False), ("long", True)])
def test_a_guide_longer_than_the_terminal_opens_in_the_pager(samples: Path, name: str, paged: bool) -> None:
    lines = shown(samples, name, PAGER="sed s/^/pager:/").lines
    assert [line.startswith("pager:") for line in lines] == [paged] * len(lines)


@pytest.mark.parametrize("pager", ["", "cat", "there-is-no-such-pager -R"])
def test_without_a_pager_a_long_guide_is_printed(samples: Path, pager: str) -> None:
    assert shown(samples, "long", PAGER=pager).lines[0].strip() == "long"


@pytest.mark.parametrize(("given", "options"), [({}, "FRX"), ({"LESS": "S"}, "S")])
def test_the_usual_pager_is_less_with_the_options_of_git(samples: Path, given: dict[str, str], options: str) -> None:
    less = samples / "less"
    less.write_text('#!/bin/sh\ncat > /dev/null\necho "less with $LESS"\n')
    less.chmod(0o755)
    assert shown(samples, "long", PATH=f"{samples}:/usr/bin:/bin", **given).lines == [f"less with {options}"]


def test_a_terminal_without_colours_gets_none() -> None:
    screen = on_a_terminal(["guide", "sample"], SAMPLES, 0, 80, environment={"NO_COLOR": "1"})
    assert (screen.code, screen.styled) == (0, {})
