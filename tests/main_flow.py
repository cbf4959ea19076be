"""The main flow of a program, over the jobstate that is installed: `python -P -W error tests/main_flow.py`.

It needs nothing but `jobstate-ledger[cli]`, so that `.ci/run` can show that the built wheel works on each Python.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import jobstate
from jobstate import JobStore, Run, State


def submit_claim_complete(jobs: JobStore) -> None:
    """A loop claims a job, reports progress, takes a checkpoint and completes the job."""
    job = jobs.submit("extract", {"path": "in.csv"}, key="in.csv")
    assert jobs.submit("extract", {"path": "in.csv"}, key="in.csv").deduplicated
    (run,) = jobs.claim("worker-1")
    with run:
        run.add_range("rows", 0, 99, files=1)
        run.checkpoint(state={"row": 100})
        run.log.info("read %d rows", 100)
        run.complete()
    assert jobs.get(job).state is State.COMPLETED
    assert [event.trigger for event in jobs.events(job) if not event.is_note] == ["submit", "claim", "complete"]


def serve_until_idle(jobs: JobStore) -> None:
    """Two threads of a worker run handlers; one fails, is tried again, and completes."""
    met: list[int] = []
    lock = threading.Lock()

    def handler(run: Run) -> None:
        with lock:
            met.append(run.id)
        if run.job.descriptor["fails"] and run.job.attempt == 1:
            raise RuntimeError("once")

    submitted = [jobs.submit("load", {"fails": n == 2}, retry=jobstate.RetryPolicy(initial=0)) for n in range(4)]
    jobs.worker("worker-2", until_idle=True).serve({"load": handler}, concurrency=2)
    assert {jobs.get(job).state for job in submitted} == {State.COMPLETED}
    assert len(met) == 5


def operate(path: Path) -> None:
    """The command line lists, stops, watches and audits."""

    def cli(*arguments: str) -> dict[str, object]:
        command = [sys.executable, "-P", "-W", "error", "-m", "jobstate", *arguments, "--db", str(path), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, ""), (arguments, done)
        found: dict[str, object] = json.loads(done.stdout)
        return found

    job = cli("submit", "load", "--hold")
    assert cli("stop", str(job["id"]), "--mode", "force")["id"] == job["id"]
    assert cli("inspect", str(job["id"]))["state"] == "Stopped"
    listed = cli("list", "--status", "all")["jobs"]
    assert isinstance(listed, list)
    assert len(listed) == 6
    assert cli("audit")["findings"] == []


def main() -> None:
    """All of it, in a file and, but for the command line, in memory."""
    logging.getLogger("jobstate").addHandler(logging.NullHandler())  # one handler fails on purpose
    with jobstate.open(":memory:") as jobs:
        submit_claim_complete(jobs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.db"
        with jobstate.open(path) as jobs:
            submit_claim_complete(jobs)
            serve_until_idle(jobs)
        operate(path)
        with jobstate.open(path) as jobs:
            assert jobs.audit().ok
    print(f"the main flow passes on Python {sys.version.split()[0]}, with {Path(jobstate.__file__).parent}")


if __name__ == "__main__":
    main()
