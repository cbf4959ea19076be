"""Reading the newest entries of a long log is no more work than of a short one; so is writing one more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

import jobstate
from jobstate import JobStore, Run
from jobstate.domain import validation
from tests.plans.test_query_plans import CLOCK, over, recorded

SHORT, LONG, LONGEST = 1_000, 10_000, 100_000
BETWEEN_FLUSHES: Final = 10_000
BOUND: Final = 12_000
"""Instructions of any of these; reading a page of fifty entries takes some 3,000, walking the long log millions."""

_BEGINNING: Final = validation.instant(CLOCK.now()) - timedelta(days=1)


@pytest.fixture(scope="module", params=[SHORT, LONG, pytest.param(LONGEST, marks=pytest.mark.slow)])
def logged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JobStore, Run]]:
    """A job that has said so much, the early part with warnings, between two others."""
    path = tmp_path_factory.mktemp("logged") / "jobs.db"
    with jobstate.open(path, durability="normal", clock=CLOCK, keep_logs=10 * LONGEST) as store:
        store.submit_many([{"kind": "extract"}] * 3)
        runs = store.claim("w", lease=3600, limit=3)
        for run, entries in zip(runs, (10, request.param, 10), strict=True):
            for number in range(entries):
                (run.log.warning if number < 20 else run.log.info)("%d", number, operator_id="op")
                if number % BETWEEN_FLUSHES == 0:
                    run.flush()
            run.flush()
        yield store, runs[1]


READS: Final[dict[str, Callable[[JobStore, Run], object]]] = {
    "the newest page": lambda store, run: store.logs(run),
    "an older page": lambda store, run: store.logs(run, before=SHORT // 2),
    "what came since": lambda store, run: store.logs(run, after=store.logs(run, limit=1).total - 5),
    "the errors": lambda store, run: store.errors(run),
    "the warnings alone": lambda store, run: store.logs(run, level="warn"),
    "of one operator": lambda store, run: store.logs(run, operator_id="op"),
    "since an instant": lambda store, run: store.logs(run, since=_BEGINNING),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_is_as_cheap_in_a_long_log(
    logged: tuple[JobStore, Run], monkeypatch: pytest.MonkeyPatch, read: str
) -> None:
    store, run = logged
    with recorded(store, monkeypatch) as recorder:
        assert READS[read](store, run)
    lines = over(recorder.plans(), "job_logs")
    assert lines
    assert all(line.startswith("SEARCH job_logs USING ") for line in lines), lines
    assert not [line for line in recorder.plans() if "TEMP B-TREE" in line]
    assert recorder.instructions < BOUND


def test_one_more_entry_is_as_cheap_in_a_long_log(
    logged: tuple[JobStore, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = logged
    run.log.info("first")
    run.flush()
    run.log.info("second")
    with recorded(store, monkeypatch) as recorder:
        run.flush()
    assert recorder.instructions < 2_000


def test_trimming_looks_only_at_what_it_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with jobstate.open(tmp_path / "jobs.db", durability="normal", clock=CLOCK, keep_logs=5_000) as store:
        store.submit("extract")
        (run,) = store.claim("w", lease=3600)
        for entries in (5_400, 99):
            for number in range(entries):
                run.log.info("%d", number)
            run.flush()
        before = store.logs(run, limit=1).retained
        run.log.info("one more")
        with recorded(store, monkeypatch) as recorder:
            run.flush()
        assert (before, store.logs(run, limit=1).retained) == (5_099, 5_000)
        lines = over(recorder.plans(), "job_logs")
    assert lines
    assert all(line.startswith("SEARCH job_logs USING ") for line in lines), lines


def test_a_flush_writes_all_that_was_reported_in_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with jobstate.open(tmp_path / "jobs.db", durability="normal", clock=CLOCK) as store:
        store.submit("extract")
        (run,) = store.claim("w", lease=3600)
        run.log.info("the store is asked once how far the log is")
        run.emit("sink", 0)
        run.flush()
        for operator in range(50):
            run.metrics(f"operator-{operator}", records_in=1)
            run.log.info("%d", operator)
            run.emit("sink", operator)
        run.add_range("blocks", 0, 9)
        with recorded(store, monkeypatch) as recorder:
            run.flush()
        assert recorder.begun == 1
        assert len(store.metrics(run).operators) == 50
