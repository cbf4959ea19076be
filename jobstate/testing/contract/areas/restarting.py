"""A restart is a new job that continues from a checkpoint of the old one."""

from __future__ import annotations

import pytest

from jobstate import (
    CheckpointNotFound,
    DuplicateJob,
    InvalidRequest,
    JobNotFound,
    JobStore,
    RestartNotAllowed,
    Run,
    State,
)
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import (
    AT_ONCE,
    PATIENT,
    SCENES,
    claimed,
    everything,
    running,
    scene,
    submitted,
)

RESTARTABLE = ("Stopped", "Failed")


def worked(store: JobStore, **fields: object) -> Run:
    """A run with two checkpoints, and more behind the last one."""
    run = running(store, **fields)
    for last in (9, 19):
        run.add_range("blocks", last - 9, last, files=1, size_bytes=10)
        run.checkpoint(state=last + 1)
    run.add_range("blocks", 20, 24, files=1, size_bytes=10)
    run.flush()
    return run


def test_the_new_job_is_asked_for_the_same_and_names_the_old_one(store: JobStore, clock: ManualClock) -> None:
    old = submitted(
        store,
        descriptor={"dataset": "eth"},
        node_id="worker-01",
        key="eth:0",
        pipeline_id="pipe-1",
        labels={"team": "a"},
        priority=3,
        parallelism=2,
        max_attempts=5,
    )
    store.stop(claimed(store, old), mode="force")
    old = store.get(old)
    clock.advance(60)
    new = store.restart(old, actor="cli:ana", reason="fixed the input")
    same = ("kind", "descriptor", "node_id", "key", "pipeline_id", "labels", "priority", "parallelism", "max_attempts")
    assert [getattr(new, name) for name in same] == [getattr(old, name) for name in same]
    assert new.retry == PATIENT
    assert (new.state, new.attempt, new.failures, row_of(new).available_us) == (State.SCHEDULED, 0, 0, clock.now())
    assert (new.id > old.id, new.run_id, new.restarted_from, new.root_id) == (True, 2, old.id, old.id)
    assert store.get(new) == new
    (born,) = store.events(new)
    assert (born.trigger, born.actor, born.reason) == ("submit", "cli:ana", "fixed the input")
    assert store.get(old) == old


def test_the_first_run_starts_from_the_newest_checkpoint_and_its_progress(store: JobStore) -> None:
    old = worked(store)
    old.fail("disk gone", retryable=False)
    new = store.restart(old)
    (point,) = store.checkpoints(new)
    assert (point.epoch, point.state, point.job_id) == (3, 20, new.id)
    run = claimed(store, new)
    assert run.restored == point
    assert (run.progress["blocks"].current_block, run.progress["blocks"].files_count) == (19, 2)
    assert store.progress(new) == run.progress
    assert store.progress(old)["blocks"].current_block == 24
    assert [point.epoch for point in store.checkpoints(old)] == [2, 1]


@pytest.mark.parametrize("named", [lambda point: point.id, lambda point: point.number, lambda point: point])
def test_an_older_checkpoint_may_be_chosen(store: JobStore, named: object) -> None:
    old = worked(store)
    old.fail("disk gone", retryable=False)
    run = claimed(store, store.restart(old, named(store.checkpoints(old)[1])))  # type: ignore[operator]
    assert run.restored is not None
    assert (run.restored.state, run.progress["blocks"].current_block) == (10, 9)


def test_a_job_without_a_checkpoint_starts_from_nothing(store: JobStore) -> None:
    old = running(store)
    old.add_range("blocks", 0, 9, files=1)
    old.fail("disk gone", retryable=False)
    run = claimed(store, store.restart(old, parallelism=8))
    assert (run.restored, run.progress, run.parallelism) == (None, {}, 8)


def test_epochs_grow_through_the_lineage_and_any_checkpoint_of_it_may_be_chosen(store: JobStore) -> None:
    first = worked(store)
    first.fail("disk gone", retryable=False)
    second = claimed(store, store.restart(first))
    second.checkpoint(state=30)
    second.fail("disk gone", retryable=False)
    third = store.restart(second, store.checkpoints(first)[1])
    assert (third.root_id, third.restarted_from) == (first.id, second.id)
    assert [point.epoch for point in (*store.checkpoints(third), *store.checkpoints(second))] == [5, 4, 3]
    run = claimed(store, third)
    assert run.restored is not None
    assert run.restored.state == 10


def test_what_a_restart_was_given_outlives_the_old_job(store: JobStore) -> None:
    old = worked(store)
    old.fail("disk gone", retryable=False)
    new = store.restart(old)
    assert store.delete(old)
    run = claimed(store, new)
    assert run.restored is not None
    assert run.restored.state == 20
    assert store.audit().ok


@pytest.mark.parametrize("name", sorted(set(SCENES) - set(RESTARTABLE)))
def test_a_live_or_completed_job_is_not_restarted(store: JobStore, name: str) -> None:
    found = scene(store, name)
    before = everything(store)
    with pytest.raises(RestartNotAllowed) as refused:
        store.restart(found.id)
    assert (refused.value.job_id, refused.value.state) == (found.id, store.get(found.id).state)
    assert everything(store) == before


