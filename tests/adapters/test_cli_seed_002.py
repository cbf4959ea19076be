"""The published command lines with the program's name replaced: each does what it says, and its JSON suits the filters.

The lines stand here as they were published. Those with a pipe go through a shell and the real program; where there is
no `jq`, its filter is applied by hand.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner, Result

import jobstate
from jobstate import State
from jobstate.cli.registry import cli
from jobstate.domain.lifecycle import LIVE, TERMINAL
from jobstate.http import create_app
from jobstate.wire.states import Dialect, spelled
from tests.adapters.jobs_in_states import LEASE, brought, next_id, one_per_state

NAMED: Final = {456: State.FAILED, 499: State.RUNNING, 500: State.STOPPED, 12345: State.RUNNING}
"""Jobs that the published lines name, and a neighbour of the one that is a cursor; job 123 is completed."""


class Shell:
    """Runs published lines against a file of its own."""

    def __init__(self, db: Path, folder: Path) -> None:
        self.db = db
        self._folder = folder

    def __call__(self, line: str) -> Result:
        """Run the line in this process."""
        program, *arguments = shlex.split(line, comments=True)
        assert program == "ampctl"
        result = CliRunner().invoke(cli, arguments, env={"JOBSTATE_DB": str(self.db)})
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    def piped(self, line: str) -> str:
        """Run the line through a shell, with the real program, and return what it prints."""
        program = self._folder / "ampctl"
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m jobstate "$@"\n')
        program.chmod(0o755)
        path = f"{self._folder}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "JOBSTATE_DB": str(self.db)}
        done = subprocess.run(line, shell=True, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    @property
    def states(self) -> dict[int, State]:
        """The state of every job, newest first."""
        with jobstate.open(self.db, create=False) as store:
            return {job.id: job.state for job in store.iterate("all")}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the jobs that the lines name, and one in every state."""
    path = tmp_path_factory.mktemp("template") / "jobs.db"
    with jobstate.open(path, durability="normal") as store:
        one_per_state(store)
        next_id(store, 123)
        store.submit("extract")
        (run,) = store.claim("worker-01", kinds=["extract"], lease=LEASE)
        run.add_range("blocks", 0, 99, files=3, size_bytes=5_000)
        run.complete()
        for job_id, state in NAMED.items():
            next_id(store, job_id)
            assert brought(store, state) == job_id
    return path


@pytest.fixture
def shell(template: Path, tmp_path: Path) -> Shell:
    shutil.copy(template, tmp_path / "jobs.db")
    return Shell(tmp_path / "jobs.db", tmp_path)


def shown(result: Result) -> list[int]:
    """The ids in the first column of a table."""
    return [int(row.split()[0]) for row in result.stdout.splitlines() if row.split()[:1] and row.split()[0].isdigit()]


def live(shell: Shell) -> list[int]:
    return [job_id for job_id, state in shell.states.items() if state in LIVE]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ampctl job list", live),
        ("ampctl job ls  # alias", live),
        ("ampctl job list --limit 100", live),
        ("ampctl job list --after 1234", lambda shell: [job_id for job_id in live(shell) if job_id < 1234]),
        ("ampctl job list --status all", lambda shell: list(shell.states)),
        ("ampctl job list --status scheduled,running", lambda shell: spelled_so(shell, "SCHEDULED", "RUNNING")),
        ("ampctl job list -s completed", lambda shell: spelled_so(shell, "COMPLETED")),
        ("ampctl job list -l 20 -a 500", lambda shell: [job_id for job_id in live(shell) if job_id < 500]),
    ],
)
def test_each_published_listing_shows_its_jobs_newest_first(
    shell: Shell, line: str, expected: Callable[[Shell], Sequence[int]]
) -> None:
    assert shown(shell(line)) == expected(shell) != []
    page = json.loads(shell(f"{line.partition('#')[0]} --json").stdout)
    assert [job["id"] for job in page["jobs"]] == expected(shell)
    assert page["next_cursor"] is None


def spelled_so(shell: Shell, *spellings: str) -> list[int]:
    return [job_id for job_id, state in shell.states.items() if spelled(state, Dialect.AMPCTL) in spellings]


def test_the_published_listings_stop_at_50_20_and_100_jobs_and_name_the_cursor(shell: Shell) -> None:
    with jobstate.open(shell.db, durability="normal") as store:
        store.submit_many([{"kind": "extract"}] * 120)
    newest = live(shell)
    for line, count in (("ampctl job list", 50), ("ampctl job list --limit 100", 100)):
        listed = shell(line)
        assert shown(listed) == newest[:count]
        assert str(newest[count - 1]) in listed.stderr
        page = json.loads(shell(f"{line} --json").stdout)
        assert page["next_cursor"] == newest[count - 1]
    assert len(shown(shell("ampctl job list -l 20 -a 12400"))) == 20


