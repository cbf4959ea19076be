"""SIGTERM and SIGINT on an event loop: what is held is handed back, uncharged, and the process ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from jobstate import JobStore, State, aio
from jobstate.storage.repository import SqliteRepository
from tests.aio.conftest import LOOPS
from tests.processes import team
from tests.processes.team import Member

pytestmark = pytest.mark.alone

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LOOPS_BY_TURNS = [pytest.param(kind, marks=[] if kind == "asyncio" else pytest.mark.slow) for kind in LOOPS]
"""Each is a process: every day those of asyncio, and all in the whole suite."""


def member(role: str, *arguments: object) -> AbstractContextManager[Member]:
    return team.member(role, *arguments, module="tests.aio.roles")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("role", ["loop", "serve"])
@pytest.mark.parametrize("kind", LOOPS_BY_TURNS)
def test_a_signal_makes_a_worker_hand_back_what_it_holds_uncharged(
    path: Path, store: JobStore, kind: str, role: str, number: signal.Signals
) -> None:
    with member(role, kind, path, "w1", "yes", 60) as worker:
        assert worker.receive() == "ready"
        held = 1 if role == "loop" else 3
        ids = [store.submit("extract").id for _ in range(held + 2)]
        assert sorted(worker.receive()["began"] for _ in range(held)) == ids[:held]
        worker.process.send_signal(number)
        asked = [worker.receive() for _ in range(held)]
        assert sorted(one["asked"] for one in asked) == ids[:held]
        assert {one["mode"] for one in asked} == {"shutdown"}
        assert worker.receive() == "left"
        assert worker.ended() == 0
    for job_id in ids:
        job = store.get(job_id)
        assert (job.state, job.failures, job.attempt) == (State.SCHEDULED, 0, int(job_id in ids[:held]))
    assert store.workers() == []
    assert store.audit().findings == ()


@pytest.mark.parametrize("role", ["loop", "serve"])
@pytest.mark.parametrize("kind", LOOPS_BY_TURNS)
def test_a_second_signal_interrupts_a_worker_that_takes_too_long(
    path: Path, store: JobStore, kind: str, role: str
) -> None:
    with member(role, kind, path, "w1", "no", 600) as worker:
        assert worker.receive() == "ready"
        job = store.submit("extract")
        assert worker.receive()["began"] == job.id
        worker.process.terminate()
        with pytest.raises(TimeoutError):
            store.wait(job, until="scheduled", timeout=0.2)
        assert worker.process.poll() is None
        worker.process.send_signal(signal.SIGINT)
        assert worker.ended() != 0
        assert "KeyboardInterrupt" in worker.output()[1]
    back = store.get(job)
    assert (back.state, back.failures) == (State.SCHEDULED, 0)
    assert store.audit().findings == ()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="measures by the accounts of this system")
@pytest.mark.parametrize("kind", LOOPS_BY_TURNS)
def test_an_idle_worker_and_watch_leave_the_processor_alone(path: Path, store: JobStore, kind: str) -> None:
    shares = []
    for _ in range(3):  # what else the machine does is added to it
        with member("idle", kind, path, 3) as worker:
            shares.append(worker.receive())
            assert worker.receive() == "left"
            assert worker.ended() == 0
    print(f"\n  idle: {', '.join(f'{100 * share:.2f}' for share in shares)} % of a core", end="")
    assert min(shares) < 0.05


@pytest.mark.slow
def test_an_idle_worker_and_watch_look_at_the_store_no_more_than_thirty_times_a_second(
    path: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A count, and no time: what else the machine does can only make it smaller."""
    looks = 0
    version = SqliteRepository.version

    def counted(repository: SqliteRepository) -> int:
        nonlocal looks
        looks += 1
        return version(repository)

    async def main() -> int:
        async with aio.over(store) as jobs, jobs.worker("idler") as worker:
            watching = asyncio.create_task(anext(jobs.watch(after=None)))
            asyncio.get_running_loop().call_later(3, worker.shut_down)
            await asyncio.sleep(1)  # the pauses have grown by then
            before = looks
            assert [run async for run in worker] == []
            watching.cancel()
            return looks - before

    monkeypatch.setattr(SqliteRepository, "version", counted)
    assert 10 <= asyncio.run(main()) <= 90  # two seconds of thirty, and as much again where the pauses begin anew


def test_the_handlers_of_the_program_come_back(path: Path, store: JobStore) -> None:
    """Two workers share the signals of a loop; the last to leave gives them back."""

    async def main() -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        async with aio.open(path) as jobs, jobs.worker("w1") as first:
            async with jobs.worker("w2") as second:
                signal.raise_signal(signal.SIGTERM)
                assert [run async for run in second] == []
            assert [run async for run in first] == []
            assert signal.getsignal(signal.SIGTERM) not in before
        assert [signal.getsignal(number) for number in SIGNALS] == before

    asyncio.run(main())
