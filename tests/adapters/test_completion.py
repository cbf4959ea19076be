"""What a shell completes, asked as the shells ask; and that it never hurts the store or its user's line."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

import jobstate
from jobstate.domain.lifecycle import LIVE, TERMINAL, State
from jobstate.storage.completion import glance
from jobstate.testing.contract.situations import one_of_each
from tests.adapters.golden.screens import piped

BIN: Final = Path(sys.executable).parent
WORDS: Final = {"active", "all", "completed", "error", "running", "scheduled", "stopped", "stopping", "terminal"}


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A store with a job in every situation, all of them settled."""
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as store:
        one_of_each(store)
    return path


def states(db: Path) -> dict[str, State]:
    with jobstate.open(db, create=False) as store:
        return {str(job.id): job.state for job in store.iterate("all")}


def ones(db: Path) -> list[str]:
    """The ids that begin with a 1, newest first."""
    return [job_id for job_id in sorted(states(db), key=int, reverse=True) if job_id.startswith("1")]


def asked(db: Path | str, line: str, shell: str = "bash", **environment: str) -> str:
    """What the shell is told when its user has typed that much."""
    typed = line.split(" ")
    words = {"COMP_WORDS": line, "COMP_CWORD": typed[-1] if shell == "fish" else str(len(typed) - 1)}
    wanted = {**words, "_JOBSTATE_COMPLETE": f"{shell}_complete", "JOBSTATE_DB": str(db), **environment}
    with TemporaryDirectory() as folder:
        answer = piped([], Path(folder), time.time_ns() // 1_000, environment=wanted)
    assert (answer.code, answer.err) == (0, "")
    return answer.out


def offered(db: Path | str, line: str, **environment: str) -> list[str]:
    """The words that bash is offered."""
    lines = asked(db, line, **environment).split()
    assert all(line.startswith("plain,") for line in lines)
    return [line.removeprefix("plain,") for line in lines]


def test_names_of_commands_and_of_options_are_completed(db: Path) -> None:
    assert offered(db, "jobstate s") == ["submit", "schedule", "stop", "serve", "sweep"]
    assert offered(db, "jobstate job in") == ["inspect"]
    assert offered(db, "jobstate list --l") == ["--limit", "--label"]
    assert offered(db, "jobstate stop --mode ") == [mode.value for mode in jobstate.StopMode]
    assert asked(db, "jobstate backup ") == asked(db, "jobstate list --db ") == "file,\n"


def test_words_for_states_are_completed_also_behind_a_comma(db: Path) -> None:
    assert set(offered(db, "jobstate list --status ")) >= WORDS
    assert offered(db, "jobstate list -s run") == ["running"]
    assert offered(db, "jobstate list -s RUNNING,ru") == []
    assert offered(db, "jobstate wait 1 --until running,comp") == ["running,completed"]
    assert offered(db, "jobstate list -s rec") == ["recovering"]
    assert set(offered(db, "jobstate prune -s ")) == {"terminal", "completed", "failed", "stopped", "error"}


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("inspect", set(State)),
        ("stop", LIVE),
        ("rm", TERMINAL),
        ("schedule", {State.CREATED}),
        ("fail", LIVE - {State.CREATED}),
        ("restart", {State.FAILED, State.STOPPED}),
        ("rescale", LIVE - {State.STOP_REQUESTED, State.STOPPING}),
    ],
)
def test_the_ids_that_a_command_could_do_something_with_are_completed_newest_first(
    db: Path, command: str, wanted: frozenset[State]
) -> None:
    expected = [job_id for job_id, state in sorted(states(db).items(), key=lambda one: -int(one[0])) if state in wanted]
    assert offered(db, f"jobstate {command} ") == expected


def test_an_id_is_completed_from_its_first_digits_and_offered_once(db: Path) -> None:
    assert offered(db, "jobstate inspect 1") == ones(db)
    newest = ones(db)[0]
    assert newest not in offered(db, f"jobstate wait {newest} 10 ")
    assert offered("elsewhere.db", f"jobstate inspect --db {db} 1") == ones(db)
    assert offered(f"~/{db.name}", "jobstate inspect 1", HOME=str(db.parent)) == ones(db)


