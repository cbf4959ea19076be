"""The history: append-only, gap-free, with actor and reason; watching it."""

from __future__ import annotations

import threading
from itertools import islice, pairwise
from typing import Any

import pytest

from jobstate import Event, InvalidRequest, JobStore, State, SystemClock
from jobstate.domain.job import row_of
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.kinds import OpenStore
from jobstate.testing.contract.situations import AT_ONCE, SCENES, claimed, one_of_each, running, scene, submitted


def test_the_history_of_every_job_leads_to_its_row_without_a_gap(store: JobStore) -> None:
    for there in one_of_each(store).values():
        job, events = store.get(there.id), store.events(there.id)
        assert [event.seq for event in events] == list(range(1, job.seq + 1))
        assert events[0].from_state is None
        for before, event in pairwise(events):
            assert event.from_state == before.to_state
            assert event.at_us >= before.at_us
            assert event.id > before.id
        last = events[-1]
        assert (last.to_state, last.token, last.attempt) == (job.state, job.lease_token, job.attempt)
        assert (last.trigger, last.actor, last.reason, last.at_us) == (
            job.trigger,
            job.actor,
            job.reason,
            row_of(job).updated_us,
        )


def test_an_entry_says_who_did_what_when_and_why(store: JobStore, clock: ManualClock) -> None:
    run = running(store)
    clock.advance(7)
    store.stop(run, mode="immediate", timeout=60, actor="cli:ana", reason="wrong input")
    event = store.events(run)[-1]
    assert (event.job_id, event.seq, event.at_us) == (run.id, 3, clock.now())
    assert (event.from_state, event.to_state, event.trigger) == (State.RUNNING, State.STOP_REQUESTED, "request_stop")
    assert (event.actor, event.reason, event.node) == ("cli:ana", "wrong input", "worker-01")
    assert (event.attempt, event.token) == (1, run.token)
    assert event.detail["mode"] == "immediate"
    assert event.detail["deadline"] == store.get(run).stop.deadline.isoformat()  # type: ignore[union-attr]
    assert not event.is_note


def test_every_call_may_name_its_actor_and_reason(store: JobStore) -> None:
    given: Any = {"actor": "cli:ana", "reason": "because"}
    job = store.submit("extract", hold=True, **given)
    store.schedule(job, **given)
    store.stop(job, **given)
    (other,) = store.submit_many([{"kind": "extract"}], **given)
    store.fail(other, "because", actor="cli:ana")
    for event in (*store.events(job), *store.events(other)):
        assert (event.actor, event.reason) == ("cli:ana", "because")


def test_the_actor_is_that_of_the_store_unless_a_call_names_one(open_store: OpenStore) -> None:
    store = open_store(actor="python:suite")
    nightly = store.acting("cron:nightly", reason="retention")
    first, second = store.submit("extract"), nightly.submit("extract")
    assert (first.actor, first.reason) == ("python:suite", None)
    assert (second.actor, second.reason) == ("cron:nightly", "retention")
    third = nightly.submit("extract", reason="something else")
    assert (third.actor, third.reason) == ("cron:nightly", "something else")
    fourth = nightly.submit("extract", actor="cli:ana")
    assert (fourth.actor, fourth.reason) == ("cli:ana", "retention")


def test_an_actor_does_not_leak_into_the_next_entry(store: JobStore) -> None:
    """A history taken from what the row last held would name the previous actor, reason and detail."""
    run = running(store, retry=AT_ONCE)
    store.stop(run, actor="cli:ana", reason="wrong input")
    run.begin_stop()
    run.complete()
    reported = [(event.actor, event.reason, event.detail) for event in store.events(run)][-2:]
    assert reported == [("worker:worker-01", None, {}), ("worker:worker-01", None, {})]


def test_two_runs_of_one_job_differ_by_attempt_and_token(store: JobStore) -> None:
    job = submitted(store, retry=AT_ONCE)
    for _ in range(2):
        claimed(store, job).fail("disk gone")
    reported = [(event.trigger, event.attempt, event.token) for event in store.events(job)]
    assert reported == [("submit", 0, 0), ("claim", 1, 1), ("recover", 1, 2), ("claim", 2, 3), ("recover", 2, 4)]


