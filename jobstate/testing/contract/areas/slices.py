"""Parts of longer lists: jobs in an order of the caller's choice, and the checkpoints of a job."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from jobstate import LIVE, TERMINAL, CheckpointState, InvalidRequest, Job, JobNotFound, JobStore, Run, State
from jobstate.core.arguments import SortWord
from jobstate.domain.lifecycle import StateWord
from jobstate.testing.clock import ManualClock
from jobstate.testing.contract.situations import SCENES, running, scene

KEYS: Final[dict[str, Callable[[Job], Any]]] = {
    "id": lambda job: job.id,
    "created_at": lambda job: job.created_at,
    "started_at": lambda job: job.started_at,
    "finished_at": lambda job: job.finished_at,
    "state": lambda job: job.state.value,
    "run_id": lambda job: job.run_id,
}
SORTS: Final = (*KEYS, *(f"-{name}" for name in KEYS))
STATUSES: Final[dict[StateWord, frozenset[State]]] = {
    "all": frozenset(State),
    "active": LIVE,
    "terminal": TERMINAL,
    "failed": frozenset({State.FAILED}),
    "running": frozenset({State.RUNNING}),
}


def sorted_plainly(jobs: list[Job], sort: str) -> list[int]:
    """What Python makes of it: by key, then id; what has no key last."""
    key, falling = KEYS[sort.removeprefix("-")], sort.startswith("-")
    there = [job for job in jobs if key(job) is not None]
    lacking = [job for job in jobs if key(job) is None]
    there.sort(key=lambda job: (key(job), job.id), reverse=falling)
    lacking.sort(key=lambda job: job.id, reverse=falling)
    return [job.id for job in (*there, *lacking)]


def mixed(store: JobStore, clock: ManualClock) -> list[Job]:
    """Jobs in every situation, with times that lie apart, that are equal, and that are not in the order of the ids."""
    chosen = random.Random(7)
    names = [name for name in SCENES if name != "StopRequested, unheld"] * 2
    chosen.shuffle(names)
    for name in names:
        if chosen.random() < 0.6:
            clock.advance(1)
        scene(store, name)
        store.submit("extract", pipeline_id=chosen.choice(["a", "b", None]))
    started_backwards = [store.submit("load", pipeline_id="a", priority=-number) for number in range(4)]
    for run in store.claim("worker-01", kinds=["load"], limit=len(started_backwards)):
        clock.advance(1)
        run.complete()
    return list(store.iterate("all"))


@pytest.mark.parametrize("sort", SORTS)
def test_jobs_are_sorted_as_python_would_sort_them_from_any_place_on(
    store: JobStore, clock: ManualClock, sort: SortWord
) -> None:
    there = mixed(store, clock)
    middle = there[len(there) // 2].id
    for status, pipeline, after in itertools.product(STATUSES, (None, "a", "nowhere"), (None, middle)):
        matching = [
            job
            for job in there
            if job.state in STATUSES[status]
            and pipeline in (None, job.pipeline_id)
            and (after is None or job.id < after)
        ]
        expected = sorted_plainly(matching, sort)
        for limit, offset in ((1000, 0), (3, 0), (5, 4), (max(1, len(expected)), 0), (2, len(expected))):
            found = store.ordered(status, sort=sort, limit=limit, offset=offset, after=after, pipeline_id=pipeline)
            assert [job.id for job in found.rows] == expected[offset : offset + limit], (status, pipeline, limit)
            assert found.has_more is (len(expected) > offset + limit)
            assert all(job == store.get(job) for job in found.rows[:2])


def test_jobs_without_a_time_come_last_in_either_direction(store: JobStore) -> None:
    waiting = [store.submit("extract").id for _ in range(2)]
    started = [running(store).id for _ in range(2)]
    assert [job.id for job in store.ordered(sort="started_at").rows] == [*started, *waiting]
    assert [job.id for job in store.ordered(sort="-started_at").rows] == [*started[::-1], *waiting[::-1]]


def test_states_are_sorted_by_their_words_in_the_spelling_that_is_given(store: JobStore) -> None:
    for name in SCENES:
        if name != "StopRequested, unheld":
            scene(store, name)
    spelling = {state: "same" if state in TERMINAL else state.value[::-1] for state in State}
    jobs = store.ordered(sort="state", spelling=spelling).rows
    assert [(spelling[job.state], job.id) for job in jobs] == sorted((spelling[job.state], job.id) for job in jobs)
    assert len({spelling[job.state] for job in jobs}) == len(LIVE) + 1


def test_the_newest_jobs_of_all_states_come_first_unless_something_else_is_asked_for(store: JobStore) -> None:
    made = [scene(store, name).id for name in ("Completed", "Running", "Failed")]
    store.submit_many([{"kind": "extract"}] * 18)
    found = store.ordered()
    assert ([job.id for job in found.rows][-2:], found.has_more) == (made[:0:-1], True)
    assert len(found.rows) == 20


@pytest.mark.parametrize(
    ("field", "asked"),
    [
        *(("sort", {"sort": sort}) for sort in ("", "-", "--id", "key", "created", "ID", "id:desc", "id ", None, 1)),
        *(("limit", {"limit": limit}) for limit in (0, 1001, True, "1")),
        *(("offset", {"offset": offset}) for offset in (-1, 10_001, 1.0)),
        *(("after", {"after": after}) for after in (0, 2**63)),
        *(("status", {"status": status}) for status in ("", "busy")),
        ("status", {"status": []}),
    ],
)
def test_what_no_list_can_mean_is_refused_by_name(store: JobStore, field: str, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        store.ordered(**asked)
    assert refused.value.field == field


def checkpointed(store: JobStore) -> Run:
    """A job with three checkpoints that were completed, two that failed and one in progress."""
    run = running(store)
    for number in range(6):
        begun = run.begin_checkpoint()
        if number % 2 == 0:
            run.complete_checkpoint(begun)
        elif number < 5:
            run.fail_checkpoint(begun, "no space")
    return run


@pytest.mark.parametrize(("completed", "epochs"), [(None, [6, 5, 4, 3, 2, 1]), (True, [5, 3, 1]), (False, [6, 4, 2])])
def test_checkpoints_are_found_newest_first_by_whether_they_were_completed(
    store: JobStore, completed: bool | None, epochs: list[int]
) -> None:
    run = checkpointed(store)
    checkpointed(store)
    for limit, offset in itertools.product((1, 2, len(epochs), 1000), range(len(epochs) + 2)):
        found = store.checkpoint_slice(run, limit=limit, offset=offset, completed=completed)
        assert [checkpoint.epoch for checkpoint in found.rows] == epochs[offset : offset + limit]
        assert found.has_more is (len(epochs) > offset + limit)
        assert all(store.checkpoint(run, checkpoint) == checkpoint for checkpoint in found.rows)
    shown = store.checkpoint_slice(run, completed=completed).rows
    if completed is not None:
        assert {checkpoint.status is CheckpointState.COMPLETED for checkpoint in shown} == {completed}


def test_a_part_of_the_checkpoints_is_refused_where_it_cannot_be(store: JobStore) -> None:
    run = running(store)
    assert store.checkpoint_slice(run).rows == []
    with pytest.raises(JobNotFound):
        store.checkpoint_slice(4711)
    for field, value in (("limit", 0), ("limit", 1001), ("offset", -1), ("offset", 10_001)):
        asked: dict[str, Any] = {field: value}
        with pytest.raises(InvalidRequest) as refused:
            store.checkpoint_slice(run, **asked)
        assert refused.value.field == field
