"""What is printed for pip to install is ours: the distribution by its name, extras that there are."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pytest

import jobstate
from jobstate.core import installation
from jobstate.store import doctor

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final = frozenset(PROJECT["optional-dependencies"])
PRINTED: Final = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "pyproject.toml")),
    *sorted(path for path in (ROOT / "jobstate").rglob("*") if path.suffix in {".py", ".md"}),
]
_NAMED: Final = re.compile(r"\b(jobstate[\w-]*)\[([a-z][\w,-]*)\]")
_HINTED: Final = re.compile(r"install_command\(['\"](\w+)['\"]\)")
_PIP: Final = re.compile(r"pip install (?:--?[\w-]+(?: (?=-))? )*'?([^\s'`]+)")


def wrong(text: str) -> list[str]:
    """What a text names for pip that is not ours: another distribution, or an extra that there is not."""
    found = [f"{name}[{extras}]" for name, extras in _NAMED.findall(text) if name != installation.DISTRIBUTION]
    found += [
        extra
        for named in (*(extras for _, extras in _NAMED.findall(text)), *_HINTED.findall(text))
        for extra in named.split(",")
        if extra not in EXTRAS
    ]
    return found + [target for target in _PIP.findall(text) if target in {"jobstate", "jobstate-"}]


@pytest.mark.parametrize("path", PRINTED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_distribution_and_extra_that_is_named_is_ours(path: Path) -> None:
    assert wrong(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    ["pip install 'jobstate[cli]'", "pip install jobstate", "jobstate-ledger[clii]", "install_command('htttp')"],
)
def test_what_is_not_ours_is_found(text: str) -> None:
    assert wrong(text)


def test_the_version_that_is_built_is_the_one_of_the_package() -> None:
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["path"]
    versions = re.findall(r"""^__version__.* = ["'](.+)["']$""", (ROOT / source).read_text(), re.MULTILINE)
    assert versions == [jobstate.__version__]


def test_the_project_has_the_name_that_hints_print() -> None:
    assert PROJECT["name"] == installation.DISTRIBUTION
    assert installation.install_command("cli") == "pip install 'jobstate-ledger[cli]'"


def test_the_doctor_names_another_distribution_that_owns_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"jobstate": ["jobstate", "jobstate-ledger"], "peewee": ["peewee"]}
    monkeypatch.setattr(metadata, "packages_distributions", lambda: both)
    assert installation.rivals() == ["jobstate"]
    check = doctor._installation()
    assert not check.ok
    assert "jobstate owns the package jobstate too" in check.result
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {"jobstate": ["jobstate-ledger"]})
    assert doctor._installation().ok
