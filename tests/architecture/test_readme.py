"""README.md is true: its tables are generated, its examples run, its commands are the ones that CI runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.generated import PARTS, README, renewed

TEXT = README.read_text()
EXAMPLES = re.findall(r"<!-- runs as printed -->\n```python\n(.*?)```", TEXT, re.DOTALL)


def test_generated_parts_are_what_the_code_says() -> None:
    assert renewed(TEXT) == TEXT, "run: python -m tests.architecture.generated --write"


def test_a_changed_table_would_be_noticed() -> None:
    for make in PARTS.values():
        part = make()
        broken = TEXT.replace(part, part.replace("e", "3", 1))
        assert broken != TEXT
        assert renewed(broken) == TEXT


def test_the_operators_lines_do_what_the_readme_shows(tmp_path: Path) -> None:
    (block,) = re.findall(r"<!-- runs as printed -->\n```console\n(.*?)```", TEXT, re.DOTALL)
    lines = re.findall(r"^\$ jobstate (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
    assert len(lines) == 9
    for arguments, expected in lines:
        result = subprocess.run(
            f"{sys.executable} -m jobstate {arguments}", shell=True, cwd=tmp_path, capture_output=True, text=True
        )
        assert (result.returncode, result.stdout) == (0, expected), (arguments, result.stderr)


def test_there_are_examples_to_run() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda code: code.strip().splitlines()[0][:40])
def test_an_example_runs_as_printed(example: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    expected = re.findall(r"#> (.*)", example)
    assert result.stdout.splitlines() == expected


def test_the_examples_are_typed_strictly_as_a_user_would_check_them(tmp_path: Path) -> None:
    paths = [tmp_path / f"example_{number}.py" for number in range(len(EXAMPLES))]
    for path, example in zip(paths, EXAMPLES, strict=True):
        path.write_text(example)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", *map(str, paths)]
    environment = {**os.environ, "MYPYPATH": str(README.parent)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout


def test_the_first_example_fits_on_a_screen() -> None:
    assert len(EXAMPLES[0].splitlines()) <= 30
