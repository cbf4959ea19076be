"""A strict type checker refuses handlers that `serve` would refuse when it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import jobstate

PROGRAM: Final = """
import jobstate
import jobstate.aio

class Extractor:
    def __call__(self, run: jobstate.Run) -> None: ...

def plain(run: jobstate.Run) -> None: ...
async def awaited(run: jobstate.Run) -> None: ...
async def on_a_loop(run: jobstate.aio.AsyncRun) -> None: ...
def with_a_result(run: jobstate.Run) -> int:
    return 1
def without_a_run() -> None: ...

def serve(worker: jobstate.Worker) -> None:
    worker.serve({"extract": plain, "transform": Extractor(), "load": lambda run: run.complete()}, concurrency=2)
    worker.serve({"extract": awaited})  # type: ignore[dict-item]
    worker.serve({"extract": with_a_result})  # type: ignore[dict-item]
    worker.serve({"extract": without_a_run})  # type: ignore[dict-item]
    worker.serve([plain])  # type: ignore[arg-type]

async def serve_on_a_loop(worker: jobstate.aio.AsyncWorker) -> None:
    await worker.serve({"extract": on_a_loop, "transform": plain})
    await worker.serve({"extract": awaited})  # type: ignore[dict-item]
"""


def test_a_type_checker_refuses_an_async_handler_where_nothing_awaits_it(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(path)]
    environment = {**os.environ, "MYPYPATH": str(Path(jobstate.__file__).parents[1])}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
