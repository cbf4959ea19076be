"""What is built and shipped, and a fresh project with nothing but the wheel and the oldest or the newest pytest."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_readme import TEST, TEST_CONFIGURATION, TEST_OF_A_STORE
from tests.contract import ported

ROOT: Final = Path(__file__).parents[2]
(CLAIMED,) = re.findall(r'^testing = .*"(pytest>=[\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
OLDEST: Final = CLAIMED.replace(">=", "==")
NEWEST: Final = "pytest"
PATIENCE: Final = 250.0
"""Seconds that building, or installing and running, may take."""
WATCH: Final = """
import sys

def pytest_unconfigure():
    heavy = {"peewee", "sqlite3", "transitions", "hypothesis", "jobstate.domain", "jobstate.testing.contract"}
    print("IMPORTED", sorted(heavy & set(sys.modules)))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def done(*command: str | Path, folder: Path) -> str:
    """What a program of another environment printed; it must succeed."""
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "VIRTUAL"))}
    result = subprocess.run(
        list(map(str, command)), cwd=folder, env=alone, capture_output=True, text=True, timeout=PATIENCE
    )
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}"
    return result.stdout


def installed(*arguments: str | Path, python: str | Path, folder: Path) -> None:
    """Call pip, which takes the package index that it is configured with."""
    try:
        done(python, "-m", "pip", *arguments, folder=folder)
    except AssertionError as failed:
        pytest.fail(f"this test needs a package index that pip can reach: {failed}", pytrace=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository that are shipped, in a folder of their own."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("jobstate", "tests", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path) -> Path:
    """The built wheel."""
    installed("wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ".", python=sys.executable, folder=sources)
    (found,) = (sources / "dist").glob("jobstate_ledger-*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(sources: Path) -> Path:
    """The built source distribution."""
    installed("install", "--quiet", "--target", "backend", "hatchling", python=sys.executable, folder=sources)
    run = "import sys; sys.path.insert(0, 'backend'); from hatchling.build import build_sdist; build_sdist('dist')"
    done(sys.executable, "-c", run, folder=sources)
    (found,) = (sources / "dist").glob("jobstate_ledger-*.tar.gz")
    return found


@pytest.fixture(scope="module", params=[OLDEST, NEWEST], ids=["oldest", "newest"])
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, what it asks for, and one version of pytest."""
    folder = tmp_path_factory.mktemp("environment")
    done(sys.executable, "-m", "venv", folder / "venv", folder=folder)
    found = folder / "venv" / "bin" / "python"
    installed("install", "--quiet", f"{wheel}[testing]", request.param, python=found, folder=folder)
    return found


@pytest.fixture
def project(python: Path, tmp_path: Path) -> Path:
    """A project with the configuration and the tests that README shows, and a store of its own."""
    assert ROOT not in tmp_path.parents
    (tmp_path / "pyproject.toml").write_text(TEST_CONFIGURATION)
    (tmp_path / "test_extract.py").write_text(TEST)
    (tmp_path / "test_my_store.py").write_text(TEST_OF_A_STORE)
    (tmp_path / "my_store.py").write_text(Path(ported.__file__).read_text() + "\n\nMyStore = in_memory\n")
    where = done(python, "-c", "import jobstate, pytest; print(jobstate.__file__, pytest.__version__)", folder=tmp_path)
    assert where.startswith(str(python.parents[1])), where
    return tmp_path


def test_the_wheel_brings_the_whole_package_and_nothing_else(sources: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {str(path.relative_to(sources)) for path in (sources / "jobstate").rglob("*") if path.is_file()}
    assert found == expected
    assert {"jobstate/py.typed", "jobstate/testing/plugin.py", "jobstate/storage/schema/0001.sql"} <= found


def test_the_source_distribution_brings_tests_benchmarks_and_changelog(sources: Path, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    expected = {
        str(path.relative_to(sources))
        for name in ("jobstate", "tests", "benchmarks")
        for path in (sources / name).rglob("*")
        if path.is_file()
    }
    assert found - {"PKG-INFO", ".gitignore"} == expected | {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}


def test_the_test_that_readme_shows_passes(python: Path, project: Path) -> None:
    said = done(python, "-m", "pytest", "-W", "error", "--strict-markers", "test_extract.py", folder=project)
    assert "1 passed" in said


def test_the_suite_for_stores_runs_over_a_store_of_the_project(python: Path, project: Path) -> None:
    chosen = "TestClaiming or TestValidation or TestTransactions or TestBackups or test_a_loop"
    said = done(python, "-m", "pytest", "-W", "error", "-k", chosen, "test_my_store.py", folder=project)
    assert "failed" not in said
    assert "3 skipped" in said


def test_a_failure_within_the_suite_is_explained_by_pytest(python: Path, project: Path) -> None:
    with (project / "my_store.py").open("a") as source:
        source.write("\ndef MyStore():\n    own = in_memory()\n    own.jobs.counts = dict\n    return own\n")
    command = [str(python), "-m", "pytest", "-k", "counts", "test_my_store.py"]
    result = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 1
    assert "assert {} == {<State." in result.stdout, result.stdout


def test_the_plugin_costs_nothing_while_it_is_not_used(python: Path, project: Path) -> None:
    def imported(*arguments: str) -> str:
        said = done(python, "-m", "pytest", "-s", *arguments, folder=project)
        return next(line for line in said.splitlines() if line.startswith("IMPORTED"))

    (project / "conftest.py").write_text(WATCH)
    (project / "test_other.py").write_text("def test_it(): pass\n")
    without = imported("-p", "no:jobstate", "test_other.py")  # the plugin of Hypothesis imports that in any case
    assert imported("test_other.py") == without
    assert "peewee" not in imported("--collect-only")
    assert "peewee" in imported("test_extract.py")
