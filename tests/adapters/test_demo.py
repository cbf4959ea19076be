"""`jobstate demo`, as a person runs it: on a folder, piped and on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import jobstate
from jobstate import JobStore
from jobstate.demo.files import Tally, parts, read, table_of
from jobstate.demo.reads import Read, ReadLog, read_again, recorded_reads
from jobstate.demo.verdict import judge, walk
from jobstate.demo.worker import COUNT, KIND, READ, count, descriptor, part_of
from jobstate.domain.job_row import Lease
from jobstate.testing import ManualClock, drain
from tests.architecture.documents import README, block

DEMO = [sys.executable, "-m", "jobstate", "demo"]
CLAIM = r"^  (yes|NO )  (.*)$"
CLAIMS = 8


METRICS = "their metrics equal a plain walk: repeated work counts once"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three sub-folders and some files beside them, with all that files can be."""
    root = tmp_path / "input"
    for name, files in (("alpha", 45), ("beta", 30), ("gamma", 5)):
        for number in range(files):
            path = root / name / f"deep{number % 3}" / f"file{number}.{'txt' if number % 2 else 'py'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("line\n" * number)
    (root / "empty").write_bytes(b"")
    (root / "no newline at the end.txt").write_bytes(b"one\ntwo")
    (root / "odd name [bold] é.bin").write_bytes(bytes(range(256)))
    (root / "link").symlink_to(root / "empty")
    return root


@pytest.mark.slow
def test_the_demo_as_json_is_one_document_with_the_same_verdict(folder: Path) -> None:
    result = subprocess.run([*DEMO, str(folder), "--pace", "1", "--json"], capture_output=True, text=True, timeout=100)
    told = json.loads(result.stdout)
    assert (result.returncode, told["held"]) == (0, True)
    assert [claim["held"] for claim in told["claims"]] == [True] * CLAIMS
    shown = re.findall(CLAIM, result.stderr, re.MULTILINE)
    assert [claim for _, claim in shown] == [claim["claim"] for claim in told["claims"]]
    assert sorted(job["state"] for job in told["jobs"]) == ["Completed"] * 4 + ["Stopped"]
    walked, counted = told["totals"][-1], told["totals"][-3]
    assert {name: walked[name] for name in ("files", "size_bytes", "lines")} == {
        name: counted[name] for name in ("files", "size_bytes", "lines")
    }


