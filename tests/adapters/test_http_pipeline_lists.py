"""Lists of the pipeline dialect: sorted as asked, from any place on, by filters that combine, and when they end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from jobstate import State
from jobstate.domain.lifecycle import LIVE
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api
from tests.adapters.expectations import NO_WORDS, known_words, spellings, wanted
from tests.adapters.jobs_in_states import brought, one_per_state
from tests.adapters.refusing import assert_refused

pytestmark = pytest.mark.parametrize("running_api", [Dialect.DOCS], indirect=True, scope="module")

ForwardedProperty = dict[str, Any]
FIELDS: Final = ("created_at", "start_time", "finish_time", "state", "run_id")
ORDERS: Final[dict[str, tuple[str, bool]]] = {
    **{field: (field, False) for field in FIELDS},
    **{f"{field}:asc": (field, False) for field in FIELDS},
    **{f"-{field}": (field, True) for field in FIELDS},
    **{f"{field}:desc": (field, True) for field in FIELDS},
}


def listed(api: Api, **query: object) -> tuple[list[ForwardedProperty], bool]:
    answer = api.ask("GET", f"/api/v1/jobs?{urlencode(query)}")
    assert answer.status == 200, answer.text
    assert list(answer.json) == ["data", "has_more"]
    return answer.json["data"], answer.json["has_more"]


def ids(api: Api, **query: object) -> list[int]:
    return [int(job["id"].removeprefix("job_")) for job in listed(api, limit=1000, **query)[0]]


def populate(api: Api) -> list[ForwardedProperty]:
    """Some thirty jobs, of pipelines and of none, some at the same time; newest first."""
    chosen = random.Random(4)
    states = [*State] * 3
    chosen.shuffle(states)
    for state in states:
        if chosen.random() < 0.5:
            api.clock.advance(0.001)
        brought(api.store, state)
        if chosen.random() < 0.5:
            api.store.submit("etl", pipeline_id=chosen.choice(["pipe_1", "pipe_2"]))
    found, more = listed(api, limit=1000)
    assert not more
    return found


def in_order(jobs: list[ForwardedProperty], field: str, falling: bool) -> list[ForwardedProperty]:
    """As Python sorts what is shown: by the field, then the id; where there is no value, last."""

    def number(job: ForwardedProperty) -> int:
        return int(job["id"].removeprefix("job_"))

    there = sorted(
        (job for job in jobs if job[field] is not None), key=lambda job: (job[field], number(job)), reverse=falling
    )
    return there + sorted((job for job in jobs if job[field] is None), key=number, reverse=falling)


def test_jobs_are_sorted_by_what_is_shown_of_them_however_the_order_is_written(api: Api) -> None:
    jobs = populate(api)
    assert {job["state"] for job in jobs} >= {"Finished", "Stopping", "Scheduling"}
    for order, (field, falling) in ORDERS.items():
        assert listed(api, limit=1000, sort=order)[0] == in_order(jobs, field, falling), order


def test_without_an_order_the_newest_jobs_come_first_twenty_of_them(api: Api) -> None:
    jobs = populate(api)
    assert [job["id"] for job in jobs] == [f"job_{job.id}" for job in api.store.iterate("all")]
    assert listed(api) == (jobs[:20], True)


@pytest.mark.parametrize("order", [{}, {"sort": "-start_time"}, {"sort": "state"}])
def test_a_list_goes_on_until_it_says_that_there_is_no_more(api: Api, order: dict[str, str]) -> None:
    jobs = populate(api)
    if order:
        jobs = in_order(jobs, *ORDERS[order["sort"]])
    for limit in (1, 7, len(jobs) - 1, len(jobs), len(jobs) + 1):
        for offset in (0, 1, len(jobs) - limit, len(jobs) - 1, len(jobs), 10_000):
            if offset >= 0:
                found = listed(api, limit=limit, offset=offset, **order)
                assert found == (jobs[offset : offset + limit], offset + limit < len(jobs)), (limit, offset)


def test_a_list_goes_on_behind_a_job_also_where_no_offset_reaches(api: Api) -> None:
    jobs = populate(api)
    seen: list[ForwardedProperty] = []
    query: dict[str, str] = {}
    more = True
    while more:
        found, more = listed(api, limit=7, **query)
        seen += found
        assert len(seen) <= len(jobs)
        query = {"after": seen[-1]["id"]}
    assert seen == jobs
    assert listed(api, limit=1000, after=jobs[5]["id"].removeprefix("job_"), sort="state")[0] == in_order(
        jobs[6:], "state", False
    )


def test_filters_combine(api: Api) -> None:
    jobs = populate(api)
    tests: dict[str, dict[str, Callable[[ForwardedProperty], bool]]] = {
        "pipeline_id": {"pipe_1": lambda job: job["pipeline_id"] == "pipe_1", "pipe_3": lambda _: False},
        "running": {
            "true": lambda job: job["lifecycle"] in ("Running", "Rescaling"),
            "false": lambda job: job["lifecycle"] not in ("Running", "Rescaling"),
        },
        "state": {
            "active": lambda job: job["lifecycle"] in [state.value for state in LIVE],
            "Stopping,Rescaling": lambda job: job["state"] in ("Stopping", "Rescaling"),
        },
    }
    choices = [[None, *((name, value) for value in values)] for name, values in tests.items()]
    for chosen in itertools.product(*choices):
        asked = [pair for pair in chosen if pair is not None]
        expected = [job for job in jobs if all(tests[name][value](job) for name, value in asked)]
        assert listed(api, limit=1000, **dict(asked)) == (expected, False), asked
    assert listed(api, state="Finished", running="true") == ([], False)


def test_each_filter_word_selects_its_jobs_however_it_is_spelled(api: Api) -> None:
    there = one_per_state(api.store)
    for word in known_words(Dialect.PIPELINE):
        expected = sorted((there[state] for state in wanted(word, Dialect.PIPELINE)), reverse=True)
        for spelling in spellings(word):
            assert ids(api, state=spelling) == expected, spelling


def test_an_unknown_or_empty_filter_word_is_refused_by_name_not_an_empty_list(untouched: Api) -> None:
    for word in NO_WORDS:
        answer = untouched.ask("GET", f"/api/v1/jobs?{urlencode({'state': word})}")
        assert_refused(answer, 400, "INVALID_QUERY_PARAMETERS", "state: has no word ")


def test_a_list_of_no_jobs_has_no_more(api: Api) -> None:
    for query in ({}, {"sort": "state"}, {"offset": 10_000}, {"running": "true"}, {"state": "error", "after": 1}):
        assert listed(api, **query) == ([], False)
