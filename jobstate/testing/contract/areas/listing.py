"""Listing, paging, walking and counting."""

from __future__ import annotations

from typing import Any

import pytest

from jobstate import LIVE, TERMINAL, InvalidRequest, JobNotFound, JobStore, State
from jobstate.core.arguments import StateFilter
from jobstate.testing.contract.situations import SCENES, claimed, one_of_each, running, scene, submitted


def ids(store: JobStore, *args: object, **filters: object) -> list[int]:
    return [job.id for job in store.list(*args, **filters).jobs]  # type: ignore[arg-type]


def test_a_job_is_found_by_id_by_snapshot_and_by_run(store: JobStore) -> None:
    job = submitted(store)
    run = claimed(store, job)
    assert store.get(job.id) == store.get(job) == store.get(run) == run.job


def test_an_unknown_job_is_not_found(store: JobStore) -> None:
    for look in (store.get, store.events, store.progress, store.checkpoints):
        with pytest.raises(JobNotFound) as missing:
            look(4711)
        assert missing.value.job_id == 4711
    with pytest.raises(LookupError):
        store.wait(4711, timeout=1)


def test_jobs_are_listed_newest_first_and_live_by_default(store: JobStore) -> None:
    there = {name: found.id for name, found in one_of_each(store).items()}
    live = [there[name] for name, situation in SCENES.items() if situation.state in LIVE]
    assert ids(store) == sorted(live, reverse=True)
    assert ids(store, "all") == sorted(there.values(), reverse=True)
    assert all(job == store.get(job) for job in store.list("all").jobs)


def test_every_word_selects_the_states_it_means(store: JobStore) -> None:
    there = {name: found.id for name, found in one_of_each(store).items()}

    def expected(*states: State) -> list[int]:
        return sorted((there[name] for name, situation in SCENES.items() if situation.state in states), reverse=True)

    for state in State:
        for word in (state, state.value, state.value.lower(), state.value.upper(), f" {state.value} "):
            assert ids(store, word) == expected(state), word
    assert ids(store, "terminal") == expected(*TERMINAL)
    assert ids(store, "active") == ids(store, "Active") == expected(*LIVE)
    assert ids(store, "error") == expected(State.FAILED)
    assert ids(store, "stop-requested") == ids(store, "stop_requested") == expected(State.STOP_REQUESTED)
    assert ids(store, ["running", State.STOPPED]) == expected(State.RUNNING, State.STOPPED)
    assert ids(store, ["completed", "stopped", "scheduled"]) == expected(
        State.COMPLETED, State.STOPPED, State.SCHEDULED
    )
    assert ids(store, ["all", "running"]) == expected(*State)


def test_a_word_that_names_no_state_is_an_error_and_not_an_empty_list(store: JobStore) -> None:
    """A filter with a misspelt state answered success and an empty list."""
    unknown: list[Any] = ["runing", "", "done", "Running ; --", "activ", "none"]
    for word in unknown:
        for asked in (word, ["running", word]):
            with pytest.raises(InvalidRequest) as refused:
                store.list(asked)
            assert refused.value.field == "status"
    with pytest.raises(InvalidRequest):
        store.list([])


