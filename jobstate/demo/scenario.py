"""The play: submit the jobs, start the workers, stop one job and restart it, kill one worker, see how it ends."""

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
from jobstate.demo.reads import noted
from jobstate.demo.verdict import Verdict, judge
from jobstate.demo.worker import KIND, descriptor
from jobstate.domain.errors import InvalidRequest

WORKERS: Final = 4
WORKER: Final = "jobstate.demo.worker"
"""The module that a worker process runs."""
OPERATOR: Final = "demo:operator"
_LOOK: Final = 0.05
_PATIENCE: Final = 120.0
"""Seconds without any change of any job after which the demo gives up."""


@dataclass
class Cast:
    """The jobs, by id their names and files, which is to be stopped and which to lose its worker, and the workers."""

    jobs: list[jobstate.Job]
    names: dict[int, str]
    files: dict[int, int]
    to_stop: int
    to_crash: int
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: str | None = None
    stopped: bool = False
    restart: jobstate.Job | None = None
    """The job that goes on with the stopped one."""


def run_demo(folder: Path | None, db: Path | None, pace: float, *, on_errors: bool = False) -> Verdict:
    """The whole demo, and how it ended; shown on standard error instead of standard output with `on_errors`."""
    exclude = INSTALLED if folder is None else ()
    folder = (default_folder() if folder is None else folder).resolve()
    with tempfile.TemporaryDirectory(prefix="jobstate-demo-") as scratch:
        path = Path(scratch, "jobs.db") if db is None else db.resolve()
        with jobstate.open(path, actor=OPERATOR) as store, Board(folder, path, on_errors=on_errors) as board:
            cast = _submit(store, folder, exclude, pace)
            board.begin(cast.names, cast.files)
            with _workers(cast, path, scratch):
                _watch(store, cast, board)
            verdict = judge(store, cast, noted(Path(scratch)), folder, exclude)
            board.end(verdict, kept=db is not None)
    return verdict


def _submit(store: jobstate.JobStore, folder: Path, exclude: tuple[str, ...], pace: float) -> Cast:
    work = [(part, len(part.files())) for part in parts(folder, exclude)]
    work = [(part, files) for part, files in work if files]
    if not work:
        raise InvalidRequest("FOLDER", f"{folder} holds no files; name one that does")
    by_size = sorted(range(len(work)), key=lambda place: -work[place][1])
    to_stop, to_crash = by_size[0], by_size[min(1, len(work) - 1)]
    entries = []
    for place, (part, files) in enumerate(work):
        told = descriptor(part, pace)
        if place in (to_stop, to_crash):
            # A job of which both is asked is first crashed, then stopped; a job to crash runs through when it is back.
            told.update(hold_at=files // 2, hold_attempts=1000 if place == to_stop else 1)
        first = place in (to_stop, to_crash)
        retry = jobstate.RetryPolicy(initial=0.2)
        entries.append({"kind": KIND, "descriptor": told, "priority": -1 if first else 0, "retry": retry})
    jobs = store.submit_many(entries, reason="demo")
    return Cast(
        jobs,
        {
            job.id: part.folder.name + ("/" if part.recursive else "/*")
            for job, (part, _) in zip(jobs, work, strict=True)
        },
        {job.id: files for job, (_, files) in zip(jobs, work, strict=True)},
        jobs[to_stop].id,
        jobs[to_crash].id,
    )


def _watch(store: jobstate.JobStore, cast: Cast, board: Board) -> None:
    """Until every job has ended: show what happens, and do the two accidents when their jobs are half way."""
    cursor = min(event.id for event in store.events(cast.jobs[0])) - 1
    last_change = time.monotonic()
    while cast.names.keys() - board.ended:
        time.sleep(_LOOK)
        for event in store.watch(after=cursor, timeout=0):
            cursor, last_change = event.id, time.monotonic()
            if event.job_id in cast.names:
                board.event(event)
        if cast.to_stop in board.ended and cast.restart is None:
            _restart(store, cast, board)
        running = [job for job in store.iterate(jobstate.LIVE) if job.id in cast.names and job.worker_id is not None]
        board.progress(running, {job.id: store.progress(job) for job in running})
        for job in running:
            _accident(store, cast, job, board)
        store.sweep()
        if time.monotonic() - last_change > _PATIENCE:
            raise InvalidRequest("demo", f"nothing happened for {_PATIENCE:g} s; the workers may not have started")


def _accident(store: jobstate.JobStore, cast: Cast, job: jobstate.Job, board: Board) -> None:
    half_way = sum(table.files_count for table in store.progress(job).values()) >= cast.files[job.id] // 2
    if not half_way or job.state is not jobstate.State.RUNNING:
        return
    if job.id == cast.to_crash and cast.killed is None and job.worker_id in cast.workers:
        cast.killed = job.worker_id
        cast.workers[job.worker_id].send_signal(signal.SIGKILL)
        board.say(f"kill -9 {job.worker_id}, which runs job {job.id} ({cast.names[job.id]})")
    elif job.id == cast.to_stop and not cast.stopped and (job.id != cast.to_crash or job.attempt > 1):
        cast.stopped = True
        store.stop(job, timeout=30, reason="the demo stops it half way")
        board.say(f"stop job {job.id} ({cast.names[job.id]}), half way")


def _restart(store: jobstate.JobStore, cast: Cast, board: Board) -> None:
    """Go on with the stopped job; one that came to another end instead is left for the verdict to tell."""
    if store.get(cast.to_stop).state is not jobstate.State.STOPPED:
        return
    restart = cast.restart = store.restart(cast.to_stop, reason="the demo goes on with it")
    cast.names[restart.id], cast.files[restart.id] = cast.names[cast.to_stop], cast.files[cast.to_stop]
    board.goes_on(cast.to_stop, restart.id)
    board.say(f"restart job {cast.to_stop} as job {restart.id}, from its last checkpoint")


@contextmanager
def _workers(cast: Cast, database: Path, journals: str) -> Iterator[None]:
    """Four worker processes, which end with the block."""
    # Importing must not add files to the folder that is being counted.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        for number in range(1, WORKERS + 1):
            node = f"worker-{number}"
            command = [sys.executable, "-m", WORKER, str(database), node, journals]
            cast.workers[node] = subprocess.Popen(command, env=environment)
        yield
    finally:
        _end(list(cast.workers.values()))


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
