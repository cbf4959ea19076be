"""Submitting: what a new job carries, keys, pipelines, many at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from jobstate import DuplicateJob, InvalidRequest, JobNotFound, JobStore, RetryPolicy, State, TransitionNotAllowed
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import claimed, everything, one_of_each, triggers

AWARE = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"key": "eth:0"},
        {"reason": "first load"},
        {"pipeline_id": "pl_1"},
        {"retry": RetryPolicy(initial=2)},
        {"max_attempts": 9},
        {"labels": {"team": "data"}},
        {"key": "eth:0", "pipeline_id": "pl_1"},
        {"reason": "first load", "retry": RetryPolicy(initial=2)},
    ],
    ids=lambda given: " and ".join(given) or "plain",
)
def test_whatever_is_given_or_left_out_is_stored(store: JobStore, given: dict[str, Any]) -> None:
    answered = store.submit("extract", {"start_block": 7}, **given)
    assert store.get(answered) == answered
    plain = store.submit("extract", {"start_block": 7})
    for name in ("key", "reason", "pipeline_id", "retry", "max_attempts", "labels"):
        assert getattr(answered, name) == given.get(name, getattr(plain, name)), name


def test_a_job_is_stored_as_it_was_submitted(store: JobStore) -> None:
    retry = RetryPolicy(initial=2, factor=3, cap=90, jitter=0.5, healthy_after=60, fatal=(ValueError,))
    answered = store.submit(
        "extract",
        {"dataset": "eth/mainnet@1.2.0", "start_block": 0, "nested": [1, 2.5, None, True, "ü\n"]},
        node_id="worker-07",
        key="eth:0",
        pipeline_id="pl_1",
        labels={"team": "data", "empty": ""},
        priority=-5,
        available_at=AWARE,
        parallelism=4,
        max_attempts=7,
        retry=retry,
        actor="cli:ana",
        reason="first load",
    )
    job = store.get(answered.id)
    assert job == answered
    assert (job.state, job.kind, job.node_id, job.key, job.pipeline_id) == (
        State.SCHEDULED,
        "extract",
        "worker-07",
        "eth:0",
        "pl_1",
    )
    assert job.descriptor == {"dataset": "eth/mainnet@1.2.0", "start_block": 0, "nested": [1, 2.5, None, True, "ü\n"]}
    assert job.labels == {"team": "data", "empty": ""}
    assert (job.priority, job.parallelism, job.max_attempts, job.retry) == (-5, 4, 7, retry)
    assert (job.actor, job.reason) == ("cli:ana", "first load")
    assert not job.deduplicated


def test_instants_are_microseconds_and_come_back_in_utc(store: JobStore, clock: ManualClock) -> None:
    job = store.get(store.submit("extract", available_at=AWARE))
    assert job.available_at == AWARE
    assert job.available_at.tzinfo is UTC
    assert row_of(job).created_us == clock.now()
    assert job.created_at == job.updated_at == datetime(2024, 1, 1, tzinfo=UTC)


def test_a_job_with_nothing_but_a_kind_is_due_at_once_and_unclaimed(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("extract")
    assert store.get(job.id) == job
    assert (job.state, row_of(job).available_us, job.node_id, job.key, job.descriptor) == (
        State.SCHEDULED,
        clock.now(),
        "",
        None,
        {},
    )
    assert (job.attempt, job.failures, job.lease_token, job.max_attempts, job.parallelism) == (0, 0, 0, 3, 1)
    assert (job.worker_id, job.started_at, job.finished_at, job.stop, job.failure) == (None, None, None, None, None)
    assert job.root_id == job.id
    assert job.restarted_from is None


def test_a_snapshot_of_a_job_cannot_be_changed_by_who_holds_it(store: JobStore) -> None:
    descriptor = {"list": [1]}
    labels = {"team": "data"}
    job = store.submit("extract", descriptor, labels=labels)
    descriptor["list"].append(2)
    labels["team"] = "other"
    job.descriptor["list"] = "changed"
    job.labels["team"] = "changed"
    with pytest.raises(AttributeError):
        job.priority = 5  # type: ignore[misc]
    assert job.descriptor == {"list": [1]}
    assert job.labels == {"team": "data"}
    assert store.get(job) == job


def test_a_snapshot_does_not_follow_the_job(store: JobStore) -> None:
    job = store.submit("extract")
    claimed(store, job)
    assert job.state is State.SCHEDULED
    assert store.get(job).state is State.RUNNING


def test_the_first_history_entry_is_the_submission(store: JobStore) -> None:
    for hold, state in ((False, State.SCHEDULED), (True, State.CREATED)):
        job = store.submit("extract", hold=hold, actor="cli:ana", reason="why")
        (event,) = store.events(job)
        assert (event.seq, event.from_state, event.to_state, event.trigger) == (1, None, state, "submit")
        assert (event.actor, event.reason, event.attempt, event.token) == ("cli:ana", "why", 0, 0)


def test_ids_grow_in_the_order_of_submission(store: JobStore) -> None:
    ids = [store.submit("extract").id for _ in range(5)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5


# Held jobs.


def test_a_held_job_waits_outside_the_queue_until_it_is_scheduled(store: JobStore, clock: ManualClock) -> None:
    job = store.submit("extract", hold=True)
    assert job.state is State.CREATED
    assert store.claim("worker-01") == []
    clock.advance(60)
    scheduled = store.schedule(job, actor="cli:ana", reason="go")
    assert scheduled == store.get(job)
    assert scheduled.state is State.SCHEDULED
    assert row_of(scheduled).available_us == clock.now()
    last = store.events(job)[-1]
    assert (last.trigger, last.actor, last.reason) == ("schedule", "cli:ana", "go")
    assert [run.id for run in store.claim("worker-01")] == [job.id]


def test_scheduling_a_job_that_is_in_the_queue_changes_nothing(store: JobStore) -> None:
    job = store.submit("extract")
    before = everything(store)
    assert store.schedule(job) == job
    assert everything(store) == before


def test_scheduling_a_held_job_does_not_bring_its_start_forward(store: JobStore, clock: ManualClock) -> None:
    later = store.submit("extract", hold=True).created_at + timedelta(hours=1)
    job = store.submit("extract", hold=True, available_at=later)
    assert store.schedule(job).available_at == later
    assert store.claim("worker-01") == []
    clock.set(later)
    assert len(store.claim("worker-01")) == 1


def test_a_job_past_the_queue_cannot_be_scheduled_again(store: JobStore) -> None:
    there = one_of_each(store)
    before = everything(store)
    for name, (job_id, _) in there.items():
        if not name.startswith(("Created", "Scheduled")):
            with pytest.raises(TransitionNotAllowed) as refused:
                store.schedule(job_id)
            assert (refused.value.job_id, refused.value.trigger) == (job_id, "schedule")
            assert "schedule" not in refused.value.allowed
    assert everything(store) == before


def test_an_unknown_job_cannot_be_scheduled(store: JobStore) -> None:
    with pytest.raises(JobNotFound) as missing:
        store.schedule(77)
    assert missing.value.job_id == 77
    assert isinstance(missing.value, LookupError)


# Keys.


def test_submitting_the_key_of_a_live_job_again_returns_that_job(store: JobStore) -> None:
    first = store.submit("extract", {"start": 0}, key="eth:0", priority=3)
    before = everything(store)
    again = store.submit("extract", {"start": 0}, key="eth:0", priority=9)
    assert again.deduplicated
    assert (again.id, again.priority) == (first.id, 3)
    assert everything(store) == before
    assert not store.get(first).deduplicated


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": {"x": 1, "y": [1, {"p": 1, "q": 2}]}}, {"a": {"y": [1, {"q": 2, "p": 1}], "x": 1}}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": "é"}, {"a": "\u00e9"}),
        ({"a": [1, 2]}, {"a": (1, 2)}),
    ],
    ids=["key order", "key order within", "1 and 1.0", "spelling of a letter", "list and tuple"],
)
def test_descriptors_are_compared_as_json_and_not_as_text(
    store: JobStore, first: dict[str, object], again: dict[str, object]
) -> None:
    """Two equal descriptors that differ in white space and key order must not make two jobs."""
    job = store.submit("extract", first, key="k")
    assert store.submit("extract", again, key="k").id == job.id


@pytest.mark.parametrize(
    ("kind", "descriptor", "why"),
    [
        ("load", {"a": 1}, "kind"),
        ("extract", {"a": 2}, "descriptor"),
        ("extract", {"a": True}, "descriptor"),
        ("extract", {"a": "1"}, "descriptor"),
        ("extract", {}, "descriptor"),
    ],
)
def test_a_key_held_by_another_job_is_a_duplicate_that_says_how_they_differ(
    store: JobStore, kind: str, descriptor: dict[str, object], why: str
) -> None:
    job = store.submit("extract", {"a": 1}, key="k")
    before = everything(store)
    with pytest.raises(DuplicateJob) as refused:
        store.submit(kind, descriptor, key="k")
    assert (refused.value.key, refused.value.job_id) == ("k", job.id)
    assert why in refused.value.why
    assert everything(store) == before


@pytest.mark.parametrize("name", ["StopRequested, held", "StopRequested, unheld", "Stopping"])
def test_a_key_held_by_a_job_that_is_being_stopped_is_a_duplicate(store: JobStore, name: str) -> None:
    """Otherwise the submitter would believe that its work is under way while it is being stopped."""
    job = store.submit("extract", key="k")
    if name != "StopRequested, unheld":
        run = claimed(store, job)
    store.stop(job)
    if name == "Stopping":
        run.begin_stop()
    with pytest.raises(DuplicateJob) as refused:
        store.submit("extract", key="k")
    assert refused.value.job_id == job.id
    assert "stop" in refused.value.why


@pytest.mark.parametrize("end", ["complete", "fail", "stop"])
def test_the_key_of_a_job_that_ended_is_free_for_a_new_one(store: JobStore, end: str) -> None:
    """A reused key must never replay an old result, and a new run never continues an old row."""
    first = store.submit("extract", {"a": 1}, key="k")
    run = claimed(store, first)
    if end == "complete":
        run.complete()
    elif end == "fail":
        run.fail("bad", retryable=False)
    else:
        store.stop(first, mode="force")
    ended = store.get(first)
    second = store.submit("extract", {"a": 1}, key="k")
    assert not second.deduplicated
    assert second.id > first.id
    assert second.attempt == 0
    assert store.get(first) == ended
    assert triggers(store, second) == ["submit"]


def test_a_recovering_job_still_holds_its_key(store: JobStore) -> None:
    job = store.submit("extract", key="k")
    claimed(store, job).fail("disk gone")
    assert store.submit("extract", key="k").id == job.id


def test_jobs_without_a_key_are_never_merged(store: JobStore) -> None:
    assert store.submit("extract", {"a": 1}).id != store.submit("extract", {"a": 1}).id


# Pipelines.


def test_the_runs_of_a_pipeline_are_counted_each_by_itself(store: JobStore) -> None:
    numbers = [store.submit("extract", pipeline_id=pipeline).run_id for pipeline in ("a", "a", "b", "a", "b")]
    assert numbers == [1, 2, 1, 3, 2]
    assert store.submit("extract").run_id is None


def test_the_number_of_a_run_is_never_used_again(store: JobStore) -> None:
    for expected in (1, 2):
        job = store.submit("extract", pipeline_id="pl")
        assert job.run_id == expected
        store.stop(job, mode="force")
        assert store.delete(job)
    assert store.prune() == 0
    assert store.submit("extract", pipeline_id="pl").run_id == 3


def test_a_submission_that_meets_a_live_job_takes_no_number(store: JobStore) -> None:
    assert store.submit("extract", pipeline_id="pl", key="k").run_id == 1
    assert store.submit("extract", pipeline_id="pl", key="k").run_id == 1
    assert store.submit("extract", pipeline_id="pl").run_id == 2


# Many at once.


def test_many_jobs_are_added_in_order_in_one_go(store: JobStore) -> None:
    jobs = store.submit_many(
        [{"kind": "a", "priority": 1}, {"kind": "b", "descriptor": {"x": 1}}, {"kind": "c", "hold": True}],
        actor="cli:ana",
    )
    assert [job.kind for job in jobs] == ["a", "b", "c"]
    assert [job.id for job in jobs] == sorted(job.id for job in jobs)
    assert jobs == [store.get(job) for job in jobs]
    assert [job.state for job in jobs] == [State.SCHEDULED, State.SCHEDULED, State.CREATED]
    assert {job.actor for job in jobs} == {"cli:ana"}


def test_no_jobs_at_all_are_fine(store: JobStore) -> None:
    assert store.submit_many([]) == []
    assert store.submit_many(iter(())) == []


def test_equal_keys_among_many_make_one_job(store: JobStore) -> None:
    first, second = store.submit_many([{"kind": "a", "key": "k"}, {"kind": "a", "key": "k"}])
    assert first.id == second.id
    assert (first.deduplicated, second.deduplicated) == (False, True)


def test_a_duplicate_among_many_adds_none_of_them(store: JobStore) -> None:
    store.submit("a", key="k")
    before = everything(store)
    with pytest.raises(DuplicateJob):
        store.submit_many([{"kind": "b"}, {"kind": "b", "key": "k"}])
    assert everything(store) == before


def test_a_bad_entry_among_many_is_named_by_its_place_and_adds_none(store: JobStore) -> None:
    for entry, field in (
        ({"kind": "b", "priority": "high"}, "jobs[1].priority"),
        ({"descriptor": {}}, "jobs[1]"),
        ({"kind": "b", "colour": "red"}, "jobs[1]"),
        ({"kind": "b", "descriptor": {"a": {"b": float("nan")}}}, "jobs[1].descriptor.a.b"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            store.submit_many([{"kind": "a"}, entry])
        assert refused.value.field == field
    assert store.counts()[State.SCHEDULED] == 0


# Limits of a descriptor.


def test_a_descriptor_may_be_as_large_as_the_limit_and_no_larger(store: JobStore) -> None:
    room = 1024 * 1024 - len('{"x":""}')
    job = store.submit("extract", {"x": "a" * room})
    assert len(str(store.get(job).descriptor["x"])) == room
    with pytest.raises(InvalidRequest) as refused:
        store.submit("extract", {"x": "a" * (room + 1)})
    assert refused.value.field == "descriptor"
    with pytest.raises(InvalidRequest):
        store.submit("extract", {"x": "ü" * (room // 2 + 1)})
