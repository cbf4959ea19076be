"""Another number of tasks: requested, answered by the worker, or applied by the next run."""

from __future__ import annotations

import pytest

from jobstate import InvalidRequest, JobStore, LeaseLost, State, TransitionNotAllowed
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import SCENES, claimed, everything, running, scene, submitted, triggers

UNHELD = ("Created", "Scheduled", "Scheduled after a run", "Recovering")
REFUSED = ("StopRequested, held", "StopRequested, unheld", "Stopping", "Stopped", "Completed", "Failed")


def test_a_worker_is_asked_and_goes_on_with_the_new_number(store: JobStore) -> None:
    run = running(store, parallelism=2)
    job = store.rescale(run, 4, actor="cli:ana", reason="more input")
    assert (job.state, job.parallelism, job.rescale_to) == (State.RESCALING, 2, 4)
    assert (run.rescale_to, run.parallelism) == (None, 2)
    run.heartbeat()
    assert (run.rescale_to, run.parallelism) == (4, 2)
    assert run.rescaled() is None
    assert (run.rescale_to, run.parallelism) == (None, 4)
    job = store.get(run)
    assert (job.state, job.parallelism, job.rescale_to, job.worker_id) == (State.RUNNING, 4, None, "worker-01")
    asked = store.events(run)[2]
    assert (asked.trigger, asked.actor, asked.reason, asked.detail) == (
        *("rescale", "cli:ana", "more input"),
        {"parallelism": 4},
    )
    assert triggers(store, run.id) == ["submit", "claim", "rescale", "resume"]


def test_asking_again_replaces_the_number_and_leaves_a_note(store: JobStore) -> None:
    run = running(store)
    store.rescale(run, 4)
    assert store.rescale(run, 8).rescale_to == 8
    assert store.rescale(run, 8).seq == store.get(run).seq
    run.heartbeat()
    assert run.rescale_to == 8
    assert triggers(store, run.id) == ["submit", "claim", "rescale", "rescale"]


@pytest.mark.parametrize("name", UNHELD)
def test_a_job_that_nobody_runs_gets_the_number_at_once(store: JobStore, name: str) -> None:
    found = scene(store, name)
    before = store.get(found.id)
    job = store.rescale(found.id, 6)
    assert (job.state, job.parallelism, job.rescale_to) == (before.state, 6, None)
    assert store.events(found.id)[-1].is_note
    assert store.get(found.id) == job


@pytest.mark.parametrize("name", REFUSED)
def test_a_job_that_is_stopping_or_has_ended_is_not_rescaled(store: JobStore, name: str) -> None:
    found = scene(store, name)
    before = everything(store)
    for tasks in (store.get(found.id).parallelism, 6):
        with pytest.raises(TransitionNotAllowed) as refused:
            store.rescale(found.id, tasks)
        assert refused.value.trigger == "rescale"
    assert everything(store) == before


def test_every_scene_is_one_or_the_other() -> None:
    assert set(SCENES) == {*UNHELD, *REFUSED, "Running", "Rescaling"}


@pytest.mark.parametrize("name", [*UNHELD, "Running"])
def test_asking_for_what_the_job_has_changes_nothing(store: JobStore, name: str) -> None:
    found = scene(store, name)
    before = everything(store)
    assert store.rescale(found.id, 1) == store.get(found.id)
    assert everything(store) == before


def test_handing_the_job_back_answers_too(store: JobStore) -> None:
    run = running(store)
    store.rescale(run, 4)
    run.release()
    job = store.get(run)
    assert (job.state, job.parallelism, job.rescale_to) == (State.SCHEDULED, 4, None)
    assert claimed(store, job).parallelism == 4


def test_the_wish_outlives_a_failure_and_a_lost_lease(store: JobStore, clock: ManualClock) -> None:
    failed, lost = running(store), running(store)
    for run in (failed, lost):
        store.rescale(run, 4)
    failed.fail("disk gone")
    clock.advance(31)
    store.sweep()
    for run in (failed, lost):
        job = store.get(run)
        assert (job.state, job.parallelism, job.rescale_to) == (State.RECOVERING, 4, None)
    with pytest.raises(LeaseLost):
        lost.rescaled()


