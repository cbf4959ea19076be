"""The guides hold together: links lead somewhere, files that are named exist, what they say to install is enough."""

from __future__ import annotations

import ast
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest

import jobstate
from jobstate.aio import AsyncJobStore, AsyncRun, AsyncWorker
from jobstate.cli.registry import cli
from tests.architecture.documents import DOCUMENTS, GUIDES, README, ROOT, blocks, prose

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final[dict[str, list[str]]] = PROJECT["optional-dependencies"]
DISTRIBUTIONS: Final = {
    "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry": "opentelemetry-api",
    "peewee": "peewee",
    "prometheus_client": "prometheus-client",
    "pytest": "pytest",
}
"""Which distribution has a module that an example imports; the longest name counts."""
_LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_PATH: Final = re.compile(r"`((?:jobstate|tests|benchmarks)/[\w./-]*|\.ci/run)`")


def anchors(path: Path) -> set[str]:
    """The anchors of the headings of a document, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path, text: str) -> Iterator[str]:
    """The links of a document that lead nowhere."""
    for link in _LINK.findall(prose(text)):
        target, _, anchor = link.partition("#")
        found = (path.parent / target).resolve() if target else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    path = DOCUMENTS[document]
    assert list(broken_links(path, path.read_text())) == []


def test_a_broken_link_is_found() -> None:
    text = "[a](jobstate/nowhere.md) [b](jobstate/worker/README.md#nothing) [c](jobstate/worker/README.md#progress)"
    assert list(broken_links(README, text)) == ["jobstate/nowhere.md", "jobstate/worker/README.md#nothing"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_is_named_exists(document: str) -> None:
    named = _PATH.findall(DOCUMENTS[document].read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("guide", GUIDES)
def test_a_guide_begins_with_its_title_and_a_link_to_the_readme(guide: str) -> None:
    title, empty, first, *_ = GUIDES[guide].read_text().splitlines()
    assert title.startswith("# ")
    assert empty == ""
    link = _LINK.match(first)
    assert link is not None
    assert (GUIDES[guide].parent / link[1]).resolve() == README


def test_the_readme_lists_every_guide() -> None:
    rows = re.findall(r"^\| \[([\w/]+)\]\((.*?)\) \|", README.read_text(), re.MULTILINE)
    assert {name: (ROOT / path).resolve() for name, path in rows} == GUIDES


def test_the_architecture_names_every_package() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", GUIDES["architecture"].read_text(), re.MULTILINE)
    packages = {path.parent.name for path in (ROOT / "jobstate").glob("*/__init__.py")}
    assert set(rows) == packages
    assert len(rows) == len(packages)


OWNERS: Final[dict[str, tuple[type, ...]]] = {
    "jobs": (jobstate.JobStore, AsyncJobStore),
    "run": (jobstate.Run, AsyncRun),
    "worker": (jobstate.Worker, AsyncWorker),
}
"""What the variables of examples are."""
OTHER_NAMES: Final = {
    *("jobstate.db", "jobstate.run"),
    *("jobstate.job.attempt", "jobstate.run.token", "jobstate.pipeline.id"),
}
"""A file, a logger, and attributes of spans."""
_CALL: Final = re.compile(r"\b(jobs|run|worker)\.([a-z_]+)\(")
_PUBLIC: Final = re.compile(r"\bjobstate((?:\.\w+)+)")


def unknown_names(text: str) -> Iterator[str]:
    """Methods, and names of `jobstate`, that a text in code shows and that do not exist."""
    for variable, name in _CALL.findall(text):
        if not any(hasattr(owner, name) for owner in OWNERS[variable]):
            yield f"{variable}.{name}"
    for dotted in _PUBLIC.findall(text):
        try:
            pkgutil.resolve_name(f"jobstate{dotted}")
        except (ImportError, AttributeError):
            yield f"jobstate{dotted}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_method_that_is_named_exists(document: str) -> None:
    spans = re.findall(r"`([^`]+)`", prose(DOCUMENTS[document].read_text()))
    assert [name for span in spans if span not in OTHER_NAMES for name in unknown_names(span)] == []


def test_a_method_that_does_not_exist_is_found() -> None:
    text = "jobs.submit(1) run.stop() jobs.nothing() run.nowhere() jobstate.open jobstate.aio.over jobstate.ajar"
    assert list(unknown_names(text)) == ["jobs.nothing", "run.nowhere", "jobstate.ajar"]


def command_lines(document: str) -> Iterator[str]:
    """The commands that a document shows, in code spans and in blocks for a shell, after the word `jobstate`."""
    text = DOCUMENTS[document].read_text()
    shell = [block.text for block in blocks() if block.document == document and block.language == "sh"]
    for code in [*re.findall(r"`([^`]+)`", prose(text)), *shell]:
        yield from re.findall(r"(?:^|[ /])jobstate ([a-z][^|<>#\n]*)", code, re.MULTILINE)


def unknown_words(line: str) -> Iterator[str]:
    """The command of a line if it does not exist, and the options that it does not have."""
    name, *words = shlex.split(line)
    command = cli.get_command(click.Context(cli), name)
    if command is None:
        yield name
        return
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    yield from (word for word in words if word.startswith("-") and word.split("=")[0] not in known)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_that_is_shown_exists_with_its_options(document: str) -> None:
    assert {line: words for line in command_lines(document) if (words := list(unknown_words(line)))} == {}


def test_a_command_that_does_not_exist_is_found() -> None:
    assert list(unknown_words("list --status error --colour")) == ["--colour"]
    assert list(unknown_words("lists")) == ["lists"]


def brought(requirements: list[str]) -> Iterator[str]:
    """The distributions that these requirements bring directly, extras of ours resolved."""
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,-]*)\])?", requirement).groups()  # type: ignore[union-attr]
        if name in {".", PROJECT["name"]}:
            yield from brought(
                [*PROJECT["dependencies"], *(req for e in (extras or "").split(",") if e for req in EXTRAS[e])]
            )
        else:
            yield name


def needed(code: str) -> Iterator[str]:
    """The distributions of others that an example imports from."""
    for node in ast.walk(ast.parse(code)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for module in modules:
            prefixes = [known for known in DISTRIBUTIONS if module == known or module.startswith(f"{known}.")]
            if prefixes:
                yield DISTRIBUTIONS[max(prefixes, key=len)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_says_to_install_is_enough_for_its_examples(document: str) -> None:
    printed = re.findall(r"`pip install ([^`&]*)[`&]", DOCUMENTS[document].read_text())
    requirements = [part.strip("'") for command in printed for part in command.split()]
    examples = [block.text for block in blocks() if block.document == document and block.language == "python"]
    wanted = {name for code in examples for name in needed(code)}
    assert wanted - set(brought([*requirements, *PROJECT["dependencies"]])) == set()
