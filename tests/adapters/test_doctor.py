"""What the doctor says of workers."""

from __future__ import annotations

from typing import Any

import pytest

from jobstate import JobStore, WorkerInfo
from jobstate.store.doctor import Check, examine
from jobstate.testing.clock import ManualClock


def there(store: JobStore, clock: ManualClock, node_id: str = "worker-01", **fields: Any) -> WorkerInfo:
    """A worker that is there since two minutes and heartbeats."""
    given = {"kinds": ("extract",), "concurrency": 1, "started_us": clock.now() - 120_000_000, **fields}
    worker = WorkerInfo(node_id=node_id, heartbeat_us=clock.now(), host="here", pid=7, **given)
    store.repository.workers.register(worker)
    return worker


def queue(store: JobStore, clock: ManualClock) -> Check:
    (found,) = [check for check in examine(store, clock) if check.name == "queue"]
    return found


def test_a_worker_that_has_a_free_slot_and_claims_nothing_is_named(jobs: JobStore, clock: ManualClock) -> None:
    taken = jobs.submit("extract")
    (run,) = jobs.claim("worker-01")
    due = jobs.submit("extract")
    jobs.stop(taken, mode="force")  # its handler hangs, and does not hear of it
    clock.advance("95s")
    there(jobs, clock)
    found = queue(jobs, clock)
    assert (found.ok, run.id) == (False, taken.id)
    assert found.result == (
        f"worker-01 (process 7 on here) holds 0 of 1 jobs and claims no other, although job {due.id} is due for 95 s"
    )
    assert "restart that worker" in found.fix


def test_each_such_worker_is_named_once(jobs: JobStore, clock: ManualClock) -> None:
    for _ in range(3):
        jobs.submit("extract")
    clock.advance("95s")
    for node_id in ("worker-01", "worker-02"):
        there(jobs, clock, node_id, kinds=None, concurrency=4)
    assert queue(jobs, clock).result.count("claims no other") == 2


@pytest.mark.parametrize(
    ("job", "worker"),
    [
        ({"kind": "load"}, {}),
        ({"node_id": "worker-02"}, {}),
        ({"hold": True}, {}),
        ({}, {"concurrency": 0}),
        ({}, {"started_us": None}),
    ],
    ids=["of another kind", "pinned elsewhere", "held", "all its places are taken", "it just began"],
)
def test_a_worker_with_nothing_to_take_is_fine(
    jobs: JobStore, clock: ManualClock, job: dict[str, Any], worker: dict[str, Any]
) -> None:
    jobs.submit(**{"kind": "extract", **job})
    clock.advance("95s")
    fields: dict[str, Any] = {name: clock.now() if value is None else value for name, value in worker.items()}
    there(jobs, clock, "worker-01", **fields)
    assert queue(jobs, clock).ok


def test_a_job_that_is_due_for_a_moment_is_fine(jobs: JobStore, clock: ManualClock) -> None:
    jobs.submit("extract")
    clock.advance("85s")
    there(jobs, clock)
    assert queue(jobs, clock).ok
