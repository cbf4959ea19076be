"""README and the guides are true: their tables are generated, and their examples run as printed."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobstate
from tests.adapters.server import Answer, Server, serving
from tests.architecture.documents import DOCUMENTS, README, Block, block, blocks
from tests.architecture.generated import PARTS, parts_in, renewed
from tests.contract import ported

EXAMPLES = [block for block in blocks() if block.language == "python" and block.marker == "runs as printed"]
TEST_CONFIGURATION = block("configuration of the test below")
TEST = block("a test, run as printed")
TEST_OF_A_STORE = block("a test of a store, run as printed")
CHECKED = {
    "runs as printed",
    "runs against a server",  # tests/adapters/test_cli_remote.py
    "configuration of the test below",
    "a test, run as printed",
    "a test of a store, run as printed",
}
"""How an example in Python is checked."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_generated_parts_are_what_the_code_says(document: str) -> None:
    text = DOCUMENTS[document].read_text()
    assert renewed(text) == text, "run: python -m tests.architecture.generated --write"


def test_each_generated_part_stands_in_one_document() -> None:
    assert sorted(name for path in DOCUMENTS.values() for name in parts_in(path.read_text())) == sorted(PARTS)


@pytest.mark.parametrize("name", PARTS)
def test_a_changed_table_would_be_noticed(name: str) -> None:
    part = PARTS[name]()
    (text,) = [text for path in DOCUMENTS.values() if part in (text := path.read_text())]
    broken = text.replace(part, part.replace("e", "3", 1))
    assert broken != text
    assert renewed(broken) == text


def test_every_example_in_python_is_checked() -> None:
    assert {block.marker for block in blocks() if block.language == "python"} <= CHECKED


def picked(document: str, filtered: str) -> str:
    """What `jq` prints for a path such as `.jobs[0].status`; it need not be on the machine."""
    value = json.loads(document)
    for name, number in re.findall(r"\.(\w+)|\[(\d+)\]", filtered):
        value = value[name] if name else value[int(number)]
    return json.dumps(value) + "\n"


def shown(marker: str) -> list[tuple[str, str, str]]:
    """The lines of a console: the command, the filter behind it, and what is printed."""
    (text,) = [block.text for block in blocks() if block.language == "console" and block.marker == marker]
    return re.findall(r"^\$ (.*?)(?: \| jq (.*))?\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)


def test_the_operators_lines_do_what_the_guide_shows(tmp_path: Path) -> None:
    lines = shown("runs as printed")
    assert len(lines) == 13
    for command, filtered, expected in lines:
        program, _, arguments = command.partition(" ")
        assert program == "jobstate"
        result = subprocess.run(
            f"{sys.executable} -m jobstate {arguments}", shell=True, cwd=tmp_path, capture_output=True, text=True
        )
        printed = picked(result.stdout, filtered) if filtered else result.stdout
        assert (result.returncode, printed) == (0, expected), (arguments, result.stderr)


@pytest.mark.parametrize(
    ("marker", "count", "left"), [("answers as printed", 7, []), ("answers as printed: pipelines", 10, [2, 1])]
)
def test_the_lines_over_http_are_answered_as_the_guide_shows(
    tmp_path: Path, marker: str, count: int, left: list[int]
) -> None:
    lines = shown(marker)
    assert len(lines) == count
    with jobstate.open(tmp_path / "jobs.db", durability="normal") as store, serving(store) as server:
        for command, filtered, expected in lines:
            answer = curl(server, command)
            printed = picked(answer.text, filtered) if filtered else answer.text and answer.text + "\n"
            assert not expected or printed == expected, (command, answer)
        # The first line's answer is not shown; what it did is seen in the second.
        assert [job.id for job in store.list("all").jobs] == left


def curl(server: Server, line: str) -> Answer:
    """What `curl` would do with a line, at the address of the server."""
    parser = argparse.ArgumentParser()
    for option, settings in {"-X": {"default": "GET"}, "-H": {"action": "append", "default": []}, "-d": {}}.items():
        parser.add_argument(option, **settings)  # type: ignore[arg-type]
    parser.add_argument("url")
    given = parser.parse_args(shlex.split(line)[1:])
    assert given.url.startswith("http://127.0.0.1:1610/")
    headers = dict(header.split(": ", 1) for header in given.H)
    return server.ask(given.X, given.url.removeprefix("http://127.0.0.1:1610"), raw=given.d, headers=headers)


def numbered(examples: list[Block]) -> Iterator[str]:
    """A name for each example: its document, and which of its examples it is."""
    for place, example in enumerate(examples):
        yield f"{example.document}-{1 + sum(other.document == example.document for other in examples[:place])}"


@pytest.mark.parametrize("example", [block.text for block in EXAMPLES], ids=numbered(EXAMPLES))
def test_an_example_runs_as_printed(example: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    expected = re.findall(r"#> (.*)", example)
    assert result.stdout.splitlines() == expected


@pytest.mark.slow
def test_the_examples_are_typed_strictly_as_a_user_would_check_them(tmp_path: Path) -> None:
    examples = [block.text for block in blocks() if block.language == "python"]
    (tmp_path / "my_store.pyi").write_text("class MyStore: ...\n")
    paths = [tmp_path / f"example_{number}.py" for number in range(len(examples))]
    for path, example in zip(paths, examples, strict=True):
        path.write_text(example)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", *map(str, paths)]
    environment = {**os.environ, "MYPYPATH": str(README.parent)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_the_test_that_is_shown_passes_and_notices_a_handler_that_loses_blocks(tmp_path: Path) -> None:
    assert sum(bool(line) for line in TEST.splitlines()) <= 15 + 2, "fifteen lines, and two imports"
    (tmp_path / "pyproject.toml").write_text(TEST_CONFIGURATION)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]
    for code, outcome, said in (
        (TEST, 0, "1 passed"),
        (TEST.replace("state=block + 1", "state=block + 2"), 1, "jobstate: histories of the jobs"),
    ):
        (tmp_path / "test_extract.py").write_text(code)
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (result.returncode, said in result.stdout) == (outcome, True), result.stdout


@pytest.mark.slow
def test_the_test_of_a_store_that_is_shown_runs_the_suite_over_it(tmp_path: Path) -> None:
    source = Path(ported.__file__).read_text()
    (tmp_path / "my_store.py").write_text(source + "\n\nMyStore = in_memory\n")
    (tmp_path / "test_my_store.py").write_text(TEST_OF_A_STORE)
    command = [sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"]
    whole = subprocess.run([*command, "--collect-only", "-q"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert "TestMyStore::TestClaiming::test_a_claim_takes_at_most_its_limit\n" in whole.stdout
    assert len(re.findall("^test_my_store.py::TestMyStore::", whole.stdout, re.MULTILINE)) > 700
    part = subprocess.run([*command, "-k", "TestClaiming"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert part.returncode == 0, part.stdout
    assert re.search(r"= \d+ passed, \d+ deselected", part.stdout)


def test_the_first_example_fits_on_a_screen() -> None:
    assert EXAMPLES[0].document == "README"
    assert len(EXAMPLES[0].text.splitlines()) <= 30


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 200