def test_notes_change_no_state(store: JobStore) -> None:
    run = running(store)
    store.stop(run, timeout=60)
    store.stop(run, timeout=30)
    note = store.events(run)[-1]
    assert note.is_note
    assert note.from_state == note.to_state == State.STOP_REQUESTED
    assert list(note.detail) == ["deadline"]
    assert sum(event.is_note for event in store.events(run)) == 1


def test_a_heartbeat_a_checkpoint_and_progress_leave_no_history(store: JobStore) -> None:
    run = running(store)
    before = store.events(run)
    run.heartbeat()
    run.set_progress("blocks", files_count=1)
    run.flush()
    run.checkpoint()
    assert store.events(run) == before


# Watching.


def watched(store: JobStore, after: int = 0, **options: object) -> list[Event]:
    return list(store.watch(after=after, timeout=0, **options))  # type: ignore[arg-type]


def test_a_watch_tells_everything_in_the_order_in_which_it_happened(store: JobStore) -> None:
    jobs = [there.id for there in one_of_each(store).values()]
    seen = watched(store)
    assert [event.id for event in seen] == sorted(event.id for event in seen)
    assert len(seen) == sum(store.get(job_id).seq for job_id in jobs)
    for job_id in jobs:
        mine = [event for event in seen if event.job_id == job_id]
        assert mine == list(store.events(job_id)) == watched(store, job=job_id)


def test_the_newest_event_is_the_last_that_a_watch_tells(store: JobStore) -> None:
    assert store.newest_event() == 0
    for there in one_of_each(store).values():
        assert store.newest_event() >= store.events(there.id)[-1].id
    assert store.newest_event() == watched(store)[-1].id


def test_a_watch_resumes_after_the_last_event_that_was_seen(store: JobStore) -> None:
    run = running(store)
    seen = watched(store)
    assert watched(store, seen[-1].id) == []
    assert watched(store, seen[0].id) == seen[1:]
    run.complete()
    (last,) = watched(store, seen[-1].id)
    assert last.trigger == "complete"


def test_a_watch_goes_through_more_events_than_one_read_holds(store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(1203))
    assert len(watched(store)) == 1203


def test_the_cursor_of_a_watch_survives_the_removal_of_the_newest_events(store: JobStore) -> None:
    """Ids of events that were given out again would hide what happened after a removal."""
    submitted(store)
    there = scene(store, "Completed")
    cursor = watched(store)[-1].id
    assert store.delete(there.id)
    later = submitted(store)
    assert [(event.job_id, event.trigger) for event in watched(store, cursor)] == [(later.id, "submit")]
    assert all(event.id > cursor for event in watched(store, cursor))


def test_a_watch_sees_what_its_own_reader_does(store: JobStore) -> None:
    submitted(store)
    seen = []
    for event in store.watch(timeout=0):
        seen.append(event.job_id)
        if len(seen) < 4:
            submitted(store)
    assert len(seen) == 4


def test_a_watch_wakes_when_another_thread_writes(open_store: OpenStore) -> None:
    store = open_store(clock=SystemClock())
    submitted(store)
    threads = threading.Timer(0.05, lambda: store.submit("later"))
    threads.start()
    try:
        kinds = [store.get(event.job_id).kind for event in islice(store.watch(timeout=10), 2)]
    finally:
        threads.join()
    assert kinds[-1] == "later"


def test_a_watch_ends_when_nothing_happened_for_its_timeout(store: JobStore, clock: ManualClock) -> None:
    began = clock.monotonic()
    assert list(store.watch(timeout=5)) == []
    assert 5 <= clock.monotonic() - began < 6


def test_a_watch_of_one_job_ends_in_time_though_others_go_on(
    store: JobStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others_go_on(seconds: float) -> None:
        clock.advance(seconds)
        other = threading.Thread(target=submitted, args=(store,))
        other.start()
        other.join()

    job = submitted(store)
    monkeypatch.setattr(clock, "sleep", others_go_on)
    began = clock.monotonic()
    assert [event.job_id for event in store.watch(job=job, timeout=0.2)] == [job.id]
    assert 0.2 <= clock.monotonic() - began < 1


@pytest.mark.parametrize("after", [-1, "1", 1.5, True])
def test_a_watch_refuses_a_cursor_that_is_none(store: JobStore, after: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        next(store.watch(after=after, timeout=0))  # type: ignore[arg-type]
    assert refused.value.field == "after"


def test_there_is_a_scene_for_every_state() -> None:
    assert {there.state for there in SCENES.values()} == set(State)
