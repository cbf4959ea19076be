"""Real worker processes on a staged store: `jobstate worker`, as it runs in production."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from jobstate.core.arguments import Duration
from jobstate.domain import validation
from jobstate.domain.errors import InvalidRequest
from jobstate.store.job_store import JobStore

PATIENCE: Final = 60.0
"""Seconds that a process may take to begin, or to end."""
_POLL: Final = 0.005


class WorkerProcess:
    """One worker process. Made by the fixture `jobstate_worker_process`.

    Attributes:
        node_id: Its name as a worker.
        pid: The number of the process.
    """

    def __init__(self, process: subprocess.Popen[bytes], node_id: str, log: Path) -> None:
        self._process = process
        self._log = log
        self.node_id = node_id
        self.pid = process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Its log so far: stdout and stderr."""
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """Send SIGKILL, so that no handler or cleanup of it runs; returns when the process is gone."""
        if self.alive:
            self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self, timeout: float = PATIENCE) -> int:
        """Send SIGTERM: the worker releases its jobs and ends. Returns its exit code. `timeout`: seconds."""
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)


class StartWorker:
    """Starts worker processes on a store in a file; `close` kills those that still run."""

    def __init__(self, store: JobStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._stack = ExitStack()
        self.started: list[WorkerProcess] = []

    def __call__(
        self, handlers: str, *, node_id: str | None = None, lease: Duration = 30.0, concurrency: int = 1
    ) -> WorkerProcess:
        """Start `jobstate worker HANDLERS`, and return once it has registered.

        Args:
            handlers: `MODULE:HANDLERS`: a dict of kinds and functions, in a module that this test could import.
            node_id: Its name; default `process-1` and so on.
            lease: How long a job waits before another worker takes it from a dead one.
            concurrency: How many jobs at a time.

        Raises:
            InvalidRequest: It ended instead; `problem` has its output.
        """
        number = len(self.started) + 1
        name = f"process-{number}" if node_id is None else validation.text("node_id", node_id)
        log = self._folder / f"worker-{number}.log"
        command = [
            *(sys.executable, "-m", "jobstate", "worker", handlers, "--db", self._store.path, "--node", name),
            *("--lease", f"{validation.seconds_of('lease', lease):f}", "--concurrency", str(concurrency)),
        ]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        worker = WorkerProcess(process, name, log)
        self._stack.callback(worker.kill)
        self.started.append(worker)
        _wait_until(lambda: not worker.alive or any(one.pid == worker.pid for one in self._store.workers()), worker)
        if not worker.alive:
            raise InvalidRequest("handlers", f"{handlers} did not start: {worker.output.strip()}")
        return worker

    def close(self) -> None:
        """Kill the processes that still run."""
        self._stack.close()


def _wait_until(condition: Callable[[], bool], worker: WorkerProcess) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"worker {worker.node_id} did not register within {PATIENCE:g} s: {worker.output}")
        time.sleep(_POLL)