def test_no_ids_are_offered_for_jobs_that_are_behind_a_server(db: Path) -> None:
    assert offered(db, "jobstate inspect --admin-url http://127.0.0.1:9 1") == []
    assert offered(db, "jobstate inspect 1", JOBSTATE_ADMIN_URL="http://127.0.0.1:9") == []
    assert offered("elsewhere.db", f"jobstate inspect --db {db} 1", JOBSTATE_ADMIN_URL="http://127.0.0.1:9") != []


def test_a_shell_that_shows_more_than_the_word_shows_state_and_kind(db: Path) -> None:
    newest = ones(db)[0]
    (state, kind) = next((job_state, job_kind) for job_id, job_state, job_kind in glance(str(db), "1", State, 1))
    assert asked(db, "jobstate inspect 1", "zsh").splitlines()[:3] == ["plain", newest, f"{state} {kind}"]
    assert asked(db, "jobstate inspect 1", "fish").splitlines()[0] == f"plain,{newest}\t{state} {kind}"
    assert asked(db, "jobstate inspect 1", COMP_TYPE="63").splitlines()[0] == f"plain,{newest}  ({state} {kind})"
    for types in ("9", "37"):  # one tab, and a menu: these type what they are told
        assert asked(db, "jobstate inspect 1", COMP_TYPE=types).splitlines()[0] == f"plain,{newest}"
    assert asked(db, f"jobstate inspect {newest}", COMP_TYPE="63") == f"plain,{newest}\n"


def in_bash(script: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "--norc", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_bash_completes_as_the_readme_sets_it_up(db: Path) -> None:
    script = f"""
eval "$(_JOBSTATE_COMPLETE=bash_source jobstate)"; complete -p jobstate
COMP_WORDS=(jobstate inspect --db {db} 1); COMP_CWORD=4; COMPREPLY=(); _jobstate_completion jobstate
echo "${{COMPREPLY[@]}}"
COMP_WORDS=(jobstate stop --mode ""); COMP_CWORD=3; COMPREPLY=(); _jobstate_completion jobstate
echo "${{COMPREPLY[@]}}"
"""
    assert in_bash(script, db.parent).splitlines() == [
        "complete -o nosort -F _jobstate_completion jobstate",
        " ".join(ones(db)),
        "checkpoint immediate force",
    ]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_get_a_function_of_their_own(shell: str) -> None:
    environment = {**os.environ, "_JOBSTATE_COMPLETE": f"{shell}_source"}
    told = subprocess.run([BIN / "jobstate"], env=environment, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr) == (0, "")
    assert f"_JOBSTATE_COMPLETE={shell}_complete" in told.stdout


def test_completion_makes_no_file_and_changes_none(db: Path) -> None:
    before = {path.name: path.read_bytes() for path in db.parent.iterdir()}
    assert offered(db, "jobstate inspect ")
    assert offered(db.parent / "missing.db", "jobstate inspect ") == []
    assert {path.name: path.read_bytes() for path in db.parent.iterdir()} == before


def test_completion_sees_what_a_worker_has_just_written_and_waits_for_nobody(db: Path) -> None:
    with jobstate.open(db) as store:
        newest = store.submit("load")
        with store.batch():
            store.submit("not yet")
            assert offered(db, "jobstate inspect ")[0] == str(newest.id)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_file_of_another_program_is_no_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(content)
    assert offered(path, "jobstate inspect ") == []
    assert path.read_bytes() == content
    assert offered(tmp_path, "jobstate inspect ") == []
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE jobs (id TEXT)").connection.close()
    assert offered(tmp_path / "other.db", "jobstate inspect ") == []


@pytest.mark.parametrize(
    "line",
    [
        "jobstate nonsense ",
        "jobstate stop --mode nonsense ",
        "jobstate stop 'unclosed",
        "jobstate stop x",
        "jobstate stop 0",
    ],
)
def test_a_line_that_is_wrong_so_far_is_no_error(db: Path, line: str) -> None:
    asked(db, line)


def test_a_glance_at_a_large_store_gives_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "jobs ?#%.db")
    with jobstate.open(path, durability="normal") as store:
        store.submit("wanted")
        store.submit_many({"kind": "load", "hold": True} for _ in range(3000))
    assert glance(path, "", {State.SCHEDULED}, 5) == [(1, "Scheduled", "wanted")]
    monkeypatch.setattr("jobstate.storage.completion._STEPS", 1000)
    monkeypatch.setattr("jobstate.storage.completion._MOST_STEPS", 2)
    assert glance(path, "", {State.SCHEDULED}, 5) == []
    assert len(glance(path, "", {State.CREATED}, 5)) == 5
