"""Ctrl-C, and a reader that has enough: a command ends at once, without a traceback, and the store is as it was."""

from __future__ import annotations

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobstate
from jobstate.cli.session import INTERRUPTED

JOBSTATE = [sys.executable, "-m", "jobstate"]
JOBS = 100_000
PATIENCE = 60
AT_ONCE = 5.0
"""Seconds; on a busy machine."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 100,000 jobs, half of which have ended."""
    path = tmp_path_factory.mktemp("full") / "jobs.db"
    with jobstate.open(path, durability="normal") as store:
        for _ in range(JOBS // 1000):
            store.submit_many({"kind": "load", "hold": True, "descriptor": {"x": "y" * 100}} for _ in range(1000))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(
        "UPDATE jobs SET state = 'Stopped', trigger = 'halt', seq = seq + 1, finished_at = updated_at, "
        "stop_mode = 'force', stop_outcome = 'forced' WHERE id % 2"
    )
    connection.close()
    return path


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A file with a job that runs, and one that has ended."""
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as store:
        store.submit("extract", {"end_block": 9})
        (run,) = store.claim("w", lease=3600)
        run.add_range("blocks", 0, 4, files=1, size_bytes=10)
        run.flush()
        store.stop(store.submit("load"), mode="force")
    return path


def begun(path: Path, line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*JOBSTATE, *line.split(), "--db", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def interrupted(process: subprocess.Popen[str]) -> None:
    """Ctrl-C, now: it ends at once, as a program does that was interrupted, and says nothing of itself."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (INTERRUPTED, "")
    assert time.monotonic() - began < AT_ONCE


WAITING = ["watch --after 0", "progress 1 --follow", "wait 2 1"]
WORKING = ["prune", "audit", "list --status all --limit 1000 --json"]


@pytest.mark.parametrize("line", WAITING)
def test_ctrl_c_ends_a_command_that_waits_without_a_traceback(few: Path, line: str) -> None:
    process = begun(few, line)
    assert process.stdout is not None
    assert process.stdout.readline()
    interrupted(process)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.4, 1.2])
@pytest.mark.parametrize("line", WORKING)
def test_ctrl_c_ends_a_command_that_works_long_without_a_traceback_and_without_harm(
    full: Path, line: str, seconds: float
) -> None:
    # Python itself is up when it says so: what an interrupt before that looks like is not in our hands.
    script = "from jobstate.cli import main; print('up', flush=True); main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *line.split(), "--db", str(full)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert errors == "" or errors.startswith("more: ")
    assert process.returncode in {INTERRUPTED, 0}  # 0: it was done
    connection = sqlite3.connect(full)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["audit", "prune"])
def test_ctrl_c_under_a_bar_gives_the_cursor_back(full: Path, line: str, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    process = subprocess.Popen(
        [*JOBSTATE, *line.split(), "--db", str(full)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    while b"\x1b[?25l" not in shown:  # the cursor is hidden: the bar is there
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux says so that the other side is gone
        pass
    assert process.wait(PATIENCE) == INTERRUPTED
    assert b"Traceback" not in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")


def read_by_one_who_has_enough(path: Path, line: str) -> None:
    """As `jobstate … | head -n 1`: the command ends with exit code 0 and says nothing."""
    command = f"set -o pipefail; {sys.executable} -m jobstate {line} --db {path} | head -n 1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=PATIENCE)
    assert (result.returncode, re.sub("^more: .*\n", "", result.stderr)) == (0, "")
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["list --status all --limit 1000", "list --status all --limit 1000 --json", "watch --after 0", "events 2"]
)
def test_a_page_of_100000_jobs_may_be_read_by_head(full: Path, line: str) -> None:
    read_by_one_who_has_enough(full, line)


@pytest.mark.parametrize(
    "line", ["wait 2 2", "progress 2", "events 1", "inspect 1", "prune --dry-run", "audit", "doctor"]
)
def test_whatever_is_said_may_be_read_by_head(few: Path, line: str) -> None:
    read_by_one_who_has_enough(few, line)


@pytest.mark.parametrize("line", ["watch --after 0", "progress 1 --follow", "wait 2 1"])
def test_a_command_that_waits_ends_at_its_next_word_to_a_reader_that_has_gone(few: Path, line: str) -> None:
    process = begun(few, line)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    with jobstate.open(few) as store:
        store.fail(1, "to have something to say")
    assert process.wait(PATIENCE) == 0
    assert process.stderr.read() == ""
    process.stderr.close()