@pytest.mark.slow
def test_the_demo_holds_on_a_folder_and_says_so(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    result = subprocess.run(
        [*DEMO, str(folder), "--db", str(kept), "--pace", "1"], capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "\x1b" not in result.stdout
    claims = re.findall(CLAIM, result.stdout, re.MULTILINE)
    assert [held for held, _ in claims] == ["yes"] * CLAIMS
    assert "kill -9" in result.stdout
    assert f"  jobstate logs 3 --db {kept}\n" in result.stdout
    with jobstate.open(kept, create=False) as store:
        counts = store.counts()
        assert (counts[jobstate.State.COMPLETED], counts[jobstate.State.STOPPED]) == (4, 1)
        assert store.audit().ok
        (stopped,) = store.list("stopped").jobs
        assert stopped.stop is not None
        assert (stopped.stop.reason, stopped.stop.outcome) == ("the demo stops it half way", "checkpointed")
        (restart,) = [job for job in store.iterate("all") if job.restarted_from is not None]
        assert restart.restarted_from == stopped.id
        assert sum(table.files_count for table in store.progress(restart).values()) == 45
        for job in store.iterate("all"):
            totals, tables = store.metrics(job).totals, store.progress(job).values()
            assert totals.records_in == sum(table.files_count for table in tables)
            assert totals.bytes_in == sum(table.total_size_bytes for table in tables)
        said = {job.id: [entry.message for entry in store.logs(job)][::-1] for job in (stopped, restart)}
        assert said[stopped.id][-1] == "asked to stop: checkpoint after 22 of 45 files"
        assert re.fullmatch(r"worker-\d continues from chk_\d+, after 22 of 45 files", said[restart.id][0])
        assert said[restart.id][1:] == ["read all 45 files"]
    assert re.search(r"^job \d+ +alpha/ .* → Stopped *$", result.stdout, re.MULTILINE)
    assert f"restarts job {stopped.id}: Scheduled → Running" in result.stdout


def test_the_demo_ends_as_the_guide_and_the_readme_show(folder: Path) -> None:
    shown, verdict = block("ends so, with other numbers"), block("verdict of the demo, with other numbers")
    assert verdict in shown
    for number in range(12):  # so that the worker which is killed has written a checkpoint
        (folder / "beta" / f"more{number}").write_text("line\n")
    result = subprocess.run([*DEMO, str(folder), "--pace", "0"], capture_output=True, text=True, timeout=100)
    ending = result.stdout[result.stdout.index("Totals") :]
    assert [_unnumbered(line) for line in shown.splitlines()] == [_unnumbered(line) for line in ending.splitlines()]


def _unnumbered(line: str) -> str:
    return re.sub(r" +", " ", re.sub(r"\d[\d,]*", "N", line))


@pytest.mark.slow
def test_workers_that_ignore_the_checkpoint_are_found_out(folder: Path) -> None:
    code = "import sys; from jobstate.cli import main; from jobstate.demo import scenario\n"
    code += "scenario.WORKER = 'tests.adapters.forgetful'; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "demo", str(folder), "--pace", "0"],
        cwd=README.parent,
        env={**os.environ, "PYTHONPATH": str(README.parent)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert result.returncode == 1, result.stdout + result.stderr
    refuted = [claim for held, claim in re.findall(CLAIM, result.stdout, re.MULTILINE) if held == "NO "]
    assert len(refuted) == 4
    assert "restarted it from its checkpoint" in refuted[0]
    assert refuted[1:] == [
        "no file was left out, and none read again that a checkpoint covered",
        "the totals of the completed jobs equal a plain walk",
        METRICS,
    ]


@pytest.mark.slow
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


class _Jobs:
    def __init__(self, jobs: list[jobstate.Job]) -> None:
        self.jobs = jobs
        self.names = {job.id: str(job.id) for job in jobs}
        self.files = {job.id: len(part_of(job).files()) for job in jobs}
        self.to_stop, self.to_crash = jobs[0].id, jobs[1].id
        self.killed: str | None = "worker-1"
        self.restart: jobstate.Job | None = None


def run_in_this_process(
    store: jobstate.JobStore, folder: Path, notes: Path, handler: Callable[[jobstate.Run, ReadLog], None] = count
) -> _Jobs:
    """The jobs of the folder, done one after the other."""
    jobs = [store.submit(KIND, descriptor(part, 0)) for part in parts(folder, ())]
    reads = ReadLog(notes, "w")
    drain({KIND: lambda run: handler(run, reads)}, store=store)
    reads.close()
    return _Jobs(jobs)


def test_the_verdict_notices_counters_that_differ_from_the_walk(jobs: JobStore, folder: Path, tmp_path: Path) -> None:
    def twice(run: jobstate.Run, reads: ReadLog) -> None:
        count(run, reads)
        if run.id == 2:
            run.metrics(COUNT, records_out=1)

    demo_jobs = run_in_this_process(jobs, folder, tmp_path, twice)
    claims = dict(judge(jobs, demo_jobs, recorded_reads(tmp_path), folder, ()).claims)
    assert not claims[METRICS]
    assert claims["the totals of the completed jobs equal a plain walk"]


def test_a_file_that_may_not_be_read_is_a_warning_of_its_job(
    jobs: JobStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, usual = folder / "gamma" / "secret", Path.open
    secret.write_text("never seen")

    def refuse(path: Path, *args: Any, **named: Any) -> Any:
        if path == secret:
            raise PermissionError(path)
        return usual(path, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    demo_jobs = run_in_this_process(jobs, folder, tmp_path)
    verdict = judge(jobs, demo_jobs, recorded_reads(tmp_path), folder, ())
    assert dict(verdict.claims)[METRICS]
    assert verdict.metrics.counted.unreadable == 1
    (warning,) = [entry for job in demo_jobs.jobs for entry in jobs.errors(job)]
    assert (warning.level, warning.operator_id) == ("warn", READ)
    assert warning.message == f"no read permission, counted without its content: {secret}"


def test_the_verdict_measures_all_completed_jobs_together(
    jobs: JobStore, clock: ManualClock, folder: Path, tmp_path: Path
) -> None:
    def slowly(run: jobstate.Run, reads: ReadLog) -> None:
        count(run, reads)
        clock.advance(5)

    demo_jobs = run_in_this_process(jobs, folder, tmp_path, slowly)
    metrics = judge(jobs, demo_jobs, recorded_reads(tmp_path), folder, ()).metrics
    assert (metrics.counted, metrics.seconds) == (walk(folder, ()), 20)
    assert metrics.files_per_second == 83 / 20
    assert metrics.latency is not None
    assert 0 < metrics.latency.p50 <= metrics.latency.p99


def test_the_verdict_notices_a_file_that_no_job_reported(jobs: JobStore, folder: Path, tmp_path: Path) -> None:
    demo_jobs = run_in_this_process(jobs, folder, tmp_path)
    claims = dict(judge(jobs, demo_jobs, recorded_reads(tmp_path), folder, ()).claims)
    assert claims["the totals of the completed jobs equal a plain walk"]
    assert claims["no file was left out; 0 read again, none that a checkpoint covered"]
    assert not claims["worker-1 was killed, and its job 2 claimed again"]
    assert not claims["the stopped job was restarted"]
    (folder / "alpha" / "new").write_text("x")
    claims = dict(judge(jobs, demo_jobs, recorded_reads(tmp_path), folder, ()).claims)
    assert not claims["the totals of the completed jobs equal a plain walk"]


def runs(*spans: tuple[int, int, int, int]) -> list[Read]:
    """What runs recorded_reads that read the places from the third number up to the fourth."""
    return [Read(job_id, token, place) for job_id, token, first, end in spans for place in range(first, end)]


@pytest.mark.parametrize(
    ("reads", "again"),
    [
        (runs((1, 1, 0, 9)), 0),
        (runs((1, 1, 0, 5), (2, 1, 5, 9)), 0),
        (runs((1, 1, 0, 5), (1, 3, 5, 9), (3, 1, 0, 4)), 0),
        (runs((1, 3, 4, 9), (1, 1, 0, 5)), None),
        (runs((1, 2, 0, 5), (1, 3, 3, 9)), 2),
        (runs((1, 2, 0, 5), (1, 3, 1, 9)), 4),
        (runs((1, 2, 0, 6), (1, 3, 1, 9)), None),
        (runs((1, 2, 0, 5), (1, 3, 6, 9)), None),
        (runs((1, 1, 0, 8)), None),
        (runs((1, 1, 0, 5), (2, 1, 0, 9)), None),
        (runs((1, 1, 0, 5), (2, 1, 3, 9)), None),
        (runs((1, 1, 0, 5), (1, 1, 4, 9)), None),
        ([], None),
    ],
)
def test_a_file_is_read_again_only_behind_the_last_checkpoint_of_a_lost_run(
    reads: list[Read], again: int | None
) -> None:
    assert read_again(reads, [1, 2], 9, {Lease(1, 2)}, limit=4) == again


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
    assert "pip install 'jobstate-ledger[cli]'" in result.stderr
