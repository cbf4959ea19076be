"""The public names: complete, typed, lazy, documented."""

from __future__ import annotations

import ast
import inspect
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import jobstate
import jobstate.aio
import jobstate.testing

PACKAGE = Path(jobstate.__file__).parent
TWO_SCREENS = 100
"""Lines."""


def public_names(package: ModuleType) -> set[str]:
    return set(getattr(package, "__all__", None) or package._HOME_OF)


@pytest.mark.parametrize("package", [jobstate, jobstate.aio, jobstate.testing], ids=lambda package: package.__name__)
def test_every_public_name_is_declared_for_type_checkers_and_can_be_loaded(package: ModuleType) -> None:
    tree = ast.parse(Path(str(package.__file__)).read_text())
    declared = {
        str(alias.asname)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jobstate.")
        for alias in node.names
        if alias.name != "__version__"
    }
    assert declared == public_names(package)
    assert all(getattr(package, name) is not None for name in declared)
    assert declared < set(dir(package))


def test_help_fits_two_screens_and_names_nothing_that_is_not_there() -> None:
    text = pydoc.plain(pydoc.render_doc(jobstate))
    assert len(text.splitlines()) <= TWO_SCREENS
    named = re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", str(jobstate.__doc__))
    assert len(named) > 5
    assert set(named) <= public_names(jobstate)


@pytest.mark.parametrize("package", [jobstate, jobstate.aio, jobstate.testing], ids=lambda package: package.__name__)
def test_every_public_name_has_a_docstring(package: ModuleType) -> None:
    for name in public_names(package):
        value = getattr(package, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), name


def test_importing_jobstate_loads_neither_peewee_nor_sqlite() -> None:
    check = "import sys, jobstate; sys.exit(any(name in sys.modules for name in ('peewee', 'sqlite3', 'transitions')))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_asking_for_states_and_errors_does_not_load_peewee() -> None:
    check = "import sys, jobstate; jobstate.State, jobstate.LeaseLost; sys.exit('peewee' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_misspelt_name_is_an_attribute_error() -> None:
    assert not hasattr(jobstate, "opne")
    assert not hasattr(jobstate.testing, "dran")


def test_no_statement_asks_the_database_for_time_or_chance() -> None:
    for path in (PACKAGE / "storage").rglob("*.py"):
        text = path.read_text().lower()
        for word in ("current_timestamp", "datetime('now'", "random()", "unixepoch()"):
            assert word not in text, f"{path.name} uses {word}"


def test_state_names_stand_only_in_the_table() -> None:
    values = {state.value for state in jobstate.State}
    for path in PACKAGE.rglob("*.py"):
        if (
            path.name == "lifecycle.py" or PACKAGE / "testing" / "contract" in path.parents
        ):  # a test says what it expects
            continue
        constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not values & constants, path