@pytest.mark.parametrize("line", ["ampctl job inspect 12345", "ampctl job get 12345  # alias"])
def test_the_published_inspection_is_the_job(shell: Shell, line: str) -> None:
    job = json.loads(shell(line).stdout)
    assert (job["id"], job["status"], job["node_id"], job["descriptor"]) == (12345, "RUNNING", "worker-01", {})


def test_the_published_stop_asks_the_job_to_stop_and_may_be_repeated(shell: Shell) -> None:
    for _ in range(2):
        assert "12345" in shell("ampctl job stop 12345").stdout
        assert shell.states[12345] is State.STOP_REQUESTED


@pytest.mark.parametrize("line", ["ampctl job rm 123", "ampctl job remove 456  # alias"])
def test_each_published_removal_removes_and_may_be_repeated(shell: Shell, line: str) -> None:
    before = shell.states
    job_id = int(shlex.split(line, comments=True)[-1])
    for _ in range(2):
        shell(line)
        assert shell.states == {other: state for other, state in before.items() if other != job_id} != before


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("ampctl job prune", TERMINAL),
        ("ampctl job prune --status completed", {State.COMPLETED}),
        ("ampctl job prune --status error", {State.FAILED}),
        ("ampctl job prune --status stopped", {State.STOPPED}),
    ],
)
def test_each_published_pruning_removes_its_sort_alone(shell: Shell, line: str, gone: frozenset[State]) -> None:
    before = shell.states
    removed = sum(state in gone for state in before.values())
    assert str(removed) in shell(line).stdout
    assert shell.states == {job_id: state for job_id, state in before.items() if state not in gone}


def test_the_published_progress_names_blocks_files_and_size(shell: Shell) -> None:
    told = shell("ampctl job progress 123").stdout
    assert "blocks" in told
    document = json.loads(shell("ampctl job progress 123 --json").stdout)
    figures = {"files_count": 3, "total_size_bytes": 5000, "start_block": 0, "current_block": 99}
    assert document == {"job_id": 123, "job_status": "COMPLETED", "tables": {"blocks": figures}}


def test_the_published_json_listing_is_one_document(shell: Shell) -> None:
    page = json.loads(shell("ampctl job list --json").stdout)
    assert page.keys() == {"jobs", "next_cursor"}
    assert {job["status"] for job in page["jobs"]} == {spelled(state, Dialect.AMPCTL) for state in LIVE}


FILTERS: Final[dict[str, Callable[[Any], list[Any]]]] = {
    "jq '.status'": lambda document: [document["status"]],
    """jq '.jobs[] | select(.status == "COMPLETED")'""": lambda document: [
        job for job in document["jobs"] if job["status"] == "COMPLETED"
    ],
}


def filtered(shell: Shell, line: str) -> list[Any]:
    """The JSON values that a published line with `jq` prints."""
    command, _, found = line.partition(" | ")
    if shutil.which("jq") is None:
        return FILTERS[found](json.loads(shell.piped(command)))
    printed, values, place = shell.piped(line).strip(), [], 0
    while place < len(printed):
        value, place = json.JSONDecoder().raw_decode(printed, place)
        values.append(value)
        place += len(printed[place:]) - len(printed[place:].lstrip())
    return values


@pytest.mark.parametrize(
    "line", ["ampctl job inspect 12345 | jq '.status'", "ampctl job inspect 12345 --json | jq '.status'"]
)
def test_the_published_filter_of_an_inspection_finds_the_status(shell: Shell, line: str) -> None:
    assert filtered(shell, line) == ["RUNNING"]


def test_the_published_filter_of_a_listing_finds_the_completed_jobs_where_they_are_listed(shell: Shell) -> None:
    line = """ampctl job list --json | jq '.jobs[] | select(.status == "COMPLETED")'"""
    assert filtered(shell, line) == []
    everything = filtered(shell, line.replace("--json", "--json --status all"))
    assert [job["id"] for job in everything] == spelled_so(shell, "COMPLETED") != []


def test_the_published_filter_of_the_description_finds_the_published_endpoints() -> None:
    with jobstate.open(":memory:") as store:
        paths = create_app(store).openapi()["paths"]
    found = {path: set(operations) for path, operations in paths.items() if path.startswith("/jobs")}
    assert found["/jobs"] >= {"get", "delete"}
    assert found["/jobs/{job_id}"] >= {"get", "delete"}
    assert found["/jobs/{job_id}/stop"] >= {"put"}
    assert found["/jobs/{job_id}/progress"] >= {"get"}
