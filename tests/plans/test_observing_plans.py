"""What a transaction did is read from the end of the history, however long that is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate import JobStore, Observer
from tests.plans.test_query_plans import CLOCK, analyze, over, recorded

JOBS: Final = 5_000
BOUND: Final = 1_500
"""Instructions that being observed may add to a call; a walk over the history takes a hundred times as many."""


@pytest.fixture(scope="module", params=["as created", "analyzed"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("observed") / "jobs.db"
    with jobstate.open(path, durability="normal", clock=CLOCK) as jobs:
        jobs.submit_many([{"kind": "extract"}] * JOBS)
    if request.param == "analyzed":
        analyze(path)
    return path


@pytest.fixture
def observed(path: Path) -> Iterator[JobStore]:
    with jobstate.open(path, durability="normal", clock=CLOCK, observers=[Observer()]) as jobs:
        yield jobs


def test_being_observed_costs_the_same_with_a_long_history(
    path: Path, observed: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jobstate.open(path, durability="normal", clock=CLOCK) as plain:
        work = []
        for store in (plain, observed):
            with recorded(store, monkeypatch) as recorder:
                store.submit("load")
            work.append(recorder.instructions)
    assert 0 < work[1] - work[0] < BOUND
    lines = over(recorder.plans(), "job_events")
    assert [line for line in lines if "SCAN" in line] == []
    assert any("INTEGER PRIMARY KEY (rowid>?)" in line for line in lines)
