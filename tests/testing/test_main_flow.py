"""The script that shows the built wheel on other Pythons passes on this one, and needs no more than that wheel."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "main_flow.py"


@pytest.mark.slow
def test_the_main_flow_passes_without_a_warning() -> None:
    done = subprocess.run([sys.executable, "-P", "-W", "error", str(SCRIPT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the main flow passes on Python ")


def test_the_main_flow_imports_nothing_but_the_standard_library_and_jobstate() -> None:
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(SCRIPT.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"jobstate"}