def test_a_stop_wins_and_keeps_its_mode(store: JobStore) -> None:
    run = running(store)
    store.rescale(run, 4)
    job = store.stop(run, mode="immediate", reason="wrong input").job
    assert (job.state, job.parallelism, job.rescale_to) == (State.STOP_REQUESTED, 1, None)
    stop = run.rescaled()
    assert stop is not None
    assert (stop.mode, stop.reason) == ("immediate", "wrong input")
    assert (run.parallelism, run.rescale_to, store.get(run).state) == (1, None, State.STOP_REQUESTED)
    run.finish_stop()
    assert store.get(run).state is State.STOPPED


def test_a_lost_lease_is_settled_before_the_wish(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(31)
    job = store.rescale(run, 4)
    assert (job.state, job.parallelism) == (State.RECOVERING, 4)


def test_an_answer_is_to_what_the_worker_read_and_a_later_wish_stands(store: JobStore) -> None:
    run = running(store, parallelism=2)
    store.rescale(run, 4)
    run.heartbeat()
    assert run.rescale_to == 4
    store.rescale(run, 8)
    run.heartbeat()  # heard, but not read
    assert run.rescaled() is None
    job = store.get(run)
    assert (job.state, job.parallelism, job.rescale_to) == (State.RESCALING, 4, 8)
    assert (run.parallelism, run.rescale_to) == (4, 8)
    reported = store.events(run)[-1]
    assert (reported.trigger, reported.is_note, reported.actor, reported.detail) == (
        *("resume", True, "worker:worker-01"),
        {"parallelism": 4},
    )
    run.rescaled()
    job = store.get(run)
    assert (job.state, job.parallelism, job.rescale_to, run.parallelism) == (State.RUNNING, 8, None, 8)
    assert triggers(store, run.id) == ["submit", "claim", "rescale", "rescale", "resume", "resume"]
    assert store.audit().ok


def test_a_wish_that_the_worker_never_read_is_not_answered(store: JobStore) -> None:
    run = running(store, parallelism=2)
    store.rescale(run, 4)
    asked = store.get(run)
    assert run.rescaled() is None
    assert store.get(run) == asked
    assert (run.parallelism, run.rescale_to) == (2, 4)


def test_asked_for_what_it_has_after_all_a_worker_answers_that_too(store: JobStore) -> None:
    run = running(store, parallelism=2)
    store.rescale(run, 4)
    run.heartbeat()
    assert run.rescale_to == 4
    store.rescale(run, 2)
    run.rescaled()
    job = store.get(run)
    assert (job.state, job.parallelism, job.rescale_to) == (State.RESCALING, 4, 2)
    run.release()
    assert store.get(run).parallelism == 2


def test_an_answer_that_was_undone_is_given_again(store: JobStore) -> None:
    run = running(store, parallelism=2)
    store.rescale(run, 4)
    run.heartbeat()
    assert run.rescale_to == 4
    with pytest.raises(ZeroDivisionError), store.batch():
        run.rescaled()
        raise ZeroDivisionError
    assert store.get(run).state is State.RESCALING
    run.rescaled()
    assert (store.get(run).state, store.get(run).parallelism) == (State.RUNNING, 4)


def test_the_answer_may_be_repeated_and_is_refused_to_a_zombie(store: JobStore) -> None:
    run = running(store)
    store.rescale(run, 4)
    run.heartbeat()
    assert run.rescale_to == 4
    run.rescaled()
    assert store.get(run).state is State.RUNNING
    before = everything(store)
    assert run.rescaled() is None
    assert everything(store) == before
    run.release()
    with pytest.raises(LeaseLost):
        run.rescaled()


@pytest.mark.parametrize("tasks", [0, -1, 1_000_001, 1.0, True, "2", None])
def test_what_is_no_number_of_tasks_is_refused_by_name(store: JobStore, tasks: object) -> None:
    job = submitted(store)
    with pytest.raises(InvalidRequest) as refused:
        store.rescale(job, tasks)  # type: ignore[arg-type]
    assert refused.value.field == "parallelism"
