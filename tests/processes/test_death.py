"""A worker that is killed loses its jobs to another, at its lease's end, and can no longer write."""

from __future__ import annotations

import time
from pathlib import Path

import jobstate
from jobstate import RetryPolicy, State
from tests.processes.team import eventually, member

NO_WAIT = RetryPolicy(initial=0)


def test_the_jobs_of_a_killed_worker_are_recovered_by_another_after_the_lease(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        ids = [jobs.submit("extract", retry=NO_WAIT).id for _ in range(5)]
        with member("hold", path, "doomed", 1.0, 5) as doomed:
            held = doomed.receive()
            doomed.kill()
        assert [job_id for job_id, _ in held] == ids
        assert jobs.claim("w2") == []
        time.sleep(1.0)
        recovered = [run for _ in range(5) for run in jobs.claim("w2", lease=60)]
        assert sorted(run.id for run in recovered) == ids
        for run in recovered:
            assert (run.job.attempt, run.job.failures) == (2, 1)
            assert run.token > dict(held)[run.id]
            assert "lease of doomed ran out" in run.job.failure.message if run.job.failure else False
        assert jobs.complete_many(recovered) == []
        assert jobs.audit().findings == ()


def test_a_worker_that_wakes_up_after_its_lease_is_fenced(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        job = jobs.submit("extract", retry=NO_WAIT)
        with member("hold", path, "zombie", 0.2, 1) as zombie:
            zombie.receive()
            time.sleep(0.2)
            assert [settled.id for settled in jobs.sweep()] == [job.id]
            (run,) = jobs.claim("w2", lease=60)
            run.add_range("blocks", 0, 1)
            run.flush()
            zombie.send()
            assert zombie.receive() == ["fenced", "fenced"]
            assert zombie.ended() == 0
        assert jobs.progress(job)["blocks"].current_block == 1
        run.complete()
        assert jobs.get(job).state is State.COMPLETED
        assert [event.node for event in jobs.events(job) if event.trigger == "complete"] == ["w2"]
        assert jobs.audit().findings == ()


def test_a_job_whose_worker_dies_at_every_claim_ends_failed_after_max_attempts(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        job = jobs.submit("extract", max_attempts=3, retry=NO_WAIT)
        for attempt in (1, 2, 3):
            with member("hold", path, f"doomed-{attempt}", 0.1, 1) as doomed:
                assert [held[0] for held in doomed.receive()] == [job.id]
                doomed.kill()
            time.sleep(0.1)
            assert [settled.id for settled in jobs.sweep()] == [job.id]
        failed = jobs.get(job)
        assert (failed.state, failed.attempt, failed.failures) == (State.FAILED, 3, 3)
        assert failed.failure is not None
        assert "doomed-3" in failed.failure.message
        assert jobs.claim("w9") == []
        assert jobs.audit().findings == ()


def test_a_running_worker_takes_over_from_a_killed_one_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs:
        job = jobs.submit("extract", retry=NO_WAIT)
        with member("hold", path, "doomed", 0.5, 1) as doomed:
            doomed.receive()
            with member("loop", path, "heir", "yes", 5) as heir:
                assert heir.receive() == "ready"
                doomed.kill()
                assert heir.receive()["began"] == job.id
                taken = jobs.get(job)
                assert (taken.worker_id, taken.attempt, taken.failures) == ("heir", 2, 1)
                jobs.stop(job, mode="force")
        assert jobs.audit().findings == ()


def test_a_stop_of_a_killed_workers_job_ends_at_its_lease(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path) as jobs:
        job = jobs.submit("extract")
        with member("hold", path, "doomed", 0.4, 1) as doomed:
            doomed.receive()
            doomed.kill()
        assert jobs.stop(job, timeout=60).job.state is State.STOP_REQUESTED
        stopped = jobs.wait(job, timeout=10)
        assert stopped.state is State.STOPPED
        assert stopped.stop is not None
        assert stopped.stop.outcome == "worker_lost"


def test_a_dead_workers_name_may_be_used_again(tmp_path: Path) -> None:
    path = tmp_path / "jobs.db"
    with jobstate.open(path, durability="normal") as jobs:
        with member("loop", path, "w1", "yes", 5) as first:
            assert first.receive() == "ready"
            first.kill()
        assert [worker.node_id for worker in jobs.workers()] == ["w1"]
        with member("loop", path, "w1", "yes", 5) as second:
            assert second.receive() == "ready"
            assert [worker.pid for worker in jobs.workers()] == [second.pid]
            second.process.terminate()
            assert second.receive() == "left"
        eventually(lambda: jobs.workers() == [])
