"""Deleting and pruning: only ended jobs, completely, and never an id twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from jobstate import InvalidRequest, JobNotFound, JobNotTerminal, JobStore, State
from jobstate.core.arguments import PruneFilter
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import (
    LIVE_SCENES,
    TERMINAL_SCENES,
    claimed,
    everything,
    running,
    scene,
    submitted,
)


@pytest.mark.parametrize("name", TERMINAL_SCENES)
def test_a_job_that_has_ended_is_removed_with_all_that_belongs_to_it(store: JobStore, name: str) -> None:
    kept = running(store)
    there = scene(store, name)
    assert store.delete(there.id)
    for look in (store.get, store.events, store.progress, store.checkpoints):
        with pytest.raises(JobNotFound):
            look(there.id)
    assert [job.id for job in store.iterate("all")] == [kept.id]
    assert store.audit().ok


def test_progress_and_checkpoints_go_with_their_job(store: JobStore) -> None:
    """Children of removed jobs must not be left behind, nor be found by a later job."""
    run = running(store)
    run.add_range("blocks", 0, 9)
    run.checkpoint(state=1)
    run.complete()
    assert store.delete(run)
    report = store.audit()
    assert report.ok
    assert (report.jobs, report.events) == (0, 0)
    later = running(store)
    assert later.restored is None
    assert later.progress == store.progress(later) == {}


@pytest.mark.parametrize("name", LIVE_SCENES)
def test_a_live_job_is_never_removed(store: JobStore, clock: ManualClock, name: str) -> None:
    """Also not one whose lease or deadline has passed: delete judges the stored row, and settles nothing."""
    there = scene(store, name)
    clock.advance(10_000)
    before = everything(store)
    with pytest.raises(JobNotTerminal) as refused:
        store.delete(there.id)
    assert (refused.value.job_id, refused.value.state) == (there.id, store.get(there.id).state)
    assert everything(store) == before


def test_removing_an_absent_job_succeeds(store: JobStore) -> None:
    assert store.delete(4711) is False
    there = scene(store, "Completed")
    assert store.delete(there.id) is True
    assert store.delete(there.id) is False


def test_the_id_of_a_removed_job_is_never_used_again(store: JobStore) -> None:
    seen = set()
    for _ in range(4):
        job = submitted(store)
        assert job.id not in seen
        seen.add(job.id)
        store.stop(job, mode="force")
        assert store.delete(job)
    store.stop(submitted(store, hold=True), mode="force")
    assert store.prune() == 1
    assert submitted(store).id > max(seen) + 1


# Prune.


def _one_of_each(store: JobStore) -> dict[State, int]:
    return {State(name): scene(store, name).id for name in TERMINAL_SCENES}


@pytest.mark.parametrize(
    ("word", "gone"),
    [
        ("terminal", {State.STOPPED, State.COMPLETED, State.FAILED}),
        ("completed", {State.COMPLETED}),
        ("stopped", {State.STOPPED}),
        ("error", {State.FAILED}),
        ("failed", {State.FAILED}),
        (State.COMPLETED, {State.COMPLETED}),
    ],
)
def test_prune_removes_the_jobs_of_its_word_and_no_others(store: JobStore, word: PruneFilter, gone: set[State]) -> None:
    ended = _one_of_each(store)
    live = scene(store, "Running").id
    assert store.prune(word, dry_run=True) == len(gone)
    assert len(list(store.iterate("all"))) == 4
    assert store.prune(word) == len(gone)
    kept = {job.id for job in store.iterate("all")}
    assert kept == {live} | {job_id for state, job_id in ended.items() if state not in gone}
    assert store.prune(word) == 0
    assert store.audit().ok


def test_prune_never_takes_a_word_that_could_mean_live_jobs(store: JobStore) -> None:
    """A misspelt state must be an error and not an empty answer."""
    scene(store, "Completed")
    before = everything(store)
    unknown: list[Any] = ["active", "all", "running", "Scheduled", "complet", "", "*"]
    for word in unknown:
        with pytest.raises(InvalidRequest) as refused:
            store.prune(word)
        assert refused.value.field == "status"
    assert everything(store) == before


def test_prune_spares_what_ended_more_recently(store: JobStore, clock: ManualClock) -> None:
    old = scene(store, "Completed").id
    clock.advance(timedelta(days=7))
    young = scene(store, "Completed").id
    assert store.prune(older_than=timedelta(days=7, microseconds=1)) == 0
    assert store.prune(older_than=timedelta(days=7), dry_run=True) == 1
    assert store.prune(older_than=timedelta(days=7)) == 1
    assert [job.id for job in store.iterate("all")] == [young]
    assert young != old


def test_the_age_of_a_job_counts_from_its_end(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    for _ in range(5):
        clock.advance(20)
        run.heartbeat()
    run.complete()
    clock.advance(10)
    assert store.prune(older_than=50) == 0
    clock.advance(40)
    assert store.prune(older_than=50) == 1


def test_everything_that_ended_is_at_least_no_time_old(store: JobStore) -> None:
    scene(store, "Completed")
    assert store.prune(older_than=0) == 1


def test_prune_first_settles_what_is_overdue(store: JobStore, clock: ManualClock) -> None:
    """A stop asked while no worker lived could never be removed."""
    unheld = scene(store, "StopRequested, unheld")
    held = scene(store, "Stopping")
    spent = running(store, max_attempts=1)
    clock.advance(300)
    assert store.prune("terminal") == 3
    for job_id in (unheld.id, held.id, spent.id):
        with pytest.raises(JobNotFound):
            store.get(job_id)


def test_what_prune_settles_is_recorded_under_its_actor(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(10_000)
    assert store.prune(actor="ana", older_than=3600) == 0
    assert store.events(run)[-1].actor == "sweep:ana"


def test_prune_does_not_cancel_a_retry(store: JobStore, clock: ManualClock) -> None:
    """A job that waits for its next attempt has not ended."""
    there = scene(store, "Recovering")
    clock.advance(timedelta(days=1))
    assert store.prune("error") == 0
    assert store.get(there.id).state is State.RECOVERING


def test_prune_tells_how_far_it_is(store: JobStore) -> None:
    _one_of_each(store)
    reported: list[tuple[int, int]] = []
    assert store.prune(progress=lambda done, total: reported.append((done, total))) == 3
    assert reported[-1] == (3, 3)


def _end_many(store: JobStore, number: int) -> None:
    """Jobs that ended in one transaction; held ones end by one step and without a worker."""
    with store.batch():
        for job in store.submit_many({"kind": "extract", "hold": True} for _ in range(number)):
            store.stop(job)


def test_up_to_ten_thousand_jobs_go_in_one_transaction(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    _prune_in(store, monkeypatch, atomic=60, batch=7, number=60, steps=[(60, 60)])


def test_more_than_ten_thousand_jobs_go_in_batches_of_whole_jobs(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unbounded delete would block every writer."""
    steps = [(done, 61) for done in (7, 14, 21, 28, 35, 42, 49, 56, 61)]
    _prune_in(store, monkeypatch, atomic=60, batch=7, number=61, steps=steps)


