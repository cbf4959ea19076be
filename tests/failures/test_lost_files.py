"""A file that loses its name under an open store: no later change is acknowledged, on any thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate import JobStore, Run, StoreUnavailable, aio


def _replace(path: Path) -> None:
    other = path.with_name("other.db")
    with jobstate.open(other, durability="normal") as store:
        store.submit("other")
    os.replace(other, path)


LOSSES: Final[dict[str, Callable[[Path], object]]] = {
    "removed": lambda path: path.unlink(),
    "moved": lambda path: path.rename(path.with_name("moved.db")),
    "replaced": _replace,
    "emptied": lambda path: os.truncate(path, 0),
}


def _batch(store: JobStore, run: Run) -> None:
    with store.batch():
        store.submit("late")
        store.submit("later")


CHANGES: Final[dict[str, Callable[[JobStore, Run], object]]] = {
    "submit": lambda store, run: store.submit("late"),
    "submit many": lambda store, run: store.submit_many([{"kind": "late"}]),
    "claim": lambda store, run: store.claim("w2"),
    "complete": lambda store, run: run.complete(),
    "complete many": lambda store, run: store.complete_many([run]),
    "fail": lambda store, run: run.fail("gone"),
    "release": lambda store, run: run.release(),
    "heartbeat": lambda store, run: run.heartbeat(),
    "checkpoint": lambda store, run: run.checkpoint(state=1),
    "stop": lambda store, run: store.stop(run),
    "batch": _batch,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


def opened(path: Path) -> tuple[JobStore, Run]:
    store = jobstate.open(path, durability="normal")
    for _ in range(2):
        store.submit("extract")
    (run,) = store.claim("w1")
    return store, run


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "emptied"])
def test_a_change_of_a_file_that_lost_its_name_is_not_acknowledged(
    path: Path, loss: str, change: Callable[[JobStore, Run], object]
) -> None:
    store, run = opened(path)
    try:
        LOSSES[loss](path)
        with pytest.raises(StoreUnavailable, match=f"{path}: .*open it again"):
            change(store, run)
        with pytest.raises(jobstate.JobStateError):
            change(store, run)
    finally:
        store.close()


def test_a_change_of_a_file_that_was_emptied_is_an_error_of_the_store(path: Path) -> None:
    store, _ = opened(path)
    try:
        os.truncate(path, 0)
        with pytest.raises(jobstate.StoreError, match=str(path)):
            store.submit("late")
    finally:
        store.close()


@pytest.mark.parametrize("loss", ["removed", "moved", "replaced"])
def test_every_thread_notices_at_its_next_change(path: Path, loss: str) -> None:
    store, _ = opened(path)
    lost, ready = threading.Event(), threading.Barrier(4)
    found: list[object] = []

    def work() -> None:
        store.submit("before")
        ready.wait(30)
        lost.wait(30)
        try:
            found.append(store.submit("late"))
        except StoreUnavailable as error:
            found.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    ready.wait(30)
    LOSSES[loss](path)
    lost.set()
    for thread in threads:
        thread.join()
    assert found == [StoreUnavailable] * 3
    store.close()


def test_an_awaited_change_is_not_acknowledged_either(path: Path) -> None:
    async def main() -> None:
        async with aio.open(path, durability="normal") as jobs:
            await jobs.submit("extract")
            path.unlink()
            with pytest.raises(StoreUnavailable):
                await jobs.submit("late")

    asyncio.run(main())


def test_a_worker_ends_when_its_file_is_gone(path: Path) -> None:
    with jobstate.open(path, durability="normal") as store:
        store.submit("extract")
        with pytest.raises(StoreUnavailable):
            store.worker("w1", until_idle=True).serve({"extract": lambda run: path.unlink()})


def test_an_empty_file_is_no_store_unless_it_may_be_created(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreUnavailable, match="the file is empty and holds no store"):
        jobstate.open(path, create=False)
    with jobstate.open(path) as store:
        assert store.submit("extract").id == 1
