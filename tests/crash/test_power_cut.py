"""The power fails at any write: the file opens, adds up, and holds exactly what was acknowledged so far.

SQLite in WAL mode appends a commit to its log and, at durability full, syncs before it returns. A log that ends
anywhere is therefore what a cut leaves behind: the test cuts it at each page and inside of each.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import jobstate
from jobstate import JobStore
from jobstate.testing.clock import ManualClock
from tests.processes.team import ROOT

HEADER: Final = 32
FRAME_HEADER: Final = 24
TABLES: Final = (
    "jobs",
    "job_specs",
    "job_events",
    "job_progress",
    "job_checkpoints",
    "deletions",
    "pipelines",
)


def digest(path: Path) -> str:
    """A fingerprint of all that the store holds."""
    connection = sqlite3.connect(path)
    try:
        rows = [sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in TABLES]
    finally:
        connection.close()
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def workload(jobs: JobStore) -> Iterator[None]:
    """Changes of every sort; stops after each, which is one transaction."""
    for number in range(6):
        jobs.submit("extract", {"pad": "x" * 300}, key=f"key-{number}", pipeline_id="p")
        yield
        (run,) = jobs.claim("w1", lease=3600)
        yield
        run.add_range("blocks", 0, number, files=1, size_bytes=10)
        run.flush()
        yield
        run.checkpoint(state={"at": number})
        yield
        match number:
            case 0:
                run.complete()
            case 1:
                run.fail("bad input", retryable=False)
            case 2:
                jobs.stop(run)
                yield
                run.begin_stop()
                yield
                run.finish_stop()
                yield
                jobs.delete(run)
            case 3:
                jobs.stop(run, mode="force")
            case 4:
                jobs.complete_many([run])
            case 5:
                jobs.fail(run, "given up")
        yield
    jobs.submit_many({"kind": "many", "descriptor": {"n": n}} for n in range(20))
    yield
    with jobs.batch():
        jobs.submit("batched")
        jobs.claim("w1", kinds=["batched"])
    yield


def perform(path: str, durability: Any) -> None:
    """Do the workload; after each step say the length of the log and what the store holds; then die."""
    with jobstate.open(path, durability=durability, clock=ManualClock(), actor="test") as jobs:
        log = path + "-wal"
        digests = [(0, digest(Path(path)))]
        digests.extend((os.path.getsize(log), digest(Path(path))) for _ in workload(jobs))
        sys.stdout.write(json.dumps(digests))
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)


class Remains:
    """What the process left behind: the file, its log, and what was acknowledged at which length of the log."""

    def __init__(self, folder: Path, durability: str) -> None:
        self.path = folder / "jobs.db"
        jobstate.open(self.path, clock=ManualClock()).close()
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from tests.crash.test_power_cut import perform; import sys; perform(*sys.argv[1:])",
                self.path,
                durability,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        self.digests: list[tuple[int, str]] = [(length, found) for length, found in json.loads(done.stdout)]
        self.log = Path(f"{self.path}-wal").read_bytes()
        self.page = int.from_bytes(self.log[8:12], "big")

    @property
    def frames(self) -> int:
        return (len(self.log) - HEADER) // (FRAME_HEADER + self.page)

    def end_of(self, frame: int) -> int:
        """Where in the log the frame with that number ends; 0 is its header alone."""
        return HEADER + frame * (FRAME_HEADER + self.page)

    def after_cut(self, folder: Path, log: bytes) -> int:
        """The number of the step after which the store stands as it does with this log; it must add up."""
        cut = folder / "cut.db"
        for ending in ("", "-wal", "-shm"):
            Path(f"{cut}{ending}").unlink(missing_ok=True)
        shutil.copy(self.path, cut)
        Path(f"{cut}-wal").write_bytes(log)
        with jobstate.open(cut, create=False, clock=ManualClock()) as jobs:
            assert jobs.audit().findings == ()
            found = digest(cut)
        return max(number for number, (_, known) in enumerate(self.digests) if known == found)

    def acknowledged(self, length: int) -> int:
        """The last step that was acknowledged when the log had that length."""
        return max(number for number, (size, _) in enumerate(self.digests) if size <= length)


@pytest.fixture(scope="module", params=["full", "normal"])
def remains(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Remains:
    return Remains(tmp_path_factory.mktemp("cut"), request.param)


def test_the_workload_stays_in_the_log_and_every_step_changes_the_store(remains: Remains) -> None:
    assert remains.frames > len(remains.digests)
    assert remains.digests[-1][0] == len(remains.log) == remains.end_of(remains.frames)
    assert len({found for _, found in remains.digests}) == len(remains.digests)


@pytest.mark.slow
def test_a_cut_between_any_two_pages_leaves_what_was_acknowledged_and_no_half_of_a_change(
    remains: Remains, tmp_path: Path
) -> None:
    reached = [remains.after_cut(tmp_path, remains.log[: remains.end_of(frame)]) for frame in range(remains.frames + 1)]
    expected = [remains.acknowledged(remains.end_of(frame)) for frame in range(remains.frames + 1)]
    assert reached == expected
    assert reached == sorted(reached)
    assert reached[-1] == len(remains.digests) - 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["torn", "zeros", "garbage"])
def test_a_cut_inside_a_page_leaves_what_was_acknowledged_before_it(
    remains: Remains, tmp_path: Path, damage: str
) -> None:
    """The page that was being written is short, or its place is allocated but holds something else."""
    for frame in range(0, remains.frames, 3):
        start, end = remains.end_of(frame), remains.end_of(frame + 1)
        half = start + FRAME_HEADER + remains.page // 2
        rest = {"torn": b"", "zeros": bytes(end - half), "garbage": b"\xa5" * (end - half)}[damage]
        log = remains.log[:half] + rest
        if log == remains.log[:end]:  # that half held nothing but zeros: it was written after all
            continue
        assert remains.after_cut(tmp_path, log) == remains.acknowledged(start)


def test_a_log_that_is_lost_altogether_leaves_the_file_as_it_was_checkpointed(remains: Remains, tmp_path: Path) -> None:
    assert remains.after_cut(tmp_path, b"") == 0


def test_the_store_goes_on_after_a_cut_and_numbers_no_job_twice(remains: Remains, tmp_path: Path) -> None:
    middle = remains.end_of(remains.frames // 2) + 100
    remains.after_cut(tmp_path, remains.log[:middle])
    with jobstate.open(tmp_path / "cut.db", create=False, clock=ManualClock()) as jobs:
        known = {job.id for job in jobs.iterate("all")}
        new = jobs.submit("extract")
        assert new.id not in known
        assert jobs.audit().findings == ()