def _prune_in(
    store: JobStore,
    monkeypatch: pytest.MonkeyPatch,
    *,
    atomic: int,
    batch: int,
    number: int,
    steps: list[tuple[int, int]],
) -> None:
    import jobstate.store.prune as module

    assert module.ATOMIC_PRUNE == 10_000
    monkeypatch.setattr(module, "ATOMIC_PRUNE", atomic)
    monkeypatch.setattr(module, "PRUNE_BATCH", batch)
    _end_many(store, number)
    kept = scene(store, "Running").id
    reported: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        reported.append((done, total))
        report = store.audit()
        assert report.ok
        assert report.jobs == total - done + 1

    assert store.prune(progress=look) == number
    assert reported == steps
    assert [job.id for job in store.iterate("all")] == [kept]


def test_a_batch_of_a_large_prune_is_smaller_where_jobs_logged_much(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jobstate.store.prune as module

    monkeypatch.setattr(module, "ATOMIC_PRUNE", 5)
    monkeypatch.setattr(module, "PRUNE_BATCH", 4)
    monkeypatch.setattr(module, "PRUNE_ENTRIES", 10)
    for entries in (1, 1, 1, 1, 1, 5, 5, 1, 30, 2, 2):
        run = running(store)
        for number in range(entries):
            run.log.info("%d", number)
        run.complete()
    reported: list[int] = []
    assert store.prune(progress=lambda done, _: reported.append(done)) == 11
    assert reported == [4, 6, 8, 9, 11]
    assert store.audit().ok


def test_an_error_in_the_middle_of_a_large_prune_leaves_whole_jobs(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import jobstate.store.prune as module

    monkeypatch.setattr(module, "ATOMIC_PRUNE", 5)
    monkeypatch.setattr(module, "PRUNE_BATCH", 2)
    _end_many(store, 6)

    def interrupt(done: int, _: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.prune(progress=interrupt)
    assert len(list(store.iterate("all"))) == 2
    assert store.audit().ok
    assert store.prune() == 2


def test_a_removed_job_is_unknown_to_every_call(store: JobStore) -> None:
    there = scene(store, "Completed")
    store.delete(there.id)
    calls: list[Callable[[int], object]] = [
        store.get,
        store.events,
        store.progress,
        store.checkpoints,
        store.schedule,
        store.stop,
        lambda job_id: store.fail(job_id, "why"),
        lambda job_id: store.wait(job_id, timeout=1),
    ]
    for call in calls:
        with pytest.raises(JobNotFound) as missing:
            call(there.id)
        assert missing.value.job_id == there.id


def test_a_key_and_a_kind_outlive_the_jobs_that_had_them(store: JobStore) -> None:
    job = store.submit("extract", key="k")
    claimed(store, job).complete()
    store.prune()
    again = store.submit("extract", key="k")
    assert [run.id for run in store.claim("worker-01")] == [again.id]