@pytest.mark.parametrize("limit", [1, 4])
def test_pages_hold_every_job_once_and_the_last_one_says_so(store: JobStore, limit: int) -> None:
    """An answer of exactly `limit` jobs must not promise another page."""
    jobs: list[int] = []
    for number in range(10):
        seen: list[int] = []
        pages = 0
        after = None
        while True:
            page = store.list(limit=limit, after=after)
            seen += [job.id for job in page.jobs]
            pages += 1
            if page.next_cursor is None:
                break
            assert len(page.jobs) == limit
            after = page.next_cursor
        assert seen == jobs
        assert pages == max(1, -(-number // limit))
        jobs.insert(0, store.submit("extract").id)


@pytest.mark.parametrize("status", ["active", "all", ["scheduled", "completed", "stopped"]])
def test_pages_hold_their_order_over_states_that_are_stored_apart(store: JobStore, status: StateFilter) -> None:
    order = [scene(store, ("Completed", "Scheduled", "Stopped")[number % 3]).id for number in range(9)]
    wanted = order if status != "active" else order[1::3]
    seen: list[int] = []
    after = None
    for _ in range(20):
        page = store.list(status, limit=2, after=after)
        seen += [job.id for job in page.jobs]
        after = page.next_cursor
        if after is None:
            break
    assert seen == wanted[::-1]


def test_a_page_may_hold_a_thousand(store: JobStore) -> None:
    store.submit_many({"kind": "extract"} for _ in range(1001))
    page = store.list(limit=1000)
    assert len(page.jobs) == 1000
    assert page.next_cursor == page.jobs[-1].id
    assert len(store.list(limit=1000, after=page.next_cursor).jobs) == 1
    assert len(list(store.iterate())) == 1001


def test_filters_select_by_kind_pipeline_and_labels(store: JobStore) -> None:
    a = store.submit("extract", pipeline_id="pl", labels={"team": "data", "env": "prod"}).id
    b = store.submit("extract", labels={"team": "data"}).id
    c = store.submit("load", pipeline_id="pl", labels={"team": "web", "env": "prod", 'odd"$.name': "x'y"}).id
    assert ids(store, kind="extract") == [b, a]
    assert ids(store, kind="extrac") == []
    assert ids(store, pipeline_id="pl") == [c, a]
    assert ids(store, labels={"team": "data"}) == [b, a]
    assert ids(store, labels={"team": "data", "env": "prod"}) == [a]
    assert ids(store, labels={'odd"$.name': "x'y"}) == [c]
    assert ids(store, labels={"missing": ""}) == []
    assert ids(store, "all", labels={"env": "prod"}, kind="load", pipeline_id="pl") == [c]
    assert ids(store, "terminal", labels={"env": "prod"}) == []
    store.stop(c, mode="force")
    assert ids(store, ["stopped", "scheduled"], labels={"env": "prod"}) == [c, a]


def test_jobs_are_found_by_the_worker_that_holds_or_is_to_hold_them(store: JobStore) -> None:
    pinned = store.submit("extract", node_id="worker-01").id
    held = running(store).id
    elsewhere = claimed(store, submitted(store), "worker-02").id
    assert ids(store, node_id="worker-01") == [held, pinned]
    assert ids(store, node_id="worker-02") == [elsewhere]
    assert ids(store, node_id="worker-03") == []


@pytest.mark.parametrize("field", ["kind", "node_id", "pipeline_id"])
@pytest.mark.parametrize("value", ["\udcff", "a\0b", 7, 2**63, [], "x" * 256])
def test_a_filter_that_no_job_can_fit_is_named(store: JobStore, field: str, value: Any) -> None:
    """Instead of an error of the driver, or an empty list that looks like an answer."""
    with pytest.raises(InvalidRequest) as refused:
        store.list(**{field: value})
    assert refused.value.field == field


def test_an_unpinned_job_is_found_by_an_empty_node(store: JobStore) -> None:
    unpinned = store.submit("extract").id
    store.submit("extract", node_id="worker-01")
    assert ids(store, node_id="") == [unpinned]


@pytest.mark.parametrize("value", ["\udcff", 7, ""])
def test_a_pipeline_that_cannot_be_is_named_where_jobs_are_sorted_too(store: JobStore, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        store.ordered(pipeline_id=value)
    assert refused.value.field == "pipeline_id"


def test_filters_apply_to_every_page(store: JobStore) -> None:
    jobs = [store.submit("ab"[number % 2]) for number in range(10)]
    first = store.list(kind="a", limit=3)
    second = store.list(kind="a", limit=3, after=first.next_cursor)
    assert [job.id for job in (*first.jobs, *second.jobs)] == [job.id for job in jobs[::-1] if job.kind == "a"]
    assert second.next_cursor is None


def test_a_walk_visits_each_job_once_while_jobs_come_and_go(store: JobStore) -> None:
    """Paging by position or by a coarse time loses rows or shows them twice."""
    jobs = store.submit_many({"kind": "extract", "hold": True} for _ in range(20))
    seen: list[int] = []
    removed: set[int] = set()
    for number, job in enumerate(store.iterate("all", limit=3)):
        seen.append(job.id)
        store.submit("newcomer")
        if number % 4 == 0:
            visited = jobs[-1 - number]
            store.stop(visited)
            assert store.delete(visited)
        if number == 5:
            ahead = jobs[2]
            store.stop(ahead)
            assert store.delete(ahead)
            removed.add(ahead.id)
    assert len(seen) == len(set(seen))
    assert set(seen) == {job.id for job in jobs} - removed


def test_a_walk_takes_the_filters_of_a_list(store: JobStore) -> None:
    jobs = [store.submit("ab"[number % 2]) for number in range(9)]
    assert [job.id for job in store.iterate(kind="b", limit=2)] == [job.id for job in jobs[::-1] if job.kind == "b"]
    assert list(store.iterate("terminal")) == []


def test_counts_name_every_state(store: JobStore) -> None:
    assert store.counts() == dict.fromkeys(State, 0)
    one_of_each(store)
    expected = dict.fromkeys(State, 0)
    for state, *_ in SCENES.values():
        expected[state] += 1
    assert store.counts() == expected


def test_no_workers_are_listed_before_any_came(store: JobStore) -> None:
    running(store)
    assert list(store.workers()) == []
