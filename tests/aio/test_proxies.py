"""Every public name of a store, a run and a worker has an awaited side."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate import JobStore, Run, Worker, aio

ASYNC_TYPES: Final = {JobStore: aio.AsyncJobStore, Run: aio.AsyncRun, Worker: aio.AsyncWorker}
WITHOUT: Final[dict[type, dict[str, str]]] = {
    JobStore: {},
    Run: {},
    Worker: {},
}
"""Names without an awaited side, and why."""
MORE: Final[dict[type, dict[str, str]]] = {
    JobStore: {"call": "several calls on one thread", "sync": "the other side"},
    Run: {"until_stopping": "what asyncio adds", "unless_stopping": "what asyncio adds", "sync": "the other side"},
    Worker: {"sync": "the other side"},
}
PLAIN: Final[dict[type, set[str]]] = {
    JobStore: {"acting", "path", "batch", "worker", "watch", "follow_logs", "iterate"},
    Run: {
        *("add_range", "add_files", "set_progress", "metrics", "log", "note", "emit", "raise_if_stopping", "progress"),
        *(
            "job",
            "restored",
            "id",
            "token",
            "lease",
            "parallelism",
            "rescale_to",
            "stop",
            "stopping",
            "lost",
            "settled",
        ),
    },
    Worker: {"node_id", "shut_down"},
}
"""Names that only touch memory, or begin what is then awaited step by step."""
PROGRAM: Final = """
import asyncio
from collections.abc import Sequence
from typing import assert_type
import jobstate
import jobstate.aio
from jobstate.aio import AsyncJobStore, AsyncRun

async def extract(run: AsyncRun) -> None:
    assert_type(await run.checkpoint(state=1), jobstate.Checkpoint)
    assert_type(run.stop, jobstate.Stop | None)
    assert_type(await run.fail("x", retryable=False), jobstate.Job)
    assert_type(run.add_range("blocks", 1, 2), None)
    assert_type(await run.unless_stopping(asyncio.sleep(1, "x")), str)

def plain(run: jobstate.Run) -> None: ...

async def main() -> None:
    async with jobstate.aio.open("jobs.db", durability="normal") as jobs:
        assert_type(await jobs.submit("extract", {"a": 1}, key="x"), jobstate.Job)
        assert_type(await jobs.claim("w", limit=2), Sequence[AsyncRun])
        assert_type(await jobs.counts(), dict[jobstate.State, int])
        assert_type(await jobs.wait(1, timeout=5), jobstate.Job)
        assert_type(await jobs.complete_many(await jobs.claim("w")), Sequence[AsyncRun])
        async for event in jobs.watch(after=None):
            assert_type(event, jobstate.Event)
        async for entry in jobs.follow_logs(1):
            assert_type(entry, jobstate.LogEntry)
        async for job in jobs.iterate("all"):
            assert_type(job, jobstate.Job)
        async with jobs.worker("w", lease=5) as worker:
            async for run in worker:
                assert_type(run, AsyncRun)
                await jobs.progress(run)
        await jobs.worker("w").serve({"extract": extract, "plain": plain}, concurrency=2)
        assert_type(await jobs.call(jobstate.JobStore.prune, "completed"), int)
    opened = await jobstate.aio.open()
    assert_type(opened.acting("me"), AsyncJobStore)
    await opened.submit(5)  # type: ignore[arg-type]
    await opened.submit("x", prioritty=5)  # type: ignore[call-arg]
    opened.watch(jobb=1)  # type: ignore[call-arg]
"""


def public(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind) if not name.startswith("_")}


@pytest.mark.parametrize("kind", ASYNC_TYPES)
def test_every_public_name_has_its_awaited_side_or_a_reason_why_not(kind: type) -> None:
    here = public(ASYNC_TYPES[kind]) | ({"sync"} if "sync" in MORE[kind] else set())
    attributes = {"restored"} if kind is Run else {"node_id"} if kind is Worker else set()
    assert here == (public(kind) | attributes) - set(WITHOUT[kind]) | set(MORE[kind])


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in ASYNC_TYPES for name in sorted(public(kind) - set(WITHOUT[kind]))]
)
def test_a_name_is_awaited_exactly_if_it_touches_the_store(kind: type, name: str) -> None:
    there = inspect.getattr_static(ASYNC_TYPES[kind], name)
    assert inspect.iscoroutinefunction(there) == (name not in PLAIN[kind])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in ASYNC_TYPES
        for name in sorted(public(kind) & public(ASYNC_TYPES[kind]))
        if inspect.isfunction(getattr(kind, name)) and name not in {"complete_many", "serve"}
    ],
)
def test_parameters_and_docstrings_are_those_of_the_sync_side(kind: type, name: str) -> None:
    there, here = getattr(kind, name), getattr(ASYNC_TYPES[kind], name)
    assert inspect.signature(here).parameters == inspect.signature(there).parameters
    assert inspect.getdoc(here)
    if hasattr(here, "__wrapped__"):
        assert inspect.getdoc(here) == inspect.getdoc(there)


def test_opening_takes_the_options_of_jobstate_open() -> None:
    assert inspect.signature(aio.open).parameters == inspect.signature(jobstate.open).parameters


@pytest.mark.slow
def test_parameters_and_results_come_through_to_a_strict_type_checker(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", str(path)]
    environment = {**os.environ, "MYPYPATH": str(Path(jobstate.__file__).parents[1])}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stdout


def test_only_jobstate_aio_loads_asyncio() -> None:
    check = "import sys, jobstate; jobstate.open; jobstate.Worker; sys.exit('asyncio' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {check}"]).returncode == 0
    )
