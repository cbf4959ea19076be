"""The scenario of the demo: submit the jobs, start the workers, stop and restart one job, kill one worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import jobstate
from jobstate.demo.board import Board
from jobstate.demo.files import INSTALLED, default_folder, parts
from jobstate.demo.reads import recorded_reads
from jobstate.demo.verdict import Verdict, judge
from jobstate.demo.worker import KIND, descriptor
from jobstate.domain.errors import InvalidRequest

WORKERS: Final = 4
WORKER: Final = "jobstate.demo.worker"
"""The module that a worker process runs."""
OPERATOR: Final = "demo:operator"
_POLL_INTERVAL: Final = 0.05
_TIMEOUT: Final = 120.0
"""The demo gives up after so many seconds without a change of a job."""


@dataclass
class Scenario:
    """The jobs with their names and numbers of files by id, the two that are disturbed, and the workers."""

    jobs: list[jobstate.Job]
    names: dict[int, str]
    files: dict[int, int]
    to_stop: int
    to_crash: int
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: str | None = None
    stopped: bool = False
    restart: jobstate.Job | None = None
    """The job that restarts the stopped one."""


def run_demo(folder: Path | None, db: Path | None, pace: float, *, on_errors: bool = False) -> Verdict:
    """Run the whole demo and return its verdict; with `on_errors`, show it on standard error."""
    exclude = INSTALLED if folder is None else ()
    folder = (default_folder() if folder is None else folder).resolve()
    with tempfile.TemporaryDirectory(prefix="jobstate-demo-") as scratch:
        path = Path(scratch, "jobs.db") if db is None else db.resolve()
        with jobstate.open(path, actor=OPERATOR) as store, Board(folder, path, on_errors=on_errors) as board:
            scenario = _submit(store, folder, exclude, pace)
            board.begin(scenario.names, scenario.files)
            with _workers(scenario, path, scratch):
                _watch(store, scenario, board)
            verdict = judge(store, scenario, recorded_reads(Path(scratch)), folder, exclude)
            board.end(verdict, kept=db is not None)
    return verdict


def _submit(store: jobstate.JobStore, folder: Path, exclude: tuple[str, ...], pace: float) -> Scenario:
    work = [(part, len(part.files())) for part in parts(folder, exclude)]
    work = [(part, files) for part, files in work if files]
    if not work:
        raise InvalidRequest("FOLDER", f"{folder} holds no files; name one that does")
    by_size = sorted(range(len(work)), key=lambda index: -work[index][1])
    to_stop, to_crash = by_size[0], by_size[min(1, len(work) - 1)]
    entries = []
    for index, (part, files) in enumerate(work):
        fields = descriptor(part, pace)
        if index in (to_stop, to_crash):
            # A job chosen for both is first crashed, then stopped; a crashed job does not wait in its next run.
            fields.update(hold_at=files // 2, hold_attempts=1000 if index == to_stop else 1)
        first = index in (to_stop, to_crash)
        retry = jobstate.RetryPolicy(initial=0.2)
        entries.append({"kind": KIND, "descriptor": fields, "priority": -1 if first else 0, "retry": retry})
    jobs = store.submit_many(entries, reason="demo")
    return Scenario(
        jobs,
        {
            job.id: part.folder.name + ("/" if part.recursive else "/*")
            for job, (part, _) in zip(jobs, work, strict=True)
        },
        {job.id: files for job, (_, files) in zip(jobs, work, strict=True)},
        jobs[to_stop].id,
        jobs[to_crash].id,
    )


def _watch(store: jobstate.JobStore, scenario: Scenario, board: Board) -> None:
    """Show what happens until every job has ended; stop and crash the chosen jobs when they are half way."""
    cursor = min(event.id for event in store.events(scenario.jobs[0])) - 1
    last_change = time.monotonic()
    while scenario.names.keys() - board.ended:
        time.sleep(_POLL_INTERVAL)
        for event in store.watch(after=cursor, timeout=0):
            cursor, last_change = event.id, time.monotonic()
            if event.job_id in scenario.names:
                board.event(event)
        if scenario.to_stop in board.ended and scenario.restart is None:
            _restart(store, scenario, board)
        running = [
            job for job in store.iterate(jobstate.LIVE) if job.id in scenario.names and job.worker_id is not None
        ]
        board.progress(running, {job.id: store.progress(job) for job in running})
        for job in running:
            _disturb(store, scenario, job, board)
        store.sweep()
        if time.monotonic() - last_change > _TIMEOUT:
            raise InvalidRequest("demo", f"no job changed for {_TIMEOUT:g} s; the workers may not have started")


def _disturb(store: jobstate.JobStore, scenario: Scenario, job: jobstate.Job, board: Board) -> None:
    half_way = sum(table.files_count for table in store.progress(job).values()) >= scenario.files[job.id] // 2
    if not half_way or job.state is not jobstate.State.RUNNING:
        return
    if job.id == scenario.to_crash and scenario.killed is None and job.worker_id in scenario.workers:
        scenario.killed = job.worker_id
        scenario.workers[job.worker_id].send_signal(signal.SIGKILL)
        board.action(f"kill -9 {job.worker_id}, which runs job {job.id} ({scenario.names[job.id]})")
    elif job.id == scenario.to_stop and not scenario.stopped and (job.id != scenario.to_crash or job.attempt > 1):
        scenario.stopped = True
        store.stop(job, timeout=30, reason="the demo stops it half way")
        board.action(f"stop job {job.id} ({scenario.names[job.id]}), half way")


def _restart(store: jobstate.JobStore, scenario: Scenario, board: Board) -> None:
    """Restart the stopped job; if it ended otherwise, the verdict shows it."""
    if store.get(scenario.to_stop).state is not jobstate.State.STOPPED:
        return
    restart = scenario.restart = store.restart(scenario.to_stop, reason="the demo restarts it")
    scenario.names[restart.id], scenario.files[restart.id] = (
        scenario.names[scenario.to_stop],
        scenario.files[scenario.to_stop],
    )
    board.restarted(scenario.to_stop, restart.id)
    board.action(f"restart job {scenario.to_stop} as job {restart.id}, from its last checkpoint")


@contextmanager
def _workers(scenario: Scenario, database: Path, reads: str) -> Iterator[None]:
    """Run four worker processes during the block."""
    # Imports must not add files to the folder that the demo counts.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for number in range(1, WORKERS + 1):
            node = f"worker-{number}"
            command = [sys.executable, "-m", WORKER, str(database), node, reads]
            scenario.workers[node] = subprocess.Popen(command, env=environment)
        yield
    finally:
        _end(list(scenario.workers.values()))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
