"""Pages over HTTP: newest first, every job exactly once, and a cursor exactly where more follows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

import pytest

import jobstate
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.jobs_in_states import LEASE

LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 50


def page(api: Api, **query: object) -> tuple[list[int], int | None]:
    """The ids of a page, and the cursor where there is one; how its absence is said depends on the profile."""
    answer = api.ask("GET", f"/jobs?{urlencode(query)}")
    assert answer.status == 200, answer.text
    document = answer.json
    if api.dialect is Dialect.DOCS:
        assert document.keys() == {"jobs", "next_cursor"}
    else:
        assert document.get("next_cursor", 1) is not None
    return [job["id"] for job in document["jobs"]], document.get("next_cursor")


def pages(api: Api, between: Callable[[], object] = lambda: None, **query: Any) -> Iterator[list[int]]:
    """Every page in turn; something else may happen before the next one is asked for."""
    found, cursor = page(api, **query)
    while True:
        yield found
        if cursor is None:
            return
        assert cursor == found[-1]
        assert len(found) == query.get("limit", DEFAULT_LIMIT)
        between()
        found, cursor = page(api, **query, last_job_id=cursor)


def walk(api: Api, **query: Any) -> list[int]:
    first, *more = pages(api, **query)
    assert all(more)
    return [*first, *(job_id for found in more for job_id in found)]


def submitted(store: jobstate.JobStore, count: int, **fields: Any) -> list[int]:
    """The ids of new jobs, newest first."""
    return [job.id for job in store.submit_many([{"kind": "extract", **fields}] * count)][::-1]


def ended(store: jobstate.JobStore, count: int) -> list[int]:
    """The ids of new jobs that may be removed, newest first."""
    ids = submitted(store, count)
    for job_id in ids:
        store.stop(job_id, mode="force")
    return ids


@pytest.mark.parametrize("seed", range(2))
def test_every_job_is_visited_exactly_once_while_jobs_are_added_and_removed(api: Api, seed: int) -> None:
    chance = random.Random(seed)
    before = ended(api.store, 60)
    left, added = set(before), set()

    def disturb() -> None:
        added.update(submitted(api.store, chance.randint(0, 3)))
        for job_id in chance.sample(sorted(left), chance.randint(0, 4)):
            assert api.ask("DELETE", f"/jobs/{job_id}").status == 204
            left.discard(job_id)

    visited = [job_id for found in pages(api, disturb, status="all", limit=7) for job_id in found]
    assert visited == sorted(set(visited), reverse=True)
    assert left <= set(visited) <= set(before)
    assert added != set() != set(before) - left


def test_a_job_that_leaves_the_filter_between_pages_moves_no_other(api: Api) -> None:
    before = submitted(api.store, 20)
    leaving = iter(before[1::3])

    def disturb() -> None:
        api.store.stop(next(leaving), mode="force")

    visited = [job_id for found in pages(api, disturb, status="active", limit=2) for job_id in found]
    assert visited == sorted(set(visited), reverse=True)
    assert {job.id for job in api.store.iterate("active")} <= set(visited) < set(before)


def test_the_cursor_is_there_exactly_when_more_jobs_follow(api: Api) -> None:
    ids = submitted(api.store, 12)
    for limit in range(1, 15):
        assert page(api, limit=limit) == (ids[:limit], ids[limit - 1] if limit < 12 else None)
    for limit in (1, 5, 6, 11, 12, 13):
        assert walk(api, limit=limit) == ids
    for place, job_id in enumerate(ids, start=1):
        assert page(api, last_job_id=job_id) == (ids[place:], None)
        assert page(api, last_job_id=job_id, limit=3) == (
            ids[place : place + 3],
            ids[place + 2] if place + 3 < 12 else None,
        )


@pytest.mark.parametrize(("limit", "query"), [(DEFAULT_LIMIT, {}), (LIMIT, {"limit": LIMIT})])
def test_the_default_and_the_largest_page_end_exactly_where_they_should(
    api: Api, limit: int, query: dict[str, int]
) -> None:
    ids = submitted(api.store, limit - 1)
    assert page(api, **query) == (ids, None)
    ids = [*submitted(api.store, 1), *ids]
    assert page(api, **query) == (ids, None)
    ids = [*submitted(api.store, 1), *ids]
    assert page(api, **query) == (ids[:limit], ids[limit - 1])
    assert page(api, **query, last_job_id=ids[limit - 1]) == (ids[limit:], None)


def test_a_cursor_need_not_be_a_job(api: Api) -> None:
    ids = ended(api.store, 5)
    api.store.delete(ids[2])
    assert page(api, status="all", last_job_id=ids[2]) == (ids[3:], None)
    assert page(api, status="all", last_job_id=2**63 - 1) == ([*ids[:2], *ids[3:]], None)
    assert page(api, status="all", last_job_id=min(ids)) == ([], None)
    assert page(api, status="all", last_job_id=1) == ([], None)


def test_pages_hold_for_filters_by_kind_pipeline_and_worker(api: Api) -> None:
    store = api.store
    loads = submitted(store, 4, kind="load")
    others = submitted(store, 3)
    pipeline = submitted(store, 4, kind="load", pipeline_id="p=1&q,é")
    pinned = submitted(store, 4, kind="pinned", node_id="worker 1")
    held = [run.id for run in store.claim("worker 1", kinds=["load"], limit=2, lease=LEASE)]
    for limit in (1, 4, LIMIT):
        assert walk(api, limit=limit, kind="load") == [*pipeline, *loads]
        assert walk(api, limit=limit, pipeline_id="p=1&q,é") == pipeline
        assert walk(api, limit=limit, node_id="worker 1") == sorted([*pinned, *held], reverse=True)
        assert walk(api, limit=limit, node_id="worker 1", kind="pinned", status="scheduled") == pinned
    assert walk(api, limit=3, status="active,terminal") == [*pinned, *pipeline, *others, *loads]
    assert walk(api, kind="loa") == walk(api, kind="LOAD") == walk(api, pipeline_id="p") == walk(api, node_id="w") == []


LABELS: Final = {"plain": "x", "a,b": "c=d", "e\\f": "g,h\\", "=": ",", "ü": "✓ %2C&", "empty": ""}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("plain=x", ["plain"]),
        ("empty=", ["empty"]),
        (r"a\,b=c=d", ["a,b"]),
        (r"a\,b=c\=d", ["a,b"]),
        (r"e\\f=g\,h\\", ["e\\f"]),
        (r"\==\,", ["="]),
        ("ü=✓ %2C&", ["ü"]),
        (r"plain=x,e\\f=g\,h\\,empty=,\==\,", ["plain", "e\\f", "empty", "="]),
    ],
)
def test_pages_hold_for_labels_with_commas_equals_signs_and_backslashes(api: Api, text: str, chosen: list[str]) -> None:
    labels = {name: LABELS[name] for name in chosen}
    ids = []
    for _ in range(3):
        ids += submitted(api.store, 1, labels=labels)
        submitted(api.store, 1, labels={**labels, chosen[-1]: "another"})
        ids += submitted(api.store, 1, labels=LABELS)
    ids.reverse()
    for limit in (1, 5, 6, 7):
        assert walk(api, limit=limit, label=text) == ids


def test_a_label_with_two_values_is_refused_as_no_job_has_both(api: Api) -> None:
    submitted(api.store, 1, labels={"a": "b"})
    answer = api.ask("GET", "/jobs?label=a=c,a=b")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_QUERY_PARAMETERS")
    assert answer.json["error_message"] == "label: names 'a' more than once"


@pytest.mark.parametrize("text", ["team", "=x", "a=b,", ",a=b", "a=b,c", "", ",", "\\", "a\\=b"])
def test_a_label_that_is_not_name_and_value_is_refused(api: Api, text: str) -> None:
    submitted(api.store, 1, labels={"a": "b"})
    answer = api.ask("GET", f"/jobs?label={quote(text)}")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_QUERY_PARAMETERS")
    assert answer.json["error_message"].startswith("label: must be NAME=VALUE")
