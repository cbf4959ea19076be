"""What each command shows is what the golden files say: on terminals of 80 and of 200 columns, and piped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.adapters.golden.cases import CASES, FOLDER, shown
from tests.adapters.golden.screens import Screen, on_a_terminal, piped, seen
from tests.adapters.golden.story import NAME, NIGHT, STORIES, tell

NOW = int(NIGHT.timestamp()) * 1_000_000


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stories")
    return {name: tell(name, folder) for name in STORIES}


@pytest.mark.parametrize("name", CASES)
def test_a_command_shows_what_its_golden_file_says(name: str, stories: dict[str, Path], tmp_path: Path) -> None:
    found = shown(name, stories, tmp_path)
    assert found == (FOLDER / f"{name}.txt").read_text(), "read it, then: python -m tests.adapters.golden --write"


def test_every_golden_file_is_of_a_command_that_is_shown() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == CASES.keys()


@pytest.mark.parametrize("line", ["list --status all", "inspect 5", "progress 2", "events 2", "doctor"])
def test_there_are_colours_only_on_a_terminal_that_has_them_and_whose_user_wants_them(
    stories: dict[str, Path], tmp_path: Path, line: str
) -> None:
    shutil.copy(stories["day"], tmp_path / NAME)

    def on(**environment: str) -> Screen:
        return on_a_terminal(line.split(), tmp_path, NOW, 120, environment=environment)

    coloured = on()
    assert coloured.styled
    for plain in (on(NO_COLOR="1"), on(TERM="dumb")):
        assert plain.styled == {}
        assert plain.lines == coloured.lines
    assert on(NO_COLOR="").styled == coloured.styled  # as no-color.org has it
    assert "\x1b" not in piped(line.split(), tmp_path, NOW, environment={"FORCE_COLOR": "1"}).out


@pytest.mark.parametrize("line", ["list --status all", "list", "events 5", "watch --after 0 --timeout 0", "doctor"])
@pytest.mark.parametrize("columns", [40, 60, 81, 119, 120, 400])
def test_no_line_that_people_read_is_broken_by_the_terminal(
    stories: dict[str, Path], tmp_path: Path, line: str, columns: int
) -> None:
    shutil.copy(stories["day"], tmp_path / NAME)
    screen = on_a_terminal(line.split(), tmp_path, NOW, columns)
    if columns >= 60:  # narrower, what is never cut needs more than there is
        assert not [text for text in screen.lines if text.endswith("↩")]
    assert max(map(len, screen.lines)) <= columns + 1


def test_what_a_terminal_makes_of_what_it_is_sent() -> None:
    assert seen("one\r\ntwo", 80) == (["one", "two"], {})
    assert seen("\x1b[1mtit\x1b[0mle", 80) == (["title"], {"bold": ["tit"]})
    assert seen("gone\r\x1b[2Knew", 80)[0] == ["new"]
    assert seen("up\r\nhere\r\x1b[2K\x1b[1A\x1b[2Kyes", 80)[0] == ["yes"]
    assert seen("12345678", 5)[0] == ["12345↩", "678"]
    for hostile in ("\x1b]0;title\x07", "\x1b[2J", "\x07"):
        with pytest.raises(AssertionError, match="was sent"):
            seen(hostile, 80)