@pytest.mark.parametrize("name", RESTARTABLE)
def test_a_second_restart_is_refused_while_the_first_lives_and_names_it(store: JobStore, name: str) -> None:
    found = scene(store, name)
    first = store.restart(found.id)
    before = everything(store)
    with pytest.raises(RestartNotAllowed, match=f"job {first.id} restarts it already"):
        store.restart(found.id)
    assert everything(store) == before
    store.fail(first, "no use")
    assert store.restart(found.id).restarted_from == found.id


def test_a_passed_deadline_is_settled_first(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    store.stop(run, timeout=5)
    clock.advance(5)
    assert store.restart(run).restarted_from == run.id
    assert store.get(run).state is State.STOPPED


def test_a_checkpoint_of_another_lineage_is_not_found(store: JobStore) -> None:
    other, old = worked(store), scene(store, "Failed")
    before = everything(store)
    for unknown in (store.checkpoints(other)[0], "chk_999", 999):
        with pytest.raises(CheckpointNotFound) as refused:
            store.restart(old.id, unknown)
        assert refused.value.job_id == old.id
    assert everything(store) == before


def test_a_key_that_another_job_took_since_is_refused(store: JobStore) -> None:
    old = running(store, key="eth:0")
    old.fail("bad input", retryable=False)
    holder = submitted(store, key="eth:0")
    with pytest.raises(DuplicateJob) as refused:
        store.restart(old)
    assert (refused.value.key, refused.value.job_id) == ("eth:0", holder.id)


def test_a_job_that_is_not_there_is_not_restarted(store: JobStore) -> None:
    with pytest.raises(JobNotFound):
        store.restart(12345)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("checkpoint_id", {"checkpoint_id": "newest"}),
        ("checkpoint_id", {"checkpoint_id": ""}),
        ("checkpoint_id", {"checkpoint_id": "chk_"}),
        ("checkpoint_id", {"checkpoint_id": 0}),
        ("checkpoint_id", {"checkpoint_id": "chk_99999999999999999999"}),
        ("parallelism", {"parallelism": 0}),
    ],
)
def test_what_is_no_checkpoint_or_number_of_tasks_is_refused_by_name(
    store: JobStore, field: str, arguments: dict[str, object]
) -> None:
    found = scene(store, "Failed")
    with pytest.raises(InvalidRequest) as refused:
        store.restart(found.id, **arguments)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_tokens_rise_through_a_lineage_so_that_late_writes_of_the_old_worker_can_be_refused(store: JobStore) -> None:
    tokens = []
    first = job = submitted(store, retry=AT_ONCE, max_attempts=9)
    for _ in range(3):
        tokens.append(claimed(store, job).token)
        store.stop(job, mode="force")
        job = store.restart(job)
    for _ in range(2):
        run = claimed(store, job)
        tokens.append(run.token)
        run.release()
    store.stop(job, mode="force")
    tokens.append(claimed(store, store.restart(first)).token)  # not from the newest of the lineage, but above it
    assert tokens == sorted(set(tokens))
    assert store.audit().ok


@pytest.mark.parametrize("gone", ["delete", "prune"])
def test_tokens_rise_also_above_those_of_restarts_that_were_removed(store: JobStore, gone: str) -> None:
    first = running(store, retry=AT_ONCE, max_attempts=99)
    first.fail("disk gone", retryable=False)
    newest = first.token
    for claims in (4, 1):
        again = store.restart(first)
        for _ in range(claims):
            run = claimed(store, again)
            assert run.token > newest
            newest = run.token
            run.release()
        store.stop(again, mode="force")
        if gone == "delete":
            store.delete(again)
        else:
            assert store.prune("stopped") == 1
    assert claimed(store, store.restart(first)).token > newest
    assert store.audit().ok


@pytest.mark.parametrize("gone", ["delete", "prune"])
def test_epochs_grow_also_above_those_of_restarts_that_were_removed(store: JobStore, gone: str) -> None:
    first = worked(store)
    first.fail("disk gone", retryable=False)
    epochs = [2]
    for checkpoints in (3, 0, 1):
        again = claimed(store, store.restart(first))
        epochs += [point.epoch for point in store.checkpoints(again)]
        epochs += [again.checkpoint(state=number).epoch for number in range(checkpoints)]
        store.stop(again, mode="force")
        if gone == "delete":
            store.delete(again)
        else:
            assert store.prune("stopped") == 1
    again = claimed(store, store.restart(first))
    assert epochs == [*range(2, 10)]
    assert [point.epoch for point in store.checkpoints(again)] == [10]
    assert store.audit().ok


def test_epochs_grow_also_above_those_of_the_first_job_once_it_was_removed(store: JobStore) -> None:
    first = running(store)
    first.fail_checkpoint(first.begin_checkpoint(), "bucket gone")  # a restart has nothing to begin from
    first.fail("disk gone", retryable=False)
    again = claimed(store, store.restart(first))
    store.delete(first)
    assert again.checkpoint().epoch == 2
    assert store.audit().ok


def test_a_restart_is_submitted_with_the_token_that_its_own_go_on_from(store: JobStore) -> None:
    run = running(store)
    run.fail("disk gone", retryable=False)
    again = store.restart(run)
    assert again == store.get(again)
    assert (again.lease_token, store.events(again)[0].token) == (run.token, run.token)
    assert claimed(store, again).token == run.token + 1
