"""Two processes that open a store see one store."""

from __future__ import annotations

import threading
import time
from typing import Final

import pytest

from jobstate import DuplicateJob, LeaseLost, Run, State, SystemClock
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenTwice
from jobstate.testing.contract.situations import AT_ONCE, LEASE, claimed, everything, running, submitted, triggers

PATIENCE: Final = 20.0
"""Seconds after which something that should have happened long ago is given up."""


def test_each_sees_what_the_other_wrote(open_twice: OpenTwice) -> None:
    here, there = open_twice()
    job = submitted(here)
    run = claimed(there, job)
    run.add_range("blocks", 0, 9, files=1)
    run.checkpoint(state=10)
    here.stop(job, reason="wrong input")
    run.heartbeat()
    assert run.stop is not None
    run.finish_stop()
    assert everything(here) == everything(there)
    assert triggers(here, job) == ["submit", "claim", "request_stop", "begin_stop", "finish_stop"]


def test_what_is_not_committed_is_seen_by_nobody_else(open_twice: OpenTwice) -> None:
    here, there = open_twice()
    with here.batch():
        job = submitted(here)
        assert list(there.iterate("all")) == []
    assert there.get(job) == here.get(job)


@pytest.mark.parametrize("name", ["worker-02", "worker-01"], ids=["by another", "by one of the same name"])
def test_a_claim_that_was_undone_here_and_made_there_is_the_one_there(
    open_twice: OpenTwice, clock: ManualClock, name: str
) -> None:
    here, there = open_twice()
    job = submitted(here)
    with pytest.raises(ZeroDivisionError), here.batch():
        undone = claimed(here, job)
        raise ZeroDivisionError
    clock.advance(0.000001)
    run = claimed(there, job, name)
    assert run.token == undone.token
    with pytest.raises(LeaseLost):
        undone.complete()
    run.complete()
    with pytest.raises(LeaseLost):
        undone.complete()
    assert here.get(job).actor == f"worker:{name}"


def test_an_end_that_was_undone_with_its_claim_is_not_that_of_another_of_the_same_name(
    open_twice: OpenTwice, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = open_twice()
    job = submitted(here)
    with pytest.raises(ZeroDivisionError), here.batch():
        undone = claimed(here, job)
        undone.complete()
        raise ZeroDivisionError
    clock.advance(0.000001)
    claimed(there, job).complete()
    with undone:
        pass
    assert undone.lost
    assert str(LeaseLost(undone.id, undone.token)) in caplog.text


def test_a_job_goes_to_one_of_them(open_twice: OpenTwice) -> None:
    here, there = open_twice()
    here.submit_many({"kind": "extract"} for _ in range(20))
    taken = [run.id for turn in range(20) for run in (here, there)[turn % 2].claim(f"worker-{turn % 2}")]
    assert len(taken) == len(set(taken)) == 20
    assert here.claim("worker-01") == there.claim("worker-02") == []


def test_a_job_goes_to_one_of_them_however_they_race(open_twice: OpenTwice) -> None:
    both = open_twice(clock=SystemClock())
    both[0].submit_many({"kind": "extract"} for _ in range(100))
    taken: list[list[int]] = [[], []]
    ready = threading.Barrier(2)

    def take(number: int) -> None:
        ready.wait()
        while runs := both[number].claim(f"worker-{number}"):
            taken[number] += [run.id for run in runs]

    threads = [threading.Thread(target=take, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in both:
        assert sorted(taken[0] + taken[1]) == sorted(job.id for job in store.iterate("all"))


def test_a_key_is_unique_over_both(open_twice: OpenTwice) -> None:
    here, there = open_twice()
    job = here.submit("extract", {"n": 1}, key="k")
    again = there.submit("extract", {"n": 1}, key="k")
    assert (again.id, again.deduplicated) == (job.id, True)
    with pytest.raises(DuplicateJob):
        there.submit("extract", {"n": 2}, key="k")


def test_a_lease_that_one_took_away_is_lost_for_a_worker_of_the_other(
    open_twice: OpenTwice, clock: ManualClock
) -> None:
    here, there = open_twice()
    job = submitted(here, retry=AT_ONCE)
    zombie = claimed(here, job)
    clock.advance(LEASE)
    claimed(there, job, "worker-02")
    with pytest.raises(LeaseLost):
        zombie.complete()
    assert here.get(job).worker_id == "worker-02"


def test_the_number_of_a_version_tells_that_the_other_wrote(open_twice: OpenTwice) -> None:
    here, there = open_twice()
    before = here.repository.version()
    assert here.repository.version() == before
    submitted(there)
    assert here.repository.version() != before


def test_a_wait_in_one_ends_by_a_change_in_the_other(open_twice: OpenTwice) -> None:
    here, there = open_twice(clock=SystemClock())
    run = running(there)
    timer = threading.Timer(0.05, run.complete)
    timer.start()
    assert here.wait(run.id, timeout=PATIENCE).state is State.COMPLETED
    timer.join()


def test_a_worker_of_one_runs_what_is_submitted_to_the_other_and_hears_its_stops(open_twice: OpenTwice) -> None:
    here, there = open_twice(clock=SystemClock())
    job = here.submit("extract")
    worker = there.worker("worker-01")

    def handle(run: Run) -> None:
        here.stop(job)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            run.raise_if_stopping()
            time.sleep(0.002)

    serving = threading.Thread(target=lambda: worker.serve({"extract": handle}))
    serving.start()
    try:
        assert here.wait(job, timeout=PATIENCE).state is State.STOPPED
    finally:
        worker.shut_down()
        serving.join()


def test_one_goes_on_when_the_other_is_closed(open_twice: OpenTwice) -> None:
    here, there = open_twice()
    job = submitted(here)
    before = everything(here)
    here.close()
    assert everything(there) == before
    claimed(there, job).complete()
