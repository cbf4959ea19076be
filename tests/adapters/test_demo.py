"""`jobstate demo`, as a person runs it: on a folder, piped and on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jobstate
from jobstate.cli.demo.files import Tally, parts, read, table_of
from jobstate.cli.demo.report import judge, walk
from jobstate.cli.demo.work import KIND, count, descriptor

DEMO = [sys.executable, "-m", "jobstate", "demo"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sub-folders and some files beside them, with all that files can be."""
    root = tmp_path / "input"
    for name, files in (("alpha", 40), ("beta", 30), ("gamma", 5)):
        for number in range(files):
            path = root / name / f"deep{number % 3}" / f"file{number}.{'txt' if number % 2 else 'py'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("line\n" * number)
    (root / "empty").write_bytes(b"")
    (root / "no newline at the end.txt").write_bytes(b"one\ntwo")
    (root / "odd name [bold] é.bin").write_bytes(bytes(range(256)))
    (root / "link").symlink_to(root / "empty")
    return root


def test_the_demo_holds_on_a_folder_and_says_so(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    result = subprocess.run(
        [*DEMO, str(folder), "--db", str(kept), "--pace", "1"], capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\x1b" not in result.stdout
    claims = re.findall(r"^  (yes|NO )  (.*)$", result.stdout, re.MULTILINE)
    assert [held for held, _ in claims] == ["yes"] * 5
    assert "kill -9" in result.stdout
    with jobstate.open(kept, create=False) as store:
        counts = store.counts()
        assert (counts[jobstate.State.COMPLETED], counts[jobstate.State.STOPPED]) == (3, 1)
        assert store.audit().ok
        (stopped,) = store.list("stopped").jobs
        assert stopped.stop is not None
        assert stopped.stop.reason == "the demo stops it half way"


def test_the_demo_is_live_on_a_terminal(folder: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen([*DEMO, str(folder)], stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux tells so that the other side has gone
        pass
    assert process.wait(60) == 0, shown.decode()
    os.close(ours)
    text = shown.decode()
    assert "all jobs" in text
    assert "\x1b[" in text
    assert "Verdict" in text


def test_a_folder_without_files_is_refused_with_the_next_step(tmp_path: Path) -> None:
    result = subprocess.run([*DEMO, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (2, "")
    assert "holds no files; name one that does" in result.stderr


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    result = subprocess.run([*DEMO, str(tmp_path / "nowhere")], capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "does not exist" in result.stderr


class _Played:
    def __init__(self, jobs: list[jobstate.Job]) -> None:
        self.jobs = jobs
        self.names = {job.id: str(job.id) for job in jobs}
        self.to_stop, self.to_crash = jobs[0].id, jobs[1].id
        self.killed: str | None = "worker-1"


def test_the_verdict_notices_a_file_that_no_job_reported(folder: Path) -> None:
    with jobstate.open(":memory:") as store:
        jobs = [store.submit(KIND, descriptor(part, 0)) for part in parts(folder, ())]
        store.worker("w", until_idle=True).serve({KIND: count})
        claims = dict(judge(store, _Played(jobs), folder, ()).claims)
        assert claims["reported and remaining together are what a plain walk counts"]
        assert not claims["worker-1 was killed and its job 2 claimed again"]
        (folder / "alpha" / "new").write_text("x")
        claims = dict(judge(store, _Played(jobs), folder, ()).claims)
        assert not claims["reported and remaining together are what a plain walk counts"]


def test_files_are_counted_as_the_usual_tools_count_them(folder: Path) -> None:
    assert read(folder / "no newline at the end.txt") == Tally(1, 7, 2)
    assert read(folder / "empty") == Tally(1, 0, 0)
    found = subprocess.run(["find", str(folder), "-type", "f"], capture_output=True, text=True, check=True).stdout
    assert walk(folder, ()).files == len(found.splitlines())


@pytest.mark.parametrize(("name", "table"), [("a.py", "py"), ("a", "other"), ("a.TXT", "txt"), (".gitignore", "other")])
def test_a_file_is_counted_in_the_table_of_its_ending(name: str, table: str) -> None:
    assert table_of(Path(name)) == table


def test_the_command_line_says_how_to_install_what_it_needs() -> None:
    check = "import sys; sys.modules['click'] = None\nfrom jobstate.cli import main\nmain()"
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "pip install 'jobstate[cli]'" in result.stderr
